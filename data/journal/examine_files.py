"""The files of a run's folder, taken as hostile: regular files only, no link is followed, nothing is read whole.

A folder that was received from elsewhere cannot make a reader wait at a pipe, open a device, or look outside of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME
from data.journal.line import blob_path
from data.journal.opened import PUBLIC_KEY_NAME
from data.journal.reading import LOG_NAME

RENDERINGS = frozenset({
    *("spec.json", "decisions.csv", "trades.csv", "equity.csv", "metrics.json", "report.html", "agent_comms.log"),
})  # fmt: skip
KNOWN = RENDERINGS | {LOG_NAME, FILE_NAME, PUBLIC_KEY_NAME, "anchors/begin.tsr", "anchors/head.tsr"}
_FOLDERS = frozenset({"blobs", "blobs/sha256", "anchors"})
_CHUNK = 1 << 20
_MOST_STRAYS = 1000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotRegular(Exception):
    """A link, a pipe, a device or a folder where a file should be; the message says which."""


@dataclass
class Survey:
    """What lies in a folder: `faults` are what is no regular file, `strays` what no run leaves behind.

    `left` are files that a killed process did not finish: nobody reads them.
    """

    faults: list[Fault] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    blobs: set[str] = field(default_factory=set)


def open_regular(folder: Path, name: str) -> BinaryIO:
    """The file of that name inside the folder. Raises NotRegular, FileNotFoundError and any other OSError."""
    *parents, last = name.split("/")
    with ExitStack() as stack:
        here = _open_folder(str(folder), None, follow=True)
        stack.callback(os.close, here)
        for parent in parents:
            here = _open_folder(parent, here)
            stack.callback(os.close, here)
        _require_regular(os.stat(last, dir_fd=here, follow_symlinks=False).st_mode, name)
        descriptor = os.open(last, _FILE, dir_fd=here)
    file = os.fdopen(descriptor, "rb")
    try:
        _require_regular(os.fstat(descriptor).st_mode, name)
    except NotRegular:
        file.close()
        raise
    return file


def survey(folder: Path) -> Survey:
    """Looks at every name in the folder. Raises OSError."""
    found = Survey()
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                name = f"{inside}{entry.name}"
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode) and _is_ours(name):
                    waiting.append(f"{name}/")
                else:
                    _place(found, name, mode)
    return found


def check_digest(folder: Path, name: str, digest: str) -> str | None:
    """None if the file has this SHA-256; else what is wrong with it, in a few words. Raises OSError."""
    try:
        with open_regular(folder, name) as file:
            found = sha256()
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except NotRegular as error:
        return str(error)
    return None if found.hexdigest() == digest else f"its SHA-256 is {found.hexdigest()}, recorded is {digest}"


class Blobs:
    """Checks each blob once. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, Fault | None] = {}

    def check(self, names: Iterable[str], record: int) -> Iterator[Fault]:
        """What is wrong with the blobs that this record refers to."""
        for name in names:
            if name not in self._seen:
                self._seen[name] = self._check(name, record)
                if (fault := self._seen[name]) is not None:
                    yield fault

    @property
    def named(self) -> set[str]:
        """The digests of all that were referred to."""
        return set(self._seen)

    def _check(self, name: str, record: int) -> Fault | None:
        file = blob_path(Path(), name).as_posix()
        try:
            wrong = check_digest(self._folder, file, name)
        except FileNotFoundError:
            return Fault(Kind.MISSING_BLOB, record, f"record {record} refers to a blob that is not there", file)
        return (
            None if wrong is None else Fault(Kind.REPLACED_BLOB, record, f"a blob is not what was kept: {wrong}", file)
        )


def _open_folder(name: str, inside: int | None, *, follow: bool = False) -> int:
    flags = _DIRECTORY & ~os.O_NOFOLLOW if follow else _DIRECTORY
    try:
        return os.open(name, flags, dir_fd=inside)
    except NotADirectoryError:
        raise NotRegular(f"{name} is no folder") from None


def _require_regular(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegular(f"{name} is {_what(mode)}")


def _is_ours(name: str) -> bool:
    parent, _, last = name.rpartition("/")
    return name in _FOLDERS or (parent == "blobs/sha256" and len(last) == 2)


def _place(found: Survey, name: str, mode: int) -> None:
    folder, _, last = name.rpartition("/")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        found.faults.append(Fault(Kind.NOT_A_FILE, None, f"{name} is {_what(mode)}", name))
    elif stat.S_ISDIR(mode) and name in KNOWN:
        found.faults.append(Fault(Kind.NOT_A_FILE, None, f"{name} is a folder", name))
    elif name in KNOWN:
        return
    elif folder.startswith("blobs/sha256/") and len(last) == 64 and folder.endswith(f"/{last[:2]}"):
        found.blobs.add(last)
    elif last.endswith(".part"):
        found.left.append(name)
    elif len(found.strays) < _MOST_STRAYS:
        found.strays.append(f"{name}/" if stat.S_ISDIR(mode) else name)


def _what(mode: int) -> str:
    names = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for test, name in names if test(mode)), "a device")
