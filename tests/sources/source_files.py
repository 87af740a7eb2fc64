"""Small files and clocks for the tests of the sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from data.model.instants import Interval
from data.model.market import Bar, Fact, Finding, Instrument
from data.sources.bars import Series, build_series, utc_day
from data.sources.csv_bars import read_bar_file
from data.sources.facts import Places
from data.sources.facts_file import FactFile, read_fact_file
from data.sources.instruments import calendar_of, instrument_for
from data.sources.quality import inspect

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "open_time,open,high,low,close,volume"


@dataclass(frozen=True)
class FixedClock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def write(folder: Path, *lines: str, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def bar_line(stamp: str, price: str = "100", volume: str = "1") -> str:
    return f"{stamp},{price},{price},{price},{price},{volume}"


@dataclass(frozen=True)
class Checked:
    """What becomes of a file of bars before it is stored."""

    instrument: Instrument
    adjustment: str
    bars: tuple[Bar, ...]
    findings: dict[str, Finding]


def checked(path: Path, symbol: str, interval: str, market: str | None = None, now: datetime = NOW) -> Checked:
    length = Interval(interval)
    file = read_bar_file(path, symbol, length, {})
    instrument = instrument_for(symbol, sorted(map(utc_day, file.bars)), market)
    series: Series = build_series(file.name, file.bars, instrument, length, now)
    bars, odd = inspect(series.bars, instrument, length, adjusted=file.adjustment != "none")
    findings = {finding.code: finding for finding in (*file.findings, *series.findings, *odd)}
    return Checked(instrument, file.adjustment, bars, findings)


def read_facts(path: Path, **rename: str) -> FactFile:
    return read_fact_file(path, Places(rename, calendar_of))


def versions(file: FactFile, key: str, period: str) -> list[tuple[datetime, Decimal | None]]:
    return [(fact.known_at, fact.value) for fact in file.facts.facts if (fact.key, fact.period) == (key, period)]


def known(file: FactFile, at: datetime) -> list[Fact]:
    return [fact for fact in file.facts.facts if fact.known_at <= at]
