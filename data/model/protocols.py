"""What rooms expect of each other, as protocols: a fake is six lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from data.model.canonical import Json
from data.model.market import Bar, Fact
from data.model.trading import BarOutcome, Book, Cancellation, EquityRow, Fill, Order, Trade


class Clock(Protocol):
    """The wall clock, passed in: it stamps records and never enters a decision."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a journal. `slot` is the place in the run it belongs to; `caused_by` the seqs it rests on."""

    seq: int
    at: datetime
    kind: str
    body: Mapping[str, Json]
    slot: str | None = None
    caused_by: tuple[int, ...] = ()


class Journal(Protocol):
    """An append-only log. Every method raises JournalBroken if it cannot keep its promise."""

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        """Adds a record after all earlier ones."""

    def blob(self, data: bytes) -> str:
        """Keeps a body outside the log; returns its SHA-256."""

    def sync(self) -> None:
        """Returns once everything appended so far survives a crash."""


class Memory(Protocol):
    """What models answered in this run before: a reply is delivered again for the same slot and the same request."""

    def recall(self, slot: str, request: bytes) -> tuple[Record, Record] | None:
        """The next recorded `llm.request` and `llm.response` for these bytes in this slot, each pair once."""


class Broker(Protocol):
    """Turns orders and the NEXT bar into fills."""

    def fork(self) -> Broker:
        """A broker in the same state that plays on by itself."""

    def submit(self, order: Order) -> None: ...

    def on_bar(self, bar: Bar, buying_power: Decimal) -> BarOutcome:
        """Orders fill at this bar's open, then stops and targets live in it. `buying_power` bounds what opens."""

    def apply_split(self, split: Fact) -> None:
        """Restates waiting orders and protective levels in new shares, before the first bar that trades in them."""

    def at_end(self, at: datetime) -> tuple[Cancellation, ...]:
        """Orders that have no next bar expire."""


class Ledger(Protocol):
    """Cash and positions, exactly."""

    def fork(self) -> Ledger:
        """A ledger in the same state that goes on by itself."""

    def apply(self, fill: Fill) -> None: ...

    def apply_action(self, action: Fact, at: datetime) -> None:
        """A split or a dividend, before the first bar of its session."""

    def mark(self, bars: Mapping[str, Bar], at: datetime) -> EquityRow: ...

    def book(self, as_of: datetime) -> Book: ...

    def trades(self, since: int = 0) -> tuple[Trade, ...]:
        """Closed round trips, without the first `since`."""
