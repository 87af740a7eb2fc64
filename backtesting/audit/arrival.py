"""Takes in a run that was packed on another machine: regular files under the names that were asked for, nothing else.

Promise: whatever the stream holds, nothing is written outside of the folders of the run and its logs, no link is made,
half a stream leaves nothing, and no earlier copy is lost unless the new log goes on where the old one ends.
Limit: it says nothing about what the files hold; that is what verify is for.
"""

from __future__ import annotations

import gzip
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
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError("what arrived is no whole packed run; fetch it again") from None
    except OSError as error:
        raise UsageError(f"{to} cannot take the run: {error.strerror or error}") from None
    return to / run


def _unpack(stream: IO[bytes], run: str, place: Path, most_bytes: int) -> None:
    left = most_bytes
    with tarfile.open(fileobj=stream, mode="r|gz") as packed:
        for member, path in _members(packed, run, place):
            left -= member.size
            if left < 0:
                raise DataError(f"what arrived is larger than {most_bytes} bytes; nothing was kept")
            path.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(member)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file, _CHUNK) if content else None
    if not (place / "runs" / run / "log.jsonl").is_file():
        raise DataError(f"what arrived holds no log of run {run}; fetch it again")


def _members(packed: tarfile.TarFile, run: str, place: Path) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    """The files, each with where it goes. Raises DataError for whatever is no plain file in a place of its own."""
    seen: set[str] = set()
    for member in packed:
        if member.isdir():
            continue
        parts = PurePosixPath(member.name).parts
        expected = parts[:2] == ("runs", run) if len(parts) > 2 else parts[:1] == ("logs",) and len(parts) == 2
        if not (member.isreg() and expected and all(_PLAIN.fullmatch(part) for part in parts)):
            raise DataError(f"what arrived holds {member.name!r}, which is no file of run {run}; nothing was kept")
        if member.name in seen:
            raise DataError(f"what arrived holds {member.name!r} twice; nothing was kept")
        seen.add(member.name)
        yield member, place.joinpath(*parts)


def _require_same_or_longer(arrived: Path, held: Path) -> None:
    """A run that went on since it was fetched begins as it did then. Raises UsageError."""
    if held.is_symlink() or held.exists():
        if not held.is_symlink() and _begins_with(arrived / "log.jsonl", held / "log.jsonl"):
            return
        raise UsageError(f"{held} is there already and its log says something else; move it away, or say --to DIR")


def _begins_with(longer: Path, shorter: Path) -> bool:
    try:
        with longer.open("rb") as ours, shorter.open("rb") as theirs:
            while chunk := theirs.read(_CHUNK):
                if ours.read(len(chunk)) != chunk:
                    return False
    except FileNotFoundError:
        return False
    return True


def _put(arrived: Path, at: Path) -> None:
    if not arrived.exists():
        return
    if at.exists():
        shutil.rmtree(at)
    at.parent.mkdir(parents=True, exist_ok=True)
    arrived.rename(at)
