"""News, dated events, dividends and splits.

- News is known at `published_at`. Where the vendor's own `published_at_raw` says another time, it wrote local time as
  UTC: that column is never used, and the report counts the rows.
- An event with a date and no time is known at the END of its day.
- A split is known at the open of its execution session, a dividend at the end of its declaration day, but never later
  than the open of its ex session (there too, if no declaration day is given).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from data.model.market import Fact, FactKind, Finding
from data.sources.facts import Places, Sourced, action, key_of
from data.sources.rows import Row


def read_news(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    sourced = [(row, _headline(row, places)) for row in rows]
    ahead = Counter(_ahead(row, fact.known_at) for row, fact in sourced)
    findings = [
        Finding("wrong_zone", "note", count, f"rows whose published_at_raw runs {hours:+g} h off; published_at counts")
        for hours, count in sorted(ahead.items())
        if hours
    ]
    return sourced, findings


def _headline(row: Row, places: Places) -> Fact:
    title, more = row.text("title"), row.optional("description")
    return Fact(
        symbol=places.symbol(row, "symbol"),
        kind=FactKind.NEWS,
        key=key_of(row.optional("url") or title),
        known_at=row.instant("published_at"),
        source=row.optional("source") or "news",
        text=f"{title} — {more}" if more and more != title else title,
    )


def _ahead(row: Row, known_at: datetime) -> float:
    """Hours that the raw time, read as UTC, runs ahead."""
    if not row.optional("published_at_raw"):
        return 0.0
    raw = row.wall_time("published_at_raw").replace(tzinfo=UTC)
    return (raw - known_at) / timedelta(hours=1)


def read_events(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    message = "events with a date and no time; known at the end of that day"
    findings = [Finding("date_only", "note", len(rows), message)]
    return [(row, _event(row, places)) for row in rows], findings


def _event(row: Row, places: Places) -> Fact:
    symbol, day = places.symbol(row, "symbol"), row.day("date")
    return Fact(
        symbol=symbol,
        kind=FactKind.NEWS,
        key=key_of(row.optional("url") or row.text("title")),
        known_at=places.end_of_day(symbol, day),
        source="dated events",
        period=day.isoformat(),
        text=row.text("title"),
    )


def read_dividends(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    undeclared = sum(1 for row in rows if not row.optional("declaration_date"))
    message = "dividends without a declaration day; known at the open of their ex session"
    findings = [Finding("no_declaration", "note", undeclared, message)] if undeclared else []
    return [(row, _dividend(row, places)) for row in rows], findings


def _dividend(row: Row, places: Places) -> Fact:
    symbol, amount, declared = (
        places.symbol(row, "ticker"),
        row.number("cash_amount"),
        row.optional_day("declaration_date"),
    )
    if amount <= 0:
        raise row.error(f"cash_amount {amount} is not a dividend")
    return action(
        places,
        symbol,
        FactKind.DIVIDEND,
        row.optional("dividend_type") or "cash",
        amount,
        row.day("ex_dividend_date"),
        source="dividends",
        unit=row.optional("currency") or "USD",
        stated=places.end_of_day(symbol, declared) if declared else None,
    )


def read_splits(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    return [(row, _split(row, places)) for row in rows], []


def _split(row: Row, places: Places) -> Fact:
    before, after = row.number("split_from"), row.number("split_to")
    if before <= 0 or after <= 0:
        raise row.error(f"{after} new shares for {before} old ones is not a split")
    return action(
        places,
        places.symbol(row, "ticker"),
        FactKind.SPLIT,
        "split",
        after / before,
        row.day("execution_date"),
        source="splits",
        unit="new shares per old share",
    )
