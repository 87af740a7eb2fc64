"""What every reader of facts shares: where a file's symbols belong, and how its rows become versions of facts.

A fact may appear with several values over time; each is known from its own publication. A row that repeats what is
known already changes nothing and is counted; two different values with one publication reject the file, since no rule
could tell which was said first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from data.model.canonical import sha256_hex
from data.model.instants import show
from data.model.market import Fact, FactKind, Finding
from data.sources.calendars import end_of_day, session_open
from data.sources.rows import Row

LONGEST_KEY = 300
Sourced = tuple[Row, Fact]


@dataclass(frozen=True, slots=True)
class Places:
    """Which symbol a file's name stands for, and the calendar that its days follow."""

    rename: Mapping[str, str]
    calendar_of: Callable[[str], str]

    def symbol(self, row: Row, column: str) -> str:
        name = row.text(column)
        return self.rename.get(name, name)

    def end_of_day(self, symbol: str, day: date) -> datetime:
        """When a fact with a date and no time counts as known: once the day is over in the market's zone."""
        return end_of_day(self.calendar_of(symbol), day)

    def session_open(self, symbol: str, day: date) -> datetime:
        return session_open(self.calendar_of(symbol), day)


@dataclass(frozen=True, slots=True)
class Facts:
    """A file's facts in the order they became known, how many rows it had, and what was odd."""

    facts: tuple[Fact, ...]
    findings: tuple[Finding, ...]


Reader = Callable[[Sequence[Row], Places], tuple[list[Sourced], list[Finding]]]


def key_of(text: str) -> str:
    """A name that fits the store: a very long address is cut, and its digest keeps it unique."""
    return text if len(text) <= LONGEST_KEY else f"{text[: LONGEST_KEY - 18]}… {sha256_hex(text.encode())[:16]}"


def settle(sourced: Iterable[Sourced]) -> Facts:
    """Publications of each fact, oldest first. Raises DataError where two rows contradict each other.

    A later publication that says the same again is kept: if a later file changes what it said, the store must know that
    it had been heard, or it would take the change for a publication that was only found late.
    """
    latest: dict[tuple[str, FactKind, str, str], Sourced] = {}
    kept: list[Fact] = []
    repeats: list[Fact] = []
    for row, fact in sorted(sourced, key=lambda each: each[1].known_at):
        name = (fact.symbol, fact.kind, fact.key, fact.period)
        before = latest.get(name)
        if before and _said(before[1]) == _said(fact):
            repeats.append(fact)
            if before[1].known_at != fact.known_at:
                latest[name] = (row, fact)
                kept.append(fact)
            continue
        if before and before[1].known_at == fact.known_at:
            raise row.error(
                f"another {fact.kind} {fact.key[:80]!r} {fact.period} of {fact.symbol} than in line {before[0].line}, "
                f"both known at {show(fact.known_at)}"
            )
        latest[name] = (row, fact)
        kept.append(fact)
    return Facts(tuple(kept), counted("repeated", repeats, "rows that repeat what was known already"))


def action(
    places: Places,
    symbol: str,
    kind: FactKind,
    key: str,
    value: Decimal,
    on: date,
    *,
    source: str,
    unit: str = "",
    stated: datetime | None = None,
) -> Fact:
    """A split or a dividend that applies from the session of `on`: known at its open, or earlier where so stated."""
    opens = places.session_open(symbol, on)
    return Fact(
        symbol=symbol,
        kind=kind,
        key=key,
        known_at=opens if stated is None else min(stated, opens),
        source=source,
        period=on.isoformat(),
        value=value,
        unit=unit,
        effective_on=on,
    )


def left_out(code: str, rows: list[Row], message: str) -> list[Finding]:
    examples = tuple(f"line {row.line}" for row in rows[:5])
    return [Finding(code, "warning", len(rows), message, examples)] if rows else []


def _said(fact: Fact) -> tuple[object, ...]:
    return (fact.value, fact.unit, fact.text, fact.effective_on)


def counted(code: str, facts: list[Fact], message: str) -> tuple[Finding, ...]:
    examples = tuple(f"{fact.key[:60]} {fact.period}".strip() for fact in facts[:5])
    return (Finding(code, "note", len(facts), message, examples),) if facts else ()
