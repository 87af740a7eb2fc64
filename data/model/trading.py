"""What is decided, ordered, filled and held. Money and quantities are `Decimal`; positions are signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Action(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class Purpose(StrEnum):
    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Order:
    """A market order for the next bar's open. `stop_loss` and `take_profit` are fractions of the entry's fill price."""

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    purpose: Purpose
    decided_at: datetime
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


class FillReason(StrEnum):
    """Why a fill happened, or what ended a trade. No fill has `split`: a trade has it whose whole position was paid out
    as cash in lieu of a fraction of a share."""

    ORDER = "order"
    STOP = "stop"
    TARGET = "target"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Fill:
    """A trade that happened in the bar that opened at `bar_open_time`.

    `reference_price` is the price before slippage, `price` after it; `commission` and `slippage` are cash, both
    non-negative. `stop_price` and `target_price` are the levels that now protect the position, if it opened one.
    """

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    price: Decimal
    commission: Decimal
    slippage: Decimal
    reason: FillReason
    bar_open_time: datetime
    at: datetime
    stop_price: Decimal | None = None
    target_price: Decimal | None = None


class Ending(StrEnum):
    """How an order, or the rest of it, ended without a fill."""

    EXPIRED = "expired"
    VOLUME_CAP = "volume_cap"
    INSUFFICIENT_CASH = "insufficient_cash"
    POSITION_CLOSED = "position_closed"
    BELOW_MINIMUM = "below_minimum"
    NO_PRICE = "no_price"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`quantity` of an order that will never fill, and why."""

    order_id: str
    symbol: str
    quantity: Decimal
    ending: Ending
    at: datetime


@dataclass(frozen=True, slots=True)
class BarOutcome:
    """What one bar did to the open orders of its symbol, in the order it happened."""

    fills: tuple[Fill, ...] = ()
    cancellations: tuple[Cancellation, ...] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """An open position. `mark` is the last known close, known at `marked_at`; `unrealised` is before exit costs."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal
    entry_at: datetime
    mark: Decimal
    marked_at: datetime
    unrealised: Decimal
    stop_price: Decimal | None = None
    target_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed round trip. `quantity` is signed: a short's is negative. Prices are averages, in the shares of its end.

    `profit` is cash after costs and dividends, `rate` is it over the entry value.
    """

    symbol: str
    quantity: Decimal
    entry_at: datetime
    exit_at: datetime
    entry_price: Decimal
    exit_price: Decimal
    profit: Decimal
    rate: Decimal
    costs: Decimal
    reason: FillReason


@dataclass(frozen=True, slots=True)
class Book:
    """What the portfolio manager sees. `exposure` is gross position value over equity, a fraction."""

    as_of: datetime
    cash: Decimal
    equity: Decimal
    exposure: Decimal
    buying_power: Decimal
    positions: tuple[Position, ...] = ()
    last_trades: tuple[Trade, ...] = ()

    def position(self, symbol: str) -> Position | None:
        return next((held for held in self.positions if held.symbol == symbol), None)


@dataclass(frozen=True, slots=True)
class EquityRow:
    """The ledger after one bar: `cash + sum(value of positions) == equity`, exactly. `stale` symbols had no new bar."""

    at: datetime
    cash: Decimal
    equity: Decimal
    exposure: Decimal
    quantities: tuple[tuple[str, Decimal], ...]
    marks: tuple[tuple[str, Decimal], ...]
    stale: tuple[str, ...] = ()
