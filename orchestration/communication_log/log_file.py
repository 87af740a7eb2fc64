"""The sink of a patch that was given none: a text log for people, and the whole records as JSON lines beside it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from data.journal.comms_file import CommsFile
from data.journal.line import encode
from data.model.canonical import canonical_bytes, sha256_hex, to_json
from data.model.errors import JournalBroken
from data.model.protocols import Clock, Record

LOG_FOLDER = Path("data/logs")


class WallClock:
    """Stamps the lines of somebody else's process, where no run passes its clock in; no decision ever sees it."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class CommunicationLog:
    """Implements `Journal`: `agent_comms_<time>.log`, and `.jsonl` of the same name. Lines are written at once."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._text = CommsFile(folder, clock)
        self.path = self._text.path
        self._records = self.path.with_suffix(".jsonl").open("xb")
        self._seq = 0
        self._lock = threading.Lock()

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        """Adds a record. Raises JournalBroken."""
        whole = {name: to_json(value) for name, value in body.items()}
        with self._lock:
            record = Record(self._seq, self._clock.now(), kind, whole, slot, tuple(caused_by))
            try:
                self._records.write(encode(record, canonical_bytes(whole)) + b"\n")
                self._records.flush()
            except OSError as error:
                raise JournalBroken(f"{self._records.name} cannot be written: {error.strerror or error}") from error
            self._seq += 1
            self._text(record)
        return record

    def blob(self, data: bytes) -> str:
        """Records are kept whole here, so there is nothing to keep apart."""
        return sha256_hex(data)

    def sync(self) -> None:
        """Each record is handed to the system at once; a crash of the machine may lose the last ones."""

    def close(self) -> None:
        self._text.close()
        self._records.close()
