"""The bars that a run read, beside the same bars from elsewhere.

A bar counts as the run first recorded it: as it was played or, of the time before the window, as a view showed it.
Limit: bars of before a split may stand restated in a view, so of a run with splits only what was played is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from backtesting.audit.story import parse
from data.model.canonical import Json, decimal_text
from data.model.instants import show
from data.model.market import Bar
from data.model.protocols import Record

_FIELDS = ("open", "high", "low", "close", "volume")

Bars = Mapping[datetime, Bar]


@dataclass(frozen=True, slots=True)
class BarDifference:
    """A bar that differs, or that one side has not. Values as text; None where there is no bar."""

    symbol: str
    open_time: datetime
    recorded: Mapping[str, str] | None
    found: Mapping[str, str] | None

    def __str__(self) -> str:
        where = f"{self.symbol} {show(self.open_time)}"
        if self.found is None:
            return f"{where}: recorded, and absent elsewhere"
        if self.recorded is None:
            return f"{where}: absent in the record"
        pairs = (f"{name} recorded {self.recorded[name]}, elsewhere {self.found[name]}" for name in self.recorded)
        return f"{where}: {'; '.join(pairs)}"


def recorded_bars(records: Iterable[Record], *, views: bool) -> dict[str, dict[datetime, Bar]]:
    """By symbol and open time; with `views` also those that were only shown. Raises ValueError, KeyError."""
    found: dict[str, dict[datetime, Bar]] = {}
    for record in records:
        for item in _items(record, views=views):
            bar = parse(Bar, item)
            found.setdefault(bar.symbol, {}).setdefault(bar.open_time, bar)
    return found


def differing_bars(recorded: Bars, found: Bars) -> Iterator[BarDifference]:
    """Oldest first, over the time from the first recorded bar to the last."""
    if not recorded:
        return
    first, last = min(recorded), max(recorded)
    for at in sorted({*recorded, *(each for each in found if first <= each <= last)}):
        one, other = recorded.get(at), found.get(at)
        if one is None or other is None:
            symbol = next(bar.symbol for bar in (one, other) if bar is not None)
            yield BarDifference(symbol, at, None if one is None else {}, None if other is None else {})
        elif names := [name for name in _FIELDS if getattr(one, name) != getattr(other, name)]:
            yield BarDifference(one.symbol, at, _shown(one, names), _shown(other, names))


def _items(record: Record, *, views: bool) -> Iterable[Json]:
    if record.kind == "bar":
        return [record.body["bar"]]
    new = record.body.get("new_bars") if record.kind == "market.view" and views else None
    return new if isinstance(new, list) else []


def _shown(bar: Bar, names: Iterable[str]) -> dict[str, str]:
    return {name: decimal_text(getattr(bar, name)) for name in names}
