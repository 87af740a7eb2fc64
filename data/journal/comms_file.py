"""The text log people read, written while the run goes on: a rendering of the journal, never a second source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from data.journal.comms import lines
from data.model.errors import JournalBroken, UsageError
from data.model.protocols import Clock, Record


class CommsFile:
    """A journal's listener. `agent_comms_<YYYYmmdd_HHMMSS>.log` in UTC, created exclusively, suffixed on collision."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.path, self._file = _create(folder, f"agent_comms_{clock.now():%Y%m%d_%H%M%S}")
        self._broken = False

    def __call__(self, record: Record) -> None:
        """Writes the record's lines, if it has any. Raises JournalBroken."""
        rendered = lines(record)
        if not rendered:
            return
        with self._telling():
            self._file.write("".join(f"{line}\n" for line in rendered))
            self._file.flush()

    def close(self) -> None:
        """Raises JournalBroken, but not for what `__call__` has told before."""
        if self._broken:
            with suppress(OSError):  # the file still holds what it could not write
                self._file.close()
            return
        with self._telling():
            self._file.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._broken = True
            raise JournalBroken(f"the text log {self.path} cannot be written ({error.strerror or error})") from error


def _create(folder: Path, stem: str) -> tuple[Path, TextIO]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = folder / (f"{stem}.log" if number == 1 else f"{stem}_{number}.log")
            try:
                return path, path.open("x", encoding="utf-8")
            except FileExistsError:
                continue
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    raise AssertionError("unreachable: count() never ends")
