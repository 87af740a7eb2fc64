"""The journal of one run: canonical JSON, one record a line, appended, never edited, and signed.

Promise: once `sync` has returned, a record is on disk, after all earlier ones, and the checkpoint that `sync` signed
shows any later change of it. A failed write or fsync is final (`JournalBroken`, latched), because what the kernel
dropped once cannot be asked for again. A value of a body above 48 KiB goes to `blobs/sha256/` and leaves its digest
behind. Several threads may append; one flush serves all who wait for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from data.journal.checkpoints import CheckpointFile
from data.journal.line import SPILL_BYTES, blob_path, encode
from data.journal.merkle import leaf_hash
from data.journal.notes import Checkpoint, SigningKey
from data.journal.opened import OpenLog, keep
from data.model.canonical import Json, canonical_bytes, sha256_hex, to_json
from data.model.errors import JournalBroken, UsageError
from data.model.protocols import Clock, Record

MOST_UNSIGNED = 4096

Listener = Callable[[Record], None]


class RunJournal:
    """Implements `Journal` on an open log. Listeners hear each record, whole, after it was written."""

    def __init__(self, log: OpenLog, clock: Clock, key: SigningKey, listeners: Sequence[Listener] = ()) -> None:
        """`key` signs the checkpoints; its name is theirs. Raises UsageError if the folder cannot be written."""
        self.folder = log.folder
        self._clock = clock
        self._listeners = tuple(listeners)
        self._lock = threading.RLock()
        self._flushing = threading.Lock()
        self._broken: str | None = None
        self._descriptor = log.descriptor
        self._tree = log.tree
        self._fresh = list(log.unsigned)
        self._signed = log.tree.size - len(self._fresh)
        try:
            self._checkpoints = CheckpointFile(log.folder, key)
        except OSError as error:
            raise UsageError(f"{log.folder} cannot be written: {error.strerror or error}") from None

    @property
    def last(self) -> Checkpoint | None:
        """The last checkpoint signed here; None before the first."""
        return self._checkpoints.last

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        """Adds a record. Raises JournalBroken."""
        whole = {name: to_json(value) for name, value in body.items()}
        encoded = self._lean(whole)
        with self._lock:
            self._check()
            record = Record(self._tree.size, self._clock.now(), kind, whole, slot, tuple(caused_by))
            line = encode(record, encoded)
            self._write(line + b"\n")
            leaf = leaf_hash(line)
            self._tree.add(leaf)
            self._fresh.append(leaf)
            self._tell(record)
            crowded = len(self._fresh) >= MOST_UNSIGNED
        if crowded:
            self.sync()
        return record

    def blob(self, data: bytes) -> str:
        """Keeps `data` under its SHA-256, durably. Raises JournalBroken."""
        name = sha256_hex(data)
        path = blob_path(self.folder, name)
        if path.exists():
            return name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            keep(path, data)
        except OSError as error:
            self._break(error)
        return name

    def sync(self) -> None:
        """Returns once everything appended so far survives a crash and is signed. Raises JournalBroken."""
        wanted = self._tree.size
        with self._flushing:
            if self._signed >= wanted and self._broken is None:
                return
            with self._lock:
                self._check()
                size, root, leaves = self._tree.size, self._tree.root(), self._fresh
                self._fresh = []
            try:
                os.fsync(self._descriptor)
                self._checkpoints.add(size, root, leaves)
            except OSError as error:
                self._break(error)
            self._signed = size

    def close(self) -> None:
        """Releases the run's lock; nothing can be appended any more."""
        with self._lock:
            if self._broken is None:
                self._broken = "the journal is closed"
            if self._descriptor >= 0:
                self._checkpoints.close()
                os.close(self._descriptor)
                self._descriptor = -1

    def _lean(self, whole: Mapping[str, Json]) -> bytes:
        """The body's JSON, with large values left in blobs."""
        encoded = canonical_bytes(whole)
        if len(encoded) <= SPILL_BYTES:
            return encoded
        return canonical_bytes({name: self._spill(value) for name, value in whole.items()})

    def _spill(self, value: Json) -> Json:
        if not isinstance(value, (str, list, dict)):
            return value
        data = value.encode() if isinstance(value, str) else canonical_bytes(value)
        if len(data) <= SPILL_BYTES:
            return value
        return {"blob": self.blob(data), "media": "text" if isinstance(value, str) else "json"}

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            self._break(error)

    def _tell(self, record: Record) -> None:
        try:
            for listener in self._listeners:
                listener(record)
        except JournalBroken as error:
            self._stop(str(error), error)

    def _check(self) -> None:
        if self._broken is not None:
            raise JournalBroken(self._broken)

    def _break(self, error: OSError) -> NoReturn:
        self._stop(f"the journal in {self.folder} cannot be written ({error.strerror or error})", error)

    def _stop(self, why: str, error: BaseException) -> NoReturn:
        self._broken = (
            f"{why}, so nothing goes on; what was recorded until then is kept. Mend that, then go on with "
            f"--resume {self.folder}"
        )
        raise JournalBroken(self._broken) from error
