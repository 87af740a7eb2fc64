"""Facts about a market: instruments, bars, facts, and all that was knowable at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache

from data.model.canonical import Json, digest
from data.model.instants import Interval

ALWAYS_OPEN = "24/7"
EVERY_SYMBOL = "*"


class AssetClass(StrEnum):
    CRYPTO = "crypto"
    EQUITY = "equity"
    FUTURE = "future"
    INDEX = "index"
    PERPETUAL = "perpetual"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded. `calendar` is `24/7` or an exchange_calendars name; `tick`, `lot`, `min_notional` in units."""

    symbol: str
    asset_class: AssetClass
    calendar: str
    currency: str
    tick: Decimal
    lot: Decimal
    min_notional: Decimal = Decimal(0)

    @property
    def is_always_open(self) -> bool:
        return self.calendar == ALWAYS_OPEN


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar as its source printed it. Known at `known_at`, its end; `flags` name what is odd but real in it."""

    symbol: str
    interval: Interval
    open_time: datetime
    known_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    session_on: date
    flags: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Of its name alone: a view looks up hundreds of bars, and five prices take long to hash."""
        return hash((self.symbol, self.open_time))


class FactKind(StrEnum):
    FUNDAMENTAL = "fundamental"
    NEWS = "news"
    MACRO = "macro"
    ALTERNATIVE = "alternative"
    SPLIT = "split"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True)
class Fact:
    """One published fact about `symbol` (or `*`, every symbol).

    `(symbol, kind, key, period)` names the fact; a later row of the same name is a correction of it. `value` is a
    number in `unit` or None, `text` what was written or None. `effective_on` is the session a corporate action
    applies from. A split's value is new shares per old share, a dividend's is cash per share.
    """

    symbol: str
    kind: FactKind
    key: str
    known_at: datetime
    source: str
    period: str = ""
    value: Decimal | None = None
    unit: str = ""
    text: str | None = None
    effective_on: date | None = None


@lru_cache(maxsize=16_384)
def row_digest(row: Bar | Fact) -> str:
    """SHA-256 of one bar or fact; remembered, because neighbouring views share almost all rows."""
    return digest(row)


@dataclass(frozen=True)
class MarketView:
    """All that was knowable about one symbol at `as_of`.

    `bars` are oldest first, every `known_at <= as_of`; bars before a split that applied by then are restated in
    today's shares (`splits` lists those). `facts` hold the version known then, newest first.
    """

    symbol: str
    interval: Interval
    as_of: datetime
    instrument: Instrument
    bars: tuple[Bar, ...]
    facts: tuple[Fact, ...] = ()
    splits: tuple[Fact, ...] = ()

    @property
    def last(self) -> Bar:
        return self.bars[-1]

    @property
    def price(self) -> Decimal:
        """The last known close."""
        return self.bars[-1].close

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the view: its head and the digest of each row, in order."""
        head = (self.symbol, self.interval, self.as_of, self.instrument)
        rows = [[row_digest(row) for row in rows] for rows in (self.bars, self.facts, self.splits)]
        return digest([head, rows])


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of oddity in a batch: how often, and where first. `severity` is note or warning."""

    code: str
    severity: str
    count: int
    message: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did: rows read, rows new, rows that correct earlier ones, and what is odd about them."""

    source: str
    batch_digest: str
    symbol: str
    rows_read: int
    rows_new: int
    rows_corrected: int
    first: datetime | None
    last: datetime | None
    findings: tuple[Finding, ...] = ()
    details: dict[str, Json] | None = None
