"""The sample: real daily data that the `arch` package ships, so that a first run needs neither network nor key.

S&P 500 and Nasdaq Composite, daily 1999 to 2018, as bars of two indices; VIX (from 2014) and WTI crude (from 1986) as
macro facts about every symbol. A market's value is known at the close of its own session: VIX at 16:15 New York,
WTI at the end of its futures session. A day without a value (a holiday in FRED's files) is left out and counted. Limit:
the databases that publish these series do so some days later; whoever traded saw the prices on the day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import import_module
from math import isnan
from typing import Any

from data.model.instants import Interval
from data.model.market import EVERY_SYMBOL, Fact, FactKind, Finding
from data.sources.bars import RawBar
from data.sources.calendars import session_close
from data.sources.series import BarBatch, FactBatch, digest_of

INDICES = {"SP500": "sp500", "NASDAQ": "nasdaq"}


@dataclass(frozen=True, slots=True)
class _Series:
    key: str
    module: str
    column: str
    unit: str
    calendar: str


MARKETS = (
    _Series("VIX", "vix", "vix", "index points", "XCBF"),
    _Series("WTI", "wti", "DCOILWTICO", "USD/barrel", "CMES"),
)


def sample_bars() -> Iterator[BarBatch]:
    """Daily bars of each index; the session date is the row's date."""
    for symbol, module in INDICES.items():
        frame = _load(module)
        columns = zip(frame.index, *(frame[name] for name in ("Open", "High", "Low", "Close", "Volume")), strict=True)
        bars = tuple(_bar(number, *row) for number, row in enumerate(columns, 1))
        yield BarBatch(f"sample: arch.data.{module}", digest_of(bars), symbol, Interval.D1, bars)


def sample_facts() -> Iterator[FactBatch]:
    """One fact a day and series."""
    for series in MARKETS:
        frame = _load(series.module)
        rows = [(stamp.date(), float(value)) for stamp, value in zip(frame.index, frame[series.column], strict=True)]
        facts = tuple(_fact(series, day, value) for day, value in rows if not isnan(value))
        absent = [str(day) for day, value in rows if isnan(value)]
        findings = (Finding("no_value", "note", len(absent), "days without a value, left out", tuple(absent[:5])),)
        source = f"sample: arch.data.{series.module}"
        yield FactBatch(source, digest_of(facts), len(rows), facts, findings if absent else ())


# pandas frames come from a package without types, so `Any` ends here.
def _load(module: str) -> Any:
    return import_module(f"arch.data.{module}").load()


def _bar(number: int, stamp: Any, *values: float) -> RawBar:
    return RawBar.of(f"row {number}", stamp.date(), [Decimal(repr(float(value))) for value in values])


def _fact(series: _Series, day: date, value: float) -> Fact:
    return Fact(
        symbol=EVERY_SYMBOL,
        kind=FactKind.MACRO,
        key=series.key,
        known_at=session_close(series.calendar, day),
        source=f"arch.data.{series.module}",
        period=day.isoformat(),
        value=Decimal(repr(value)),
        unit=series.unit,
    )
