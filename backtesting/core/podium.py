"""Where sessions that talk at the same time record: the log speaks bar by bar, whoever is ahead of its bar drafts.

What is asked of models, and what they answer, is recorded by everybody at once, because that is paid for. The rest of a
session that is ahead waits in its draft until its turn comes, and is written then in its order; or it is dropped, with
a session whose prediction did not hold. The answers that a dropped session got, or is still to get, are its
successor's: whoever decides in its place and asks the same is given them. A row of the market stands in the log once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from agents.llm.admission import Dropped
from data.model.canonical import sha256_hex
from data.model.market import Bar, Fact, row_digest
from data.model.protocols import Journal, Memory, Record

_UNWRITTEN = datetime.max.replace(tzinfo=UTC)

Pair: TypeAlias = tuple[Record, Record]


@dataclass(eq=False, slots=True)
class _Bequest:
    """What the sessions for one decision hand on, from a dropped one to the next; `changed` guards their drafts too.

    `under_way` holds who asks now, by slot and digest of the request: nobody asks the same beside it.
    """

    changed: threading.Condition = field(default_factory=threading.Condition)
    left: list[Pair] = field(default_factory=list)
    under_way: dict[tuple[str | None, str], Draft] = field(default_factory=dict)

    def take(self, asked: tuple[str | None, str]) -> Pair | None:
        """The earliest answer to that."""
        found = min(
            (pair for pair in self.left if _asked(pair[0]) == asked), key=lambda pair: pair[0].seq, default=None
        )
        if found is not None:
            self.left.remove(found)
        return found


class Draft:
    """What one session records ahead of its turn."""

    def __init__(self, podium: Podium, bequest: _Bequest | None = None) -> None:
        self._podium = podium
        self._bequest = bequest or _Bequest()
        self._changed = self._bequest.changed
        self._held: list[tuple[str, Mapping[str, object], str | None, tuple[int, ...]]] | None = []
        self._dropped = False
        self._answered: list[Pair] = []
        self.asked: list[Record] = []

    def successor(self) -> Draft:
        """For the session that is held in this one's place."""
        return Draft(self._podium, self._bequest)

    def append(self, kind: str, body: Mapping[str, object], slot: str | None, caused_by: Sequence[int]) -> Record:
        """Raises Dropped, and what the journal raises."""
        with self._changed:
            if kind == "llm.response":
                return self._answer(self._podium.write(kind, body, slot, caused_by))
            self.check()
            if kind == "llm.request":
                self.asked.append(self._podium.write(kind, body, slot, caused_by))
                return self.asked[-1]
            if self._held is None:
                return self._podium.write(kind, body, slot, caused_by)
            self._held.append((kind, body, slot, tuple(caused_by)))
            return Record(-1, _UNWRITTEN, kind, {}, slot, tuple(caused_by))

    def recall(self, slot: str, request: bytes) -> Pair | None:
        """See `Memory`: an answer that a dropped session waits for is waited for. Without one, this session asks now.

        Raises Dropped, and what the memory raises.
        """
        asked = slot, sha256_hex(request)
        with self._changed:
            self.check()
            while asked in self._bequest.under_way:
                self._changed.wait()
                self.check()
            pair = self._bequest.take(asked) or self._podium.recorded(slot, request)
            if pair is None:
                self._bequest.under_way[asked] = self
            else:
                self._answered.append(pair)
            return pair

    def open(self) -> None:
        """Its turn has come: writes what waits, and from now on writes at once."""
        with self._changed:
            held, self._held = self._held or [], None
            for each in held:
                self._podium.write(*each)

    def drop(self) -> None:
        """Whoever still talks is stopped at its next word; what was answered is left to the next."""
        with self._changed:
            self._dropped, self._held = True, []
            self._leave_answers()

    def close(self) -> None:
        """Nobody talks any more: what was asked and not answered never will be."""
        with self._changed:
            for asked in [asked for asked, who in self._bequest.under_way.items() if who is self]:
                del self._bequest.under_way[asked]
            self._changed.notify_all()

    def check(self) -> None:
        """Raises Dropped."""
        if self._dropped:
            raise Dropped

    def _answer(self, record: Record) -> Record:
        asked = next(each for each in reversed(self.asked) if each.seq in record.caused_by)
        self._answered.append((asked, record))
        self._bequest.under_way.pop(_asked(asked), None)
        if self._dropped:
            self._leave_answers()
        return record

    def _leave_answers(self) -> None:
        self._bequest.left += self._answered
        self._answered = []
        self._changed.notify_all()


_draft: ContextVar[Draft | None] = ContextVar("the draft of the session under way", default=None)


class Podium:
    """Implements `Journal` and `Memory` over both: one for all sessions, each in its own draft or in none."""

    def __init__(self, behind: Journal, memory: Memory) -> None:
        self._behind = behind
        self._memory = memory
        self._rows: set[str] = set()

    @contextmanager
    def drafting(self, draft: Draft) -> Iterator[None]:
        """Whatever this context records inside the block goes through the draft, which is closed behind it."""
        token = _draft.set(draft)
        try:
            yield
        finally:
            _draft.reset(token)
            draft.close()

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        draft = _draft.get()
        return self.write(kind, body, slot, caused_by) if draft is None else draft.append(kind, body, slot, caused_by)

    def blob(self, data: bytes) -> str:
        return self._behind.blob(data)

    def sync(self) -> None:
        self._behind.sync()

    def recall(self, slot: str, request: bytes) -> Pair | None:
        """See `Memory`. Raises Dropped."""
        draft = _draft.get()
        return self.recorded(slot, request) if draft is None else draft.recall(slot, request)

    def recorded(self, slot: str, request: bytes) -> Pair | None:
        """Past any draft."""
        return self._memory.recall(slot, request)

    def write(self, kind: str, body: Mapping[str, object], slot: str | None, caused_by: Sequence[int]) -> Record:
        """Into the log, past any draft."""
        if kind == "market.view":
            body = {**body, **{name: self._unwritten(body[name]) for name in ("new_bars", "new_facts")}}
        return self._behind.append(kind, body, slot=slot, caused_by=caused_by)

    def _unwritten(self, rows: object) -> list[Bar | Fact]:
        assert isinstance(rows, tuple)
        return [row for row in rows if self._is_new(row)]

    def _is_new(self, row: Bar | Fact) -> bool:
        name = row_digest(row)
        if name in self._rows:
            return False
        self._rows.add(name)
        return True


def _asked(request: Record) -> tuple[str | None, str]:
    return request.slot, str(request.body["audit.request_sha256"])
