"""All that was knowable about one symbol at one instant: the only thing that an agent's brief is made from.

Of facts it takes what an analyst would lay on the desk: the headline figures of the last reports, the newest news, the
last values of each series, and nothing that is stale. Bars before a split are restated in the shares of the last bar,
which stays as printed; prices that came adjusted are left alone. Nothing known after the instant has any influence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from data.model.errors import DataError
from data.model.instants import Interval, show
from data.model.market import Bar, Fact, FactKind, Instrument, MarketView
from data.store.digest import Reach
from data.store.remembered import Remembered
from data.store.snapshot import Snapshot
from data.store.store import Store

LOOKBACK = 250
PER_KEY = {FactKind.FUNDAMENTAL: 12, FactKind.MACRO: 5, FactKind.ALTERNATIVE: 5}
NEWEST = {FactKind.NEWS: 15, FactKind.DIVIDEND: 4}
SPLITS = {FactKind.SPLIT: 20}
# Older than this a fact says nothing about today, and a model could take it for news.
STALE_AFTER = {
    FactKind.NEWS: timedelta(days=90),
    FactKind.MACRO: timedelta(days=90),
    FactKind.ALTERNATIVE: timedelta(days=90),
    FactKind.DIVIDEND: timedelta(days=400),
    FactKind.FUNDAMENTAL: timedelta(days=800),
}
QUANTUM = Decimal("1E-8")

# The SEC's concept names, then Polygon's items.
HEADLINES = frozenset(
    {
        "Revenues",
        "SalesRevenueNet",
        "RevenueFromContractWithCustomerExcludingAssessedTax",
        "GrossProfit",
        "OperatingIncomeLoss",
        "NetIncomeLoss",
        "EarningsPerShareBasic",
        "EarningsPerShareDiluted",
        "Assets",
        "Liabilities",
        "StockholdersEquity",
        "NetCashProvidedByUsedInOperatingActivities",
        "CashAndCashEquivalentsAtCarryingValue",
        "LongTermDebtNoncurrent",
        "EntityCommonStockSharesOutstanding",
        "revenues",
        "gross_profit",
        "operating_income_loss",
        "net_income_loss",
        "basic_earnings_per_share",
        "diluted_earnings_per_share",
        "assets",
        "liabilities",
        "equity",
        "net_cash_flow_from_operating_activities",
        "long_term_debt",
        "diluted_average_shares",
    }
)


def build_market_view(
    store: Store, symbol: str, interval: Interval, as_of: datetime, lookback: int = LOOKBACK
) -> MarketView:
    """The view with at most `lookback` bars. Raises DataError if no bar, or no such symbol, was known."""
    with store.snapshot() as snapshot:
        _, instrument = snapshot.state(symbol)
        bars = snapshot.bars_as_of(symbol, interval, as_of, lookback)
        if instrument is None or not bars:
            raise _unknown(symbol, interval, as_of)
        return _view(snapshot, instrument, as_of, bars, _facts(snapshot, symbol, as_of))


class MarketViews:
    """The same views for one asker after the other, who mostly goes on where another one was: threads may share it.

    Of an instant it reads only what became known since an earlier one that it was asked for. Nothing known later leaves
    the database, and whenever a batch was added all is read anew.
    """

    def __init__(self, store: Store, interval: Interval, lookback: int = LOOKBACK) -> None:
        self._store, self._interval, self._lookback = store, interval, lookback
        self._remembered: dict[str, Remembered] = {}

    def at(self, symbol: str, as_of: datetime) -> MarketView:
        """What `build_market_view` gives, to the byte."""
        with self._store.snapshot() as snapshot:
            batch, instrument = snapshot.state(symbol)
            remembered = self._remembered.get(symbol)
            if remembered is None or remembered.batch != batch:
                remembered = self._remembered[symbol] = Remembered(batch, symbol, self._interval, self._lookback)
            bars = remembered.bars(snapshot, as_of)
            if instrument is None or not bars:
                raise _unknown(symbol, self._interval, as_of)
            return _view(snapshot, instrument, as_of, bars, remembered.facts(snapshot, as_of, _facts))


def reach(start_on: date, known_by: datetime, bars: int = LOOKBACK) -> Reach:
    """What the views of a window can show, of all that a store holds: `bars` at a time, and no fact that is stale."""
    begin = datetime.combine(start_on, time(), UTC) - timedelta(days=2)  # before any exchange's session of that date
    return Reach(start_on, known_by, bars, {kind: begin - age for kind, age in STALE_AFTER.items()})


def _unknown(symbol: str, interval: Interval, as_of: datetime) -> DataError:
    return DataError(f"no {interval} bar of {symbol} was known at {show(as_of)}")


def _facts(snapshot: Snapshot, symbol: str, as_of: datetime) -> tuple[Fact, ...]:
    return snapshot.facts_as_of(symbol, as_of, PER_KEY, NEWEST | SPLITS, {FactKind.FUNDAMENTAL: HEADLINES})


def _view(
    snapshot: Snapshot, instrument: Instrument, as_of: datetime, bars: tuple[Bar, ...], known: tuple[Fact, ...]
) -> MarketView:
    facts = tuple(fact for fact in known if fact.kind is not FactKind.SPLIT and _is_fresh(fact, as_of))
    splits = _applied((fact for fact in known if fact.kind is FactKind.SPLIT), bars)
    if splits and snapshot.is_adjusted(bars, as_of):
        splits = ()
    return MarketView(instrument.symbol, bars[0].interval, as_of, instrument, _restated(bars, splits), facts, splits)


def _is_fresh(fact: Fact, as_of: datetime) -> bool:
    return as_of - fact.known_at <= STALE_AFTER[fact.kind]


def _applied(known: Iterable[Fact], bars: tuple[Bar, ...]) -> tuple[Fact, ...]:
    """The splits between the first bar and the last, oldest first."""
    first, last = bars[0].session_on, bars[-1].session_on
    between = [fact for fact in known if fact.effective_on and first < fact.effective_on <= last]
    return tuple(sorted(between, key=lambda fact: (fact.effective_on, fact.key, fact.period)))


def _restated(bars: tuple[Bar, ...], splits: tuple[Fact, ...]) -> tuple[Bar, ...]:
    return tuple(_in_shares_of(bar, splits) for bar in bars) if splits else bars


def _in_shares_of(bar: Bar, splits: tuple[Fact, ...]) -> Bar:
    ratio = Decimal(1)
    for split in splits:
        if split.effective_on is not None and bar.session_on < split.effective_on:
            if split.value is None or split.value <= 0:
                raise DataError(f"a split of {split.symbol} on {split.effective_on} with the ratio {split.value}")
            ratio *= split.value
    return bar if ratio == 1 else _divided(bar, ratio)


@lru_cache(maxsize=4_096)
def _divided(bar: Bar, ratio: Decimal) -> Bar:
    """Remembered, because neighbouring views share almost all bars."""
    return replace(
        bar,
        open=_rounded(bar.open / ratio),
        high=_rounded(bar.high / ratio),
        low=_rounded(bar.low / ratio),
        close=_rounded(bar.close / ratio),
        volume=_rounded(bar.volume * ratio),
    )


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(QUANTUM, ROUND_HALF_EVEN)
