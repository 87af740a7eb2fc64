"""The journal of one run: canonical JSON, one record a line, appended and never edited.

Promise: a record is on disk, after all earlier ones, once `sync` has returned; a failed write or fsync is final
(`JournalBroken`, latched), because what the kernel dropped once cannot be asked for again. One process per run, held
by a lock on the log itself. A value of a body above 48 KiB goes to `blobs/sha256/` and leaves its digest behind.

Limit: this file shows what happened, not yet that nobody changed it afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from data.model.canonical import Json, canonical_bytes, sha256_hex, to_json
from data.model.errors import DataError, JournalBroken, UsageError
from data.model.instants import iso, parse_instant
from data.model.protocols import Clock, Record

SPILL_BYTES = 48 * 1024
LOG_NAME = "log.jsonl"

Listener = Callable[[Record], None]


class RunJournal:
    """Implements `Journal` on a folder. Listeners hear each record, whole, after it was written."""

    def __init__(self, folder: Path, clock: Clock, listeners: Sequence[Listener] = ()) -> None:
        self.folder = folder
        self._clock = clock
        self._listeners = tuple(listeners)
        self._lock = threading.RLock()
        self._broken: str | None = None
        self._seq = 0
        self._descriptor = _open_exclusively(folder)

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        """Adds a record. Raises JournalBroken."""
        whole = {name: to_json(value) for name, value in body.items()}
        with self._lock:
            self._check()
            record = Record(self._seq, self._clock.now(), kind, whole, slot, tuple(caused_by))
            lean = {name: self._spill(value) for name, value in whole.items()}
            self._write(encode(record, lean))
            self._seq += 1
            for listener in self._listeners:
                listener(record)
        return record

    def blob(self, data: bytes) -> str:
        """Keeps `data` under its SHA-256, durably. Raises JournalBroken."""
        name = sha256_hex(data)
        path = blob_path(self.folder, name)
        if path.exists():
            return name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{threading.get_ident()}.part")
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            _sync_folder(path.parent)
        except OSError as error:
            self._break(error)
        return name

    def sync(self) -> None:
        """Returns once everything appended so far survives a crash. Raises JournalBroken."""
        with self._lock:
            self._check()
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._break(error)

    def close(self) -> None:
        """Releases the run's lock; nothing can be appended any more."""
        with self._lock:
            if self._broken is None:
                self._broken = "the journal is closed"
                os.close(self._descriptor)

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

    def _check(self) -> None:
        if self._broken is not None:
            raise JournalBroken(self._broken)

    def _break(self, error: OSError) -> NoReturn:
        self._broken = (
            f"the journal in {self.folder} cannot be written ({error.strerror or error}), so nothing goes on; what was "
            "recorded until then is kept. Make room, or choose another --output_dir, and run again"
        )
        raise JournalBroken(self._broken) from error


class MemoryJournal:
    """The same promise for as long as the process lives: for tests and for chats outside a run."""

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


def encode(record: Record, body: Mapping[str, Json]) -> bytes:
    """The record's line: RFC 8785 JSON and a new line."""
    return (
        canonical_bytes(
            {
                "at": iso(record.at),
                "audit.caused_by": list(record.caused_by),
                "audit.seq": record.seq,
                "audit.slot": record.slot,
                "body": dict(body),
                "kind": record.kind,
            }
        )
        + b"\n"
    )


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run's folder in order, blobs resolved. Raises DataError naming the first bad line.

    What follows the last line's end was being written when the process died: it never became a record.
    """
    path = folder / LOG_NAME
    if not path.is_file():
        raise DataError(f"{folder} holds no {LOG_NAME}: not a run's folder")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _decode(json.loads(line, parse_int=_number), folder)
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise DataError(f"{path}, line {number}: not a readable record ({error})") from error


def blob_path(folder: Path, name: str) -> Path:
    """Where the blob of that digest lies. Raises ValueError for what is no digest."""
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise ValueError(f"{name!r} is not a SHA-256")
    return folder / "blobs" / "sha256" / name[:2] / name


def _decode(line: dict[str, Json], folder: Path) -> Record:
    body, caused_by, seq, slot = line["body"], line["audit.caused_by"], line["audit.seq"], line["audit.slot"]
    if not (isinstance(body, dict) and isinstance(caused_by, list) and isinstance(seq, int)):
        raise ValueError("a field has the wrong type")
    return Record(
        seq=seq,
        at=parse_instant(str(line["at"])),
        kind=str(line["kind"]),
        body={name: _resolve(value, folder) for name, value in body.items()},
        slot=None if slot is None else str(slot),
        caused_by=tuple(int(cause) for cause in caused_by if isinstance(cause, int)),
    )


def _resolve(value: Json, folder: Path) -> Json:
    if not (isinstance(value, dict) and set(value) == {"blob", "media"}):
        return value
    data = blob_path(folder, str(value["blob"])).read_bytes()
    if sha256_hex(data) != value["blob"]:
        raise ValueError(f"blob {value['blob']} does not have its digest")
    if value["media"] == "text":
        return data.decode()
    resolved: Json = json.loads(data, parse_int=_number)
    return resolved


def _number(digits: str) -> int | float:
    """JSON numbers are doubles: a large one was written from a double and is read back as that."""
    value = int(digits)
    return value if abs(value) < 2**53 else float(digits)


def _open_exclusively(folder: Path) -> int:
    path = folder / LOG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        _sync_folder(folder)
    except FileExistsError:
        raise UsageError(f"{path} exists already: a run's journal is never written twice") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be created: {error.strerror}; choose another --output_dir") from None
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
