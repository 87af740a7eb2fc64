"""A journal that lives as long as the process: for tests, and for chats outside a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from data.model.canonical import sha256_hex, to_json
from data.model.protocols import Clock, Record

Listener = Callable[[Record], None]


class MemoryJournal:
    """Implements `Journal`. Listeners hear each record."""

    def __init__(self, clock: Clock, listeners: Sequence[Listener] = ()) -> None:
        self.records: list[Record] = []
        self.blobs: dict[str, bytes] = {}
        self._clock = clock
        self._listeners = tuple(listeners)
        self._lock = threading.RLock()

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        whole = {name: to_json(value) for name, value in body.items()}
        with self._lock:
            record = Record(len(self.records), self._clock.now(), kind, whole, slot, tuple(caused_by))
            self.records.append(record)
            for listener in self._listeners:
                listener(record)
        return record

    def blob(self, data: bytes) -> str:
        self.blobs[sha256_hex(data)] = data
        return sha256_hex(data)

    def sync(self) -> None:
        """Nothing to do: memory does not survive a crash, and nobody is told that it would."""
