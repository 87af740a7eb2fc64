"""What an ingest is about to store: bars or facts, with their source, and the digest that names the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from data.model.canonical import sha256_hex
from data.model.instants import Interval
from data.model.market import Fact, Finding
from data.sources.bars import RawBar

Watch = Callable[[str], None]
"""Told in a few words what goes on; a terminal shows it, everything else ignores it."""


def unwatched(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class BarBatch:
    """Bars as printed. `adjustment` is `none`, or says which later corporate actions the levels contain."""

    source: str
    digest: str
    symbol: str
    interval: Interval
    bars: tuple[RawBar, ...]
    adjustment: str = "none"
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class FactBatch:
    """Facts, oldest first, and the number of rows they were made from."""

    source: str
    digest: str
    rows: int
    facts: tuple[Fact, ...]
    findings: tuple[Finding, ...] = ()


def digest_of(rows: Iterable[object]) -> str:
    """The digest of rows that came from no file. They are frozen dataclasses of plain values: one `repr` each."""
    return sha256_hex("\n".join(map(repr, rows)).encode())
