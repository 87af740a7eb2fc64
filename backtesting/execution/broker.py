"""The step broker: waiting orders and the NEXT bar give fills, one bar of one symbol at a time.

- One order waits per symbol, and a newer one replaces it. It meets the first bar that opens at or after its decision,
  at that bar's open, and ends there: what does not fill is cancelled with its reason. A missing bar is waited for.
- An order that opens is cut to the volume cap, to what buying power pays for with costs, and is dropped below the
  minimum notional. One that closes is cut to the position and the cap; the rest stays held and protected.
- Stops and targets live from the entry bar on, on what was filled (see `protection`), with what the cap leaves.
- The cap is a fraction of the bar's volume for all fills of the bar together, so a bar without volume fills nothing. An
  index has none of its own and is not capped.
- Nothing fills at a price at or below zero: an order that meets such an open ends, a stop that was gapped through there
  stays.

Limits: no limit orders, no adding to a position, no order book; prices are not rounded to ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from backtesting.execution.costs import CostModel
from backtesting.execution.protection import Exit, Held, level
from data.model.errors import DataError
from data.model.market import AssetClass, Bar, Fact, Instrument
from data.model.money import EXACT, ZERO, after_split, money, quotient, value_of, whole_lots
from data.model.trading import BarOutcome, Cancellation, Ending, Fill, FillReason, Order, Purpose, Side

NOTHING = BarOutcome()
VOLUME_CAP = Decimal("0.1")


@dataclass(slots=True)
class _Remainder:
    """What is left to fill of an order that met its bar, and why the rest ended."""

    order: Order
    at: datetime
    quantity: Decimal
    endings: list[Cancellation] = field(default_factory=list)

    def cut(self, most: Decimal, ending: Ending) -> None:
        """Cancels what exceeds `most`."""
        if most < self.quantity:
            self.endings.append(_cancel(self.order, EXACT.subtract(self.quantity, most), ending, self.at))
            self.quantity = most


class StepBroker:
    """Implements `data.model.protocols.Broker`. `volume_cap` is a fraction of each bar's volume."""

    def __init__(
        self, instruments: Mapping[str, Instrument], costs: CostModel, volume_cap: Decimal = VOLUME_CAP
    ) -> None:
        self._instruments = instruments
        self._costs = costs
        self._volume_cap = volume_cap
        self._waiting: dict[str, Order] = {}
        self._held: dict[str, Held] = {}
        self._ended: dict[str, list[Cancellation]] = {}

    def fork(self) -> StepBroker:
        """A broker in the same state that plays on by itself; orders and levels are frozen, so both share them."""
        twin = StepBroker(self._instruments, self._costs, self._volume_cap)
        twin._waiting, twin._held = dict(self._waiting), dict(self._held)
        twin._ended = {symbol: list(endings) for symbol, endings in self._ended.items()}
        return twin

    def submit(self, order: Order) -> None:
        """Waits for the next bar in place of any order of that symbol that still waits.

        Raises ValueError for a quantity that is no positive number of lots, and for opening what is open.
        """
        lot = self._instruments[order.symbol].lot
        if order.quantity <= 0 or whole_lots(order.quantity, lot) != order.quantity:
            raise ValueError(f"{order.order_id}: {order.quantity} is not a positive number of lots of {lot}")
        if order.purpose is Purpose.OPEN and order.symbol in self._held:
            raise ValueError(f"{order.order_id}: a position in {order.symbol} is already open")
        earlier = self._waiting.get(order.symbol)
        if earlier is not None:
            self._end(_cancel(earlier, earlier.quantity, Ending.REPLACED, order.decided_at))
        self._waiting[order.symbol] = order

    def on_bar(self, bar: Bar, buying_power: Decimal) -> BarOutcome:
        """The waiting order at the open, then stop and target inside the bar."""
        symbol = bar.symbol
        order, held = self._waiting.get(symbol), self._held.get(symbol)
        if order is None and not self._ended:
            if held is None:
                return NOTHING
            opened, floor, ceiling = bar.open, held.floor, held.ceiling
            if floor < bar.low and floor < opened < ceiling and bar.high < ceiling:
                return NOTHING
        endings = self._ended.pop(symbol, [])
        room = self._room(bar)
        fills: list[Fill] = []
        if order is not None and bar.open_time >= order.decided_at:
            del self._waiting[symbol]
            fill, cancelled = self._meet(order, bar, room, buying_power)
            fills += fill
            endings += cancelled
        fills += self._protect(bar, room, fills)
        return BarOutcome(tuple(fills), tuple(endings))

    def apply_split(self, split: Fact) -> None:
        """Quantities and levels in new shares; what no longer makes a lot leaves the position, or ends the order."""
        if split.value is None or split.value <= 0:
            raise DataError(f"the split of {split.symbol} on {split.effective_on} has no positive ratio")
        symbol, ratio, lot = split.symbol, split.value, self._instruments[split.symbol].lot
        order, held = self._waiting.pop(symbol, None), self._held.pop(symbol, None)
        if order is not None:
            quantity = after_split(order.quantity, ratio, lot)[0]
            if quantity:
                self._waiting[symbol] = replace(order, quantity=quantity)
            else:
                self._end(_cancel(order, order.quantity, Ending.BELOW_MINIMUM, split.known_at))
        if held is not None:
            quantity = after_split(held.quantity, ratio, lot)[0]
            self._hold(symbol, Held(held.order_id, quantity, _restate(held.stop, ratio), _restate(held.target, ratio)))

    def at_end(self, at: datetime) -> tuple[Cancellation, ...]:
        """Orders that have no next bar expire, in the symbols' order."""
        for _, order in sorted(self._waiting.items()):
            self._end(_cancel(order, order.quantity, Ending.EXPIRED, at))
        endings = tuple(ending for _, endings in sorted(self._ended.items()) for ending in endings)
        self._waiting.clear()
        self._ended.clear()
        return endings

    def _room(self, bar: Bar) -> Decimal | None:
        """How much the bar lets us trade, in whole lots; None without bound."""
        instrument = self._instruments[bar.symbol]
        if instrument.asset_class is AssetClass.INDEX:
            return None
        return whole_lots(EXACT.multiply(max(bar.volume, ZERO), self._volume_cap), instrument.lot)

    def _meet(
        self, order: Order, bar: Bar, room: Decimal | None, budget: Decimal
    ) -> tuple[list[Fill], list[Cancellation]]:
        """What an order comes to at the bar's open: at most one fill, and what was cancelled of it."""
        instrument, opens = self._instruments[order.symbol], order.purpose is Purpose.OPEN
        reference = money(bar.open)
        price = self._costs.slippage.price(order.side, reference) if bar.open > 0 else ZERO
        rest = _Remainder(order, bar.open_time, order.quantity)
        if not opens:
            rest.cut(self._closable(order), Ending.POSITION_CLOSED)
        if price <= 0:
            rest.cut(ZERO, Ending.NO_PRICE)
        if room is not None:
            rest.cut(room, Ending.VOLUME_CAP)
        if opens:
            rest.cut(self._costs.affordable(rest.quantity, price, instrument.lot, budget), Ending.INSUFFICIENT_CASH)
            if value_of(rest.quantity, price) < instrument.min_notional:
                rest.cut(ZERO, Ending.BELOW_MINIMUM)
        if not rest.quantity:
            return [], rest.endings
        fill = self._fill(order.order_id, bar, order.side, rest.quantity, Exit(FillReason.ORDER, reference), price)
        return [self._opened(order, fill) if opens else self._left(fill)], rest.endings

    def _protect(self, bar: Bar, room: Decimal | None, fills: list[Fill]) -> list[Fill]:
        """Leaves the position at its stop or target, with what `fills` of the same bar left of the room."""
        held = self._held.get(bar.symbol)
        touched = held.touched(bar) if held is not None else None
        if held is None or touched is None:
            return []
        quantity, side = held.quantity.copy_abs(), Side.SELL if held.quantity > 0 else Side.BUY
        if room is not None:
            for fill in fills:
                room = EXACT.subtract(room, fill.quantity)
            quantity = min(quantity, room)
        exit_ = touched._replace(reference=money(touched.reference))
        is_limit = exit_.reason is FillReason.TARGET
        price = exit_.reference if is_limit else self._costs.slippage.price(side, exit_.reference)
        if not quantity or price <= 0:
            return []
        return [self._left(self._fill(held.order_id, bar, side, quantity, exit_, price))]

    def _fill(self, order_id: str, bar: Bar, side: Side, quantity: Decimal, why: Exit, price: Decimal) -> Fill:
        """What fills at the open is dated there; what fills inside the bar at its end, when that was known."""
        return Fill(
            order_id=order_id,
            symbol=bar.symbol,
            side=side,
            quantity=quantity,
            reference_price=why.reference,
            price=price,
            commission=self._costs.commission.commission(quantity, price),
            slippage=value_of(quantity, EXACT.subtract(price, why.reference).copy_abs()),
            reason=why.reason,
            bar_open_time=bar.open_time,
            at=bar.open_time if why.reason is FillReason.ORDER or why.reference == bar.open else bar.known_at,
        )

    def _opened(self, order: Order, fill: Fill) -> Fill:
        sign = fill.side.sign
        stop, target = level(fill.price, order.stop_loss, -sign), level(fill.price, order.take_profit, sign)
        quantity = EXACT.multiply(Decimal(sign), fill.quantity)
        self._hold(order.symbol, Held(order.order_id, quantity, stop, target))
        return replace(fill, stop_price=stop, target_price=target)

    def _left(self, fill: Fill) -> Fill:
        held = self._held[fill.symbol]
        quantity = EXACT.fma(Decimal(fill.side.sign), fill.quantity, held.quantity)
        self._hold(fill.symbol, replace(held, quantity=quantity))
        return fill

    def _hold(self, symbol: str, held: Held) -> None:
        if held.quantity:
            self._held[symbol] = held
        else:
            self._held.pop(symbol, None)

    def _closable(self, order: Order) -> Decimal:
        """How much of the position this order can close: nothing if it points the same way."""
        held = self._held.get(order.symbol)
        return ZERO if held is None or (held.quantity > 0) is (order.side is Side.BUY) else held.quantity.copy_abs()

    def _end(self, cancellation: Cancellation) -> None:
        """Keeps what ended between two bars for the next outcome of its symbol."""
        self._ended.setdefault(cancellation.symbol, []).append(cancellation)


def _cancel(order: Order, quantity: Decimal, ending: Ending, at: datetime) -> Cancellation:
    return Cancellation(order.order_id, order.symbol, quantity, ending, at)


def _restate(price: Decimal | None, ratio: Decimal) -> Decimal | None:
    return None if price is None else quotient(price, ratio)
