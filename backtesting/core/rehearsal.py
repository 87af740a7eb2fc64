"""A run that is played again: what it records is compared with what is on record, and models' answers come from there.

Resume and replay are the same code as a first run, over a `Rehearsal` instead of a bare journal. While there is
something on record, each new record must equal it and none is written twice; then the journal behind takes over. A
model's answer is delivered again for the same slot and the same request, once. Whoever parts from the record is stopped
by `Diverged`, with the slot and the place where it parts.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from data.journal.shelf import Place, Shelf
from data.model.canonical import Json, sha256_hex, to_json
from data.model.differences import Difference, differences, first_difference
from data.model.errors import JournalBroken
from data.model.protocols import Journal, Record

FRAME = frozenset(
    {"run.begin", "project.entry", "anchor", "recovery", "orphan", "session.discarded", "run.end", "rendered"}
)
"""What the command records about the run, around what the run itself records."""

Listener = Callable[[Record], None]
Asked = Callable[[Record, tuple[Difference, ...]], None]


class Diverged(JournalBroken):
    """The run no longer follows its record. `slot` is the place in the run, `seq` the record it parts from."""

    exit_code = 1

    def __init__(self, slot: str | None, kind: str, seq: int | None, difference: Difference, *, hint: str = "") -> None:
        self.slot, self.kind, self.seq, self.difference = slot, kind, seq, difference
        at = f" at {difference.pointer}" if difference.pointer else ""
        where = f"slot {slot}" if slot else f"the {kind} of record {seq}"
        super().__init__(
            f"{where} differs from the record{at}: recorded {difference.before!r}, now {difference.now!r}{hint}"
        )

    def with_hint(self, hint: str) -> Diverged:
        """The same with what to do about it."""
        return Diverged(self.slot, self.kind, self.seq, self.difference, hint=f"; {hint}")


class Rehearsal:
    """Implements `Journal` and `Memory`. `heard` is told of each record that was met again."""

    def __init__(
        self,
        behind: Journal,
        shelf: Shelf | None = None,
        heard: Sequence[Listener] = (),
        asked_otherwise: Asked | None = None,
    ) -> None:
        """Without a shelf nothing is on record: a first run. With `asked_otherwise` a changed request is no reason to
        stop: it is told, and gets the answer of the one that was recorded in its slot."""
        self._behind = behind
        self._asked_otherwise = asked_otherwise
        self._shelf = shelf
        self._heard = tuple(heard)
        self._lock = threading.RLock()
        live = shelf.live() if shelf else []
        self._waiting: dict[tuple[str, str | None], deque[Place]] = defaultdict(deque)
        self._left: dict[int, Place] = {}
        for place in live:
            if place.kind not in FRAME and not place.kind.startswith("llm."):
                self._waiting[place.kind, place.slot].append(place)
                self._left[place.seq] = place
        self._exchanges = _exchanges(live)

    @property
    def left(self) -> int:
        """How many records have not been met again yet."""
        return len(self._left)

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        """Raises Diverged, and what the journal behind raises."""
        if not self._left:
            return self._behind.append(kind, body, slot=slot, caused_by=caused_by)
        whole = {name: to_json(value) for name, value in body.items()}
        with self._lock:
            record = self._expected(kind, slot, whole)
            self._compare(record, whole, tuple(caused_by))
            for listener in self._heard:
                listener(record)
        return record

    def blob(self, data: bytes) -> str:
        return self._behind.blob(data)

    def sync(self) -> None:
        if not self._left:
            self._behind.sync()

    def recall(self, slot: str, request: bytes) -> tuple[Record, Record] | None:
        """See `Memory`. Raises Diverged where the record holds another request for this slot."""
        with self._lock:
            known = self._exchanges.get(slot)
            if not known or self._shelf is None:
                return None
            asked = sha256_hex(request)
            pair = next((pair for pair in known if pair[0].asked == asked), None)
            if pair is not None:
                known.remove(pair)
                return self._shelf.read(pair[0]), self._shelf.read(pair[1])
            if not self._left:
                return None
            return self._other_request(known, request)

    def require_all_met(self) -> None:
        """Raises Diverged if something is on record that did not happen again."""
        if self._left:
            place = self._left[min(self._left)]
            raise Diverged(place.slot, place.kind, place.seq, Difference("", place.kind, "nothing more"))

    def close(self) -> None:
        if self._shelf is not None:
            self._shelf.close()

    def _expected(self, kind: str, slot: str | None, body: Mapping[str, Json]) -> Record:
        queue = self._waiting.get((kind, slot))
        if not queue or self._shelf is None:
            place = self._left[min(self._left)]
            expected = f"{place.kind} of {place.slot}" if place.slot else place.kind
            raise Diverged(place.slot or slot, place.kind, place.seq, Difference("", expected, kind))
        place = queue.popleft()
        del self._left[place.seq]
        return self._shelf.read(place)

    def _compare(self, record: Record, body: Mapping[str, Json], caused_by: tuple[int, ...]) -> None:
        if body != record.body:
            found = first_difference(dict(record.body), dict(body))
            if found is not None:
                raise Diverged(record.slot, record.kind, record.seq, found.around())
        if caused_by != record.caused_by:
            found = Difference("", f"caused by {record.caused_by}", f"caused by {caused_by}")
            raise Diverged(record.slot, record.kind, record.seq, found)

    def _other_request(self, known: list[tuple[Place, Place]], request: bytes) -> tuple[Record, Record]:
        assert self._shelf is not None
        recorded, answer = (self._shelf.read(place) for place in known[0])
        parted = tuple(differences(_parsed(recorded.body.get("body")), _parsed(request)))
        if self._asked_otherwise is None:
            raise Diverged(recorded.slot, recorded.kind, recorded.seq, parted[0].around())
        self._asked_otherwise(recorded, parted)
        del known[0]
        return recorded, answer


def _exchanges(live: Sequence[Place]) -> dict[str, list[tuple[Place, Place]]]:
    """Requests with their responses by slot, in the order they were asked; a request without one is left out."""
    requests = {place.seq: place for place in live if place.kind == "llm.request"}
    found: dict[str, list[tuple[Place, Place]]] = defaultdict(list)
    for place in live:
        if place.kind == "llm.response" and place.slot is not None and place.caused_by:
            request = requests.get(place.caused_by[0])
            if request is not None and request.slot == place.slot:
                found[place.slot].append((request, place))
    for pairs in found.values():
        pairs.sort(key=lambda pair: pair[0].seq)
    return found


def _parsed(body: Json | bytes) -> Json:
    try:
        parsed: Json = json.loads(body if isinstance(body, bytes) else str(body))
    except ValueError:
        return str(body)
    return parsed
