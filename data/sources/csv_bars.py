"""Bars out of a CSV file, plain, gzip or zip: columns are found by their names, in any order.

Needed: a time (`open_time`, `timestamp`, `datetime`, `date` or `time`), `open high low close volume`. Taken where
there: `symbol` and `interval`, which must agree with what was asked for; `session_date`; `adjustment`, one text for the
whole file; `synthetic`, where a row that says anything but `no` marks the whole file as made up. A file with a column
`adj_close` holds prices that were restated after every split, as Yahoo's are, and counts as adjusted. Other columns are
ignored, and named in the report. A file of twelve numbers a row and no names is one of data.binance.vision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Finding
from data.sources.bars import RawBar
from data.sources.rows import Row, Table, read_table

TIMES = ("open_time", "timestamp", "datetime", "date", "time")
SESSIONS = ("session_date", "session_on")
NEEDED = ("open", "high", "low", "close", "volume")
TAKEN = {*TIMES, *SESSIONS, *NEEDED, "symbol", "interval", "adjustment", "adj_close", "synthetic"}
# Source: https://github.com/binance/binance-public-data#klines
KLINES = ("open_time", *NEEDED, "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "ignore")
UNADJUSTED = "none"
SPLIT_ADJUSTED = "split (later splits are in the earlier prices)"


@dataclass(frozen=True, slots=True)
class BarFile:
    """What a file says, before it is known which instrument it is."""

    name: str
    digest: str
    adjustment: str
    bars: tuple[RawBar, ...]
    findings: tuple[Finding, ...]
    synthetic: bool


def read_bar_file(path: Path, symbol: str, interval: Interval, rename: Mapping[str, str]) -> BarFile:
    """Raises DataError naming the line. `rename` maps the file's symbols to ours."""
    table = read_table(path, KLINES)
    time_column = next((name for name in TIMES if name in table.columns), None)
    missing = [name for name in NEEDED if name not in table.columns]
    if time_column is None or missing:
        wanted = ", ".join([*missing, *([] if time_column else ["a time (open_time)"])])
        raise DataError(f"{table.file}: no column for {wanted}; its columns are {', '.join(table.columns)}")
    session_column = next((name for name in SESSIONS if name in table.columns), None)
    adjustment = SPLIT_ADJUSTED if "adj_close" in table.columns and "adjustment" not in table.columns else None
    bars, synthetic = [], False
    for row in table.rows():
        _agree(row, symbol, interval, rename)
        said = row.optional("adjustment") or adjustment or UNADJUSTED
        adjustment = adjustment or said
        if said != adjustment:
            raise row.error(f"adjustment {said!r} differs from {adjustment!r} in the rows before")
        synthetic = synthetic or (row.optional("synthetic") or "no").lower() != "no"
        bars.append(_bar(row, time_column, session_column))
    return BarFile(table.file, table.digest, adjustment or UNADJUSTED, tuple(bars), _ignored(table), synthetic)


def _bar(row: Row, time_column: str, session_column: str | None) -> RawBar:
    session_on = row.optional_day(session_column) if session_column else None
    return RawBar.of(f"line {row.line}", row.instant_or_day(time_column), [*map(row.number, NEEDED)], session_on)


def _agree(row: Row, symbol: str, interval: Interval, rename: Mapping[str, str]) -> None:
    named = row.optional("symbol")
    if named and rename.get(named, named) != symbol:
        raise row.error(f"symbol {named!r} is not --symbol {symbol} (--rename {named} {symbol} if you mean it)")
    length = row.optional("interval")
    if length and length.lower() != interval:
        raise row.error(f"interval {length!r} is not --interval {interval}")


def _ignored(table: Table) -> tuple[Finding, ...]:
    names = tuple(name for name in table.columns if table.has_header and name not in TAKEN)
    return (Finding("ignored_column", "note", len(names), "columns that are not used", names),) if names else ()
