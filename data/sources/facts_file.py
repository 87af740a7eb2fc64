"""A file of facts, recognised by its header, and the format of our own.

Our own format has the columns `symbol` (`*` is every symbol), `kind` (fundamental, news, macro, alternative, split,
dividend), `key` (what it is: `cpi`, `NetIncomeLoss`) and `known_at` (a time with its offset, or a date: its end
counts); and, where wanted, `value`, `unit`, `text`, `period` (what it is about: `2025-03`), `source` and `effective_on`
(the session that a split or a dividend applies from; their `known_at` may be left empty). A row has a value or a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data.model.errors import DataError
from data.model.market import EVERY_SYMBOL, Fact, FactKind, Finding
from data.sources.facts import Facts, Places, Reader, Sourced, action, settle
from data.sources.facts_events import read_dividends, read_events, read_news, read_splits
from data.sources.facts_filings import read_companyfacts, read_polygon_quarterly, read_submissions
from data.sources.rows import Row, Table, read_table

ACTIONS = (FactKind.SPLIT, FactKind.DIVIDEND)


@dataclass(frozen=True, slots=True)
class FactFile:
    """What a file says. `layout` is the kind of file that its header showed."""

    name: str
    digest: str
    layout: str
    rows: int
    facts: Facts


def read_fact_file(path: Path, places: Places) -> FactFile:
    """Raises DataError naming the line, or the layouts there are if the header is none of them."""
    table = read_table(path)
    layout, read = _layout(table)
    rows = tuple(table.rows())
    sourced, findings = read(rows, places)
    settled = settle(sourced)
    facts = Facts(settled.facts, (*findings, *settled.findings))
    return FactFile(table.file, table.digest, layout, len(rows), facts)


def _layout(table: Table) -> tuple[str, Reader]:
    for name, (needed, read) in LAYOUTS.items():
        if set(needed.split()) <= set(table.columns):
            return name, read
    known = "; ".join(f"{name}: {', '.join(needed.split())}" for name, (needed, _) in LAYOUTS.items())
    raise DataError(f"{table.file}: columns {', '.join(table.columns)} are no known layout of facts ({known})")


def read_own(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    return [(row, _fact(row, places)) for row in rows], []


def _fact(row: Row, places: Places) -> Fact:
    symbol, kind = places.symbol(row, "symbol"), _kind(row)
    value = row.number("value") if row.optional("value") else None
    source = row.optional("source") or row.file
    if kind in ACTIONS:
        on = row.day("effective_on")
        if value is None or value <= 0:
            raise row.error(f"a {kind} needs a value above zero")
        if symbol == EVERY_SYMBOL:
            raise row.error(f"a {kind} needs a symbol of its own")
        stated = _known_at(row, symbol, places) if row.optional("known_at") else None
        unit = row.optional("unit") or ""
        return action(places, symbol, kind, row.text("key"), value, on, source=source, unit=unit, stated=stated)
    text = row.optional("text")
    if value is None and text is None:
        raise row.error("neither a value nor a text")
    return Fact(
        symbol=symbol,
        kind=kind,
        key=row.text("key"),
        known_at=_known_at(row, symbol, places),
        source=source,
        period=row.optional("period") or "",
        value=value,
        unit=row.optional("unit") or "",
        text=text,
        effective_on=row.optional_day("effective_on"),
    )


def _kind(row: Row) -> FactKind:
    name = row.text("kind").lower()
    if name not in set(FactKind):
        raise row.error(f"kind {name[:60]!r} is none of {', '.join(FactKind)}")
    return FactKind(name)


def _known_at(row: Row, symbol: str, places: Places) -> datetime:
    stated = row.instant_or_day("known_at")
    return stated if isinstance(stated, datetime) else places.end_of_day(symbol, stated)


# The first whose columns are all there.
LAYOUTS: Mapping[str, tuple[str, Reader]] = {
    "facts": ("symbol kind key known_at", read_own),
    "SEC companyfacts": ("symbol concept unit period_start period_end value accession form filed", read_companyfacts),
    "SEC submissions": ("symbol accessionnumber acceptancedatetime form reportdate", read_submissions),
    "Polygon quarterly": (
        "symbol period_start period_end filing_date acceptance_datetime item value unit",
        read_polygon_quarterly,
    ),
    "news": ("symbol published_at title", read_news),
    "dated events": ("symbol date title", read_events),
    "dividends": ("ticker cash_amount ex_dividend_date", read_dividends),
    "splits": ("ticker execution_date split_from split_to", read_splits),
}
