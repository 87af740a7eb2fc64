"""A log that another process writes, read as it grows; and whether anybody is writing it.

Nothing is written here. Limit: whoever asks whether a log is held takes the lock for a moment himself if nobody has it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from data.journal.line import decode
from data.journal.reading import LOG_NAME
from data.model.errors import DataError
from data.model.protocols import Record

_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe of that name, in a folder from elsewhere, is not waited for."""


class Follower:
    """Hands out the whole records of some kinds that were added since the last look; the others are not read.

    A log that became shorter (a disk lost its end) is read from its first record again.
    """

    def __init__(self, folder: Path, kinds: Collection[str]) -> None:
        self._folder = folder
        self._endings = tuple(f'"kind":"{kind}"}}\n'.encode() for kind in kinds)
        self._read = 0
        self._line = 0

    def more(self) -> Iterator[Record]:
        """Raises DataError for a line that is no record; there is nothing yet where there is no log yet."""
        path = self._folder / LOG_NAME
        try:
            with os.fdopen(os.open(path, _READING), "rb") as file:
                yield from self._new(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None

    def _new(self, file: BinaryIO) -> Iterator[Record]:
        if os.fstat(file.fileno()).st_size < self._read:
            self._read = self._line = 0
        file.seek(self._read)
        for line in file:
            if not line.endswith(b"\n"):
                return
            self._read += len(line)
            self._line += 1
            if line.endswith(self._endings):
                yield self._record(line)

    def _record(self, line: bytes) -> Record:
        try:
            return decode(line, self._folder)
        except (ValueError, KeyError, TypeError, OSError, RecursionError, json.JSONDecodeError) as error:
            where = f"{self._folder / LOG_NAME}, line {self._line}"
            raise DataError(f"{where}: not a readable record ({error})") from error


def is_held(folder: Path) -> bool:
    """Whether a process is at work on the run in that folder."""
    try:
        descriptor = os.open(folder / LOG_NAME, _READING | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
