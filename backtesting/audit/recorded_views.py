"""The market views of a run, put together again from its records: rows stand in the log once, views name them.

A view's bars are the last ones by open time, each in the version that was recorded last; its facts and splits are named
by digest. Only what a later view can still show is kept. Limit: a bar that returns to a version of before without a row
of its own is not seen to return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from backtesting.audit.rows import read_row
from backtesting.audit.story import parse
from data.model.canonical import Json
from data.model.instants import Interval, iso, parse_instant
from data.model.market import Bar, Fact, Instrument, MarketView, row_digest
from data.model.protocols import Record
from data.model.question import Question


class RecordedViews:
    """Takes every `market.view` of one run, in order."""

    def __init__(self, interval: Interval, instruments: Mapping[str, Instrument]) -> None:
        self._interval = interval
        self._instruments = instruments
        self._bars: dict[str, dict[datetime, Bar]] = {}
        self._facts: dict[str, Fact] = {}

    @classmethod
    def of(cls, begin: Record) -> RecordedViews:
        """Those of the run that this `run.begin` opens. Raises ValueError or KeyError if it does not read."""
        return cls(parse(Question, begin.body["question"]).interval, recorded_instruments(begin))

    def take(self, record: Record) -> MarketView:
        """The view of a `market.view` record. Raises ValueError or KeyError, saying what is wrong with the record.

        Every row that it brings is in the view and written as the house writes rows; every row of the view is at hand.
        """
        body, symbol = record.body, str(record.body["symbol"])
        if symbol not in self._instruments:
            raise ValueError(f"{symbol} is no instrument of the run")
        bars = self._window(symbol, parse(int, body["bars"]), [read_row(Bar, item) for item in _list(body, "new_bars")])
        new_facts = {row_digest(fact): fact for fact in (read_row(Fact, item) for item in _list(body, "new_facts"))}
        self._facts |= new_facts
        facts, splits = (self._named(_list(body, name)) for name in ("facts", "splits"))
        if stray := new_facts.keys() - {row_digest(fact) for fact in (*facts, *splits)}:
            raise ValueError(f"a fact is recorded with it that it does not show: {sorted(stray)[0]}")
        at = parse_instant(str(body["as_of"]))
        return MarketView(symbol, self._interval, at, self._instruments[symbol], bars, facts, splits)

    def _window(self, symbol: str, count: int, new: Sequence[Bar]) -> tuple[Bar, ...]:
        held = self._bars.get(symbol, {}) | {bar.open_time: bar for bar in new}
        if not 0 < count <= len(held):
            raise ValueError(f"it shows {count} bars, and {len(held)} are recorded")
        shown = {at: held[at] for at in sorted(held)[-count:]}
        for bar in new:
            if bar.symbol != symbol or bar.interval is not self._interval or shown.get(bar.open_time) is not bar:
                raise ValueError(f"a bar is recorded with it that it does not show: {iso(bar.open_time)}")
        self._bars[symbol] = shown
        return tuple(shown.values())

    def _named(self, digests: Sequence[Json]) -> tuple[Fact, ...]:
        if missing := [str(name) for name in digests if str(name) not in self._facts]:
            raise ValueError(f"it shows a fact that is not recorded: {missing[0]}")
        return tuple(self._facts[str(name)] for name in digests)


def recorded_instruments(begin: Record) -> dict[str, Instrument]:
    """The instruments that a `run.begin` names, by symbol. Raises ValueError or KeyError."""
    found = [parse(Instrument, item) for item in _list(begin.body, "instruments")]
    return {instrument.symbol: instrument for instrument in found}


def _list(body: Mapping[str, Json], name: str) -> list[Json]:
    found = body[name]
    if not isinstance(found, list):
        raise ValueError(f"{name} is no list")
    return found
