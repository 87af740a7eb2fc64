"""Files that only their owner can read: written whole or not at all, refused when others can read them, erased.

Promise: under the folder's lock a file holds the old bytes or the new ones, whatever kills the process. Limit: a disk
that moves what is written (flash, a journal, a snapshot) can keep erased bytes where nobody reaches them by name.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.model.errors import UsageError

MAX_BYTES = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """The folder for one process and thread at a time, made if it is not there. Raises UsageError."""
    with _told(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(folder, os.fstat(descriptor), "700")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes | None:
    """What the file holds; None if there is none. Raises UsageError, above all if others could read it."""
    return _read(path, private=True)


def read_public(path: Path) -> bytes | None:
    """The same for what everybody may read."""
    return _read(path, private=False)


def write_private(path: Path, data: bytes) -> None:
    """Puts the bytes in place, durably; what was there is erased. Raises UsageError."""
    part = path.with_name(path.name + ".part")
    with _told(path):
        part.unlink(missing_ok=True)
        try:
            _write_new(part, data)
            with _kept_open(path) as old:
                part.rename(path)
                sync_folder(path.parent)
                _blank(old)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def erase(path: Path) -> None:
    """Overwrites and removes the file, if there is one. Raises UsageError."""
    with _told(path), _kept_open(path) as old:
        if old is not None:
            path.unlink()
            sync_folder(path.parent)
            _blank(old)


def sync_folder(folder: Path) -> None:
    """Returns once the names in the folder survive a crash. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _read(path: Path, *, private: bool) -> bytes | None:
    with _told(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
    with os.fdopen(descriptor, "rb") as file, _told(path):
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a regular file; move it away")
        if private:
            _check(path, status, "600")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is no file of ours: it is larger than {MAX_BYTES} bytes")
    return data


@contextmanager
def _kept_open(path: Path) -> Iterator[int | None]:
    """The file that has this name now, to be written after the name is gone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _blank(descriptor: int | None) -> None:
    if descriptor is not None:
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        os.fsync(descriptor)


def _check(path: Path, status: os.stat_result, mode: str) -> None:
    if status.st_mode & _OTHERS:
        raise UsageError(f"{path} is open to other users, and it is for private keys; run: chmod {mode} {path}")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be used ({error.strerror or error}); mend it, or let AGENTRADER_KEYS name another folder "
            "for the keys"
        ) from None
