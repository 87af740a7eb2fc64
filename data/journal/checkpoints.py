"""The file of a log's signed checkpoints: one after every durable flush, so that no later change goes unseen.

Each carries the leaves of the records since the one before, so that a verifier can name the very record.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from data.journal.notes import Checkpoint, NoteError, SigningKey, split_notes
from data.model.errors import DataError

FILE_NAME = "checkpoints"


def origin_of(run_id: str) -> str:
    """The name of a run's log, and of the key that signs it."""
    return f"agentrader/run/{run_id}"


class CheckpointFile:
    """Appends to `checkpoints`. Raises OSError where the disk does not let it."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self._key = key
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        self._descriptor = os.open(folder / FILE_NAME, flags, 0o644)
        self.last: Checkpoint | None = None

    def add(self, size: int, root: bytes, leaves: Sequence[bytes]) -> None:
        """Signs the log's state: `leaves` are those since the last one."""
        point = Checkpoint(self._key.public.name, size, root, tuple(leaves))
        note = f"{self._key.sign(point.text())}\n".encode()
        while note:
            note = note[os.write(self._descriptor, note) :]
        self.last = point

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def checkpoint_of(note: str) -> Checkpoint:
    """What a note says; its signature is not looked at. Raises NoteError."""
    return Checkpoint.parse(note.rpartition("\n\n")[0] + "\n")


def read_checkpoints(folder: Path) -> tuple[list[tuple[Checkpoint, str]], bool]:
    """The checkpoints with their notes, and whether a torn one follows. Signatures are not looked at here.

    Raises NoteError for a whole note that is no checkpoint.
    """
    path = folder / FILE_NAME
    found: list[tuple[Checkpoint, str]] = []
    data = path.read_bytes() if path.is_file() else b""
    notes, length = split_notes(data), 0
    while True:
        try:
            _, note = next(notes)
        except StopIteration:
            return found, False
        except NoteError:
            if data.count(b"\n\n", length) > 1:
                raise
            return found, True
        found.append((checkpoint_of(note), note))
        length += len(note.encode()) + 1


def signed_size(folder: Path) -> int:
    """How many records the last checkpoint covers. Raises DataError for a file that holds something else."""
    try:
        points, _ = read_checkpoints(folder)
    except NoteError as error:
        raise DataError(f"{folder / FILE_NAME}: {error}; see: python -m scripts.verify {folder}") from None
    return points[-1][0].size if points else 0
