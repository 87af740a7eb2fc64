"""Takes in a run that was packed on another machine: regular files under the names that were asked for, nothing else.

Promise: whatever the stream holds, nothing is written outside of the folders of the run and its logs, no link is made,
half a stream leaves nothing, memory stays small, and no earlier copy is lost unless the new log goes on where the old
one ends.
Limit: it says nothing about what the files hold; that is what verify is for.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from data.model.errors import DataError, UsageError

MOST_BYTES = 64 << 30
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_CHUNK = 1 << 20


def receive(stream: IO[bytes], run: str, to: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Unpacks a gzipped tar of `runs/RUN/…` and `logs/…` to `to`/RUN and `to`/logs/RUN; the value is the run's folder.

    Raises DataError for a stream that holds anything else, UsageError for a name or a place that cannot be used.
    """
    if not _PLAIN.fullmatch(run) or run == "logs":
        raise UsageError(f"{run!r} is no run's id")
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".arriving-", dir=to) as place:
            arrived = Path(place)
            _unpack(stream, run, arrived, most_bytes)
            _require_same_or_longer(arrived / "runs" / run, to / run)
            _put(arrived / "logs", to / "logs" / run)
            _put(arrived / "runs" / run, to / run)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, RecursionError):
        raise DataError("what arrived is no whole packed run; fetch it again") from None
    except OSError as error:
        raise UsageError(f"{to} cannot take the run: {error.strerror or error}") from None
    return to / run


class _Packed(gzip.GzipFile):
    """Unpacks as it is read: forward, a chunk at a time, `most_bytes` in all, whatever a header says."""

    def __init__(self, stream: IO[bytes], most_bytes: int) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._at, self._most_bytes = 0, most_bytes

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _CHUNK:
            raise tarfile.ReadError("a header that asks for so much belongs to no run")
        found = super().read(size)
        self._move_to(self._at + len(found))
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        self._move_to(offset)
        return super().seek(offset, whence)

    def _move_to(self, at: int) -> None:
        if at < self._at:
            raise tarfile.ReadError("a header that leads back belongs to no run")
        if at > self._most_bytes:
            raise DataError(f"what arrived is larger than {self._most_bytes} bytes; nothing was kept")
        self._at = at


def _unpack(stream: IO[bytes], run: str, place: Path, most_bytes: int) -> None:
    with _Packed(stream, most_bytes) as unpacked, tarfile.TarFile(fileobj=unpacked) as packed:
        for member, path in _members(packed, run, place):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(packed.extractfile(member) or io.BytesIO(), file, _CHUNK)
            except FileExistsError:
                raise DataError(f"what arrived holds {member.name!r} twice; nothing was kept") from None
    if not (place / "runs" / run / "log.jsonl").is_file():
        raise DataError(f"what arrived holds no log of run {run}; fetch it again")


def _members(packed: tarfile.TarFile, run: str, place: Path) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    """The files, each with where it goes. Raises DataError for whatever is no plain file in a place of its own."""
    while (member := packed.next()) is not None:
        packed.members.clear()  # type: ignore[attr-defined] # of a public name; it would keep every one in memory
        if member.isdir():
            continue
        parts = PurePosixPath(member.name).parts
        expected = parts[:2] == ("runs", run) if len(parts) > 2 else parts[:1] == ("logs",) and len(parts) == 2
        plain = member.isreg() and not member.issparse() and all(_PLAIN.fullmatch(part) for part in parts)
        if not (plain and expected):
            raise DataError(f"what arrived holds {member.name!r}, which is no file of run {run}; nothing was kept")
        yield member, place.joinpath(*parts)


def _require_same_or_longer(arrived: Path, held: Path) -> None:
    """A run that went on since it was fetched begins as it did then. Raises UsageError."""
    if held.is_symlink() or held.exists():
        if not held.is_symlink() and _goes_on(arrived / "log.jsonl", held / "log.jsonl"):
            return
        raise UsageError(f"{held} is there already and its log says something else; move it away, or say --to DIR")


def _goes_on(longer: Path, shorter: Path) -> bool:
    """Whether `longer` begins with every record of `shorter`. A torn last line is none: a resume sets it aside."""
    try:
        with longer.open("rb") as ours, shorter.open("rb") as theirs:
            while chunk := theirs.read(_CHUNK):
                if (other := ours.read(len(chunk))) != chunk:
                    pairs = enumerate(zip(chunk, other, strict=False))
                    alike = next((at for at, (one, its) in pairs if one != its), len(other))
                    return not _ends_a_line(chunk[alike:], theirs)
    except FileNotFoundError:
        return False
    return True


def _ends_a_line(rest: bytes, file: IO[bytes]) -> bool:
    while rest and b"\n" not in rest:
        rest = file.read(_CHUNK)
    return bool(rest)


def _put(arrived: Path, at: Path) -> None:
    """In one step, so that whoever stops it half-way has one of the two."""
    if not arrived.exists():
        return
    if at.is_symlink() or at.exists():
        at.rename(arrived.with_name(f"{arrived.name}.earlier"))
    at.parent.mkdir(parents=True, exist_ok=True)
    arrived.rename(at)
