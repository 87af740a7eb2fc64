"""The project's log beside the runs: each run is entered here before its first call to a model, and when it ends.

So how often something was tried is known to whoever has the log ("run 17, the 3rd with this question, 6 unfinished"),
and a run carries the log's root of that moment. Formats are a run's: `log.jsonl` (`project.run_begun`,
`project.run_ended`, `recovery`), `checkpoints` after each append, and `project.pub` with who signs them.

Promise: many processes may append; an entry is durable and signed before `begun` returns; a process killed at any
moment blocks nobody. A log that is not what was signed is refused: numbers out of it would be worth nothing. Limits:
each machine counts for itself, and who has the key can begin a new log; then the runs' own roots give it away.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from data.journal.certificates import with_certificates
from data.journal.checkpoints import FILE_NAME
from data.journal.keyring import Keyring, RunKey
from data.journal.line import encode
from data.journal.merkle import leaf_hash
from data.journal.notes import Checkpoint, sign_note
from data.journal.opened import keep, sync_folder
from data.journal.project_entries import (
    BEGUN,
    ENDED,
    ORIGIN,
    PUBLIC_NAME,
    RECOVERY,
    Entries,
    Trial,
    check,
    read_entries,
)
from data.journal.reading import LOG_NAME
from data.model.canonical import Json, canonical_bytes, sha256_hex
from data.model.errors import JournalBroken, UsageError
from data.model.protocols import Clock, Record

__all__ = ["ProjectLog", "Trial", "check"]
_TORN_KEPT = 48 * 1024


class ProjectLog:
    """The log in `folder`, made at first use."""

    def __init__(self, folder: Path, keyring: Keyring, clock: Clock) -> None:
        self.folder = folder
        self._keyring = keyring
        self._clock = clock

    def begun(self, run_id: str, question_digest: str, first_leaf: str) -> Trial:
        """Enters a run, durably; for one that is entered already its first standing.

        `first_leaf` is the leaf hash of its `run.begin`, in hex. Raises UsageError, DataError, JournalBroken.
        """
        body: dict[str, Json] = {"first_leaf": first_leaf, "question_digest": question_digest, "run_id": run_id}
        with self._locked() as descriptor:
            log = read_entries(self.folder)
            same = (each.seq for each in log.records if each.kind == BEGUN and each.body == body)
            seq = next(same, None)
            if seq is None:
                log = self._append(descriptor, log, BEGUN, body)
                seq = len(log.records) - 1
            elif seq >= log.covered:  # whoever entered it was killed before it was signed
                self._seal(descriptor, log, b"")
            return log.trial(seq)

    def ended(self, run_id: str, status: str, head: str) -> None:
        """Enters a run's end and its last head, once. A run that was not entered here ends where it was.

        Raises UsageError, DataError, JournalBroken.
        """
        body: dict[str, Json] = {"head": head, "run_id": run_id, "status": status}
        if not (self.folder / LOG_NAME).exists():
            return
        with self._locked() as descriptor:
            log = read_entries(self.folder)
            causes = tuple(each.seq for each in log.records if each.kind == BEGUN and each.body["run_id"] == run_id)
            same = next((each.seq for each in log.records if each.kind == ENDED and each.body == body), None)
            if same is None and causes:
                self._append(descriptor, log, ENDED, body, causes[-1:])
            elif same is not None and same >= log.covered:
                self._seal(descriptor, log, b"")

    @contextmanager
    def _locked(self) -> Iterator[int]:
        path = self.folder / LOG_NAME
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"the project log {path} cannot be written: {error.strerror}; make it writable") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _append(
        self, descriptor: int, log: Entries, kind: str, body: Mapping[str, Json], causes: tuple[int, ...] = ()
    ) -> Entries:
        """The log with the record, after one about a torn tail if there is one."""
        added, at = [], self._clock.now()
        if log.torn:
            added.append(Record(len(log.records), at, RECOVERY, _set_aside(log.torn)))
        added.append(Record(len(log.records) + len(added), at, kind, body, caused_by=causes))
        lines = [encode(record, canonical_bytes(record.body)) for record in added]
        longer = Entries([*log.records, *added], [*log.leaves, *map(leaf_hash, lines)], log.points, log.length, b"")
        self._seal(descriptor, longer, b"".join(line + b"\n" for line in lines))
        return longer

    def _seal(self, descriptor: int, log: Entries, added: bytes) -> None:
        """Writes what was added, over a torn tail, and signs the log; both are durable."""
        issuer = self._keyring.issuer()
        try:
            self._vouch(issuer)
            if added:
                _write(descriptor, added, log.length)
            os.fsync(descriptor)
            self._sign(log, issuer)
        except OSError as error:
            raise JournalBroken(
                f"the project log in {self.folder} cannot be written ({error.strerror or error}), so no run begins or "
                "ends; make room"
            ) from error

    def _vouch(self, issuer: RunKey) -> None:
        path = self.folder / PUBLIC_NAME
        held = path.read_bytes() if path.exists() else b""
        wanted = with_certificates(held, issuer.certificates)
        if wanted != held:
            keep(path, wanted)

    def _sign(self, log: Entries, issuer: RunKey) -> None:
        point = Checkpoint(ORIGIN, len(log.leaves), log.root, tuple(log.leaves[log.covered :]))
        descriptor = os.open(self.folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            whole = sum(len(note.encode()) + 1 for _, note in log.points)
            _write(descriptor, f"{sign_note(point.text(), issuer.key)}\n".encode(), whole)
        finally:
            os.close(descriptor)
        sync_folder(self.folder)


def _set_aside(torn: bytes) -> dict[str, Json]:
    text = base64.b64encode(torn).decode("ascii") if len(torn) <= _TORN_KEPT else None
    return {"torn": {"base64": text, "bytes": len(torn), "sha256": sha256_hex(torn)}}


def _write(descriptor: int, data: bytes, at: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, at)
        data, at = data[count:], at + count
    os.ftruncate(descriptor, at)
    os.fsync(descriptor)
