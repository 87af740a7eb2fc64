"""Opens a run's log for writing: a new one, or one that was cut off and is to go on.

One process per run: whoever has the log open holds a lock on it. Going on sets aside what never became a record (a torn
tail), and checkpoints of records that a lying disk lost; both are handed to the caller, who writes them down and then
says `settle`. Until then they are in a file of their own: whoever is stopped in between loses nothing of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from data.journal.checkpoints import FILE_NAME, checkpoint_of, read_checkpoints
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, NoteError, decode, encode
from data.journal.reading import LOG_NAME
from data.model.errors import DataError, RunBusy, UsageError

PUBLIC_KEY_NAME = "run.pub"
ASIDE_NAME = "set_aside.part"
_Lost: TypeAlias = tuple[tuple[Checkpoint, str], ...]
_WRITABLE = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW


@dataclass(frozen=True)
class OpenLog:
    """A locked log that ends with a complete record. `unsigned` are the leaves that no checkpoint covers yet.

    `torn` is what followed the last record, `lost` the notes of checkpoints over records that are gone; both with what
    was set aside earlier and never written down.
    """

    folder: Path
    descriptor: int
    tree: Tree = field(default_factory=Tree)
    unsigned: tuple[bytes, ...] = ()
    torn: bytes = b""
    lost: tuple[tuple[Checkpoint, str], ...] = ()


def create(folder: Path, certificates: str = "") -> OpenLog:
    """A new log; one without a complete record counts as new. `certificates` vouch for its key. Raises UsageError."""
    with _plainly(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOG_NAME, _WRITABLE | os.O_CREAT, 0o644)
        sync_folder(folder)
    _lock(descriptor, folder)
    with _plainly(folder, descriptor):
        _require_empty(folder, descriptor)
        os.ftruncate(descriptor, 0)
        (folder / FILE_NAME).unlink(missing_ok=True)
        keep(folder / PUBLIC_KEY_NAME, certificates.encode())
    return OpenLog(folder, descriptor)


def reopen(folder: Path) -> OpenLog:
    """The log of a run that goes on. Raises UsageError, and DataError if it is not what was signed."""
    mend = f"mend that, then go on with --resume {folder}"
    with _plainly(folder, mend=mend):
        descriptor = os.open(folder / LOG_NAME, _WRITABLE)
    _lock(descriptor, folder)
    with _plainly(folder, descriptor, mend=mend):
        return _mended(folder, descriptor)


def settle(folder: Path) -> None:
    """What was set aside is on record now."""
    with suppress(OSError):  # it would be written down once more, no worse
        (folder / ASIDE_NAME).unlink(missing_ok=True)


def keep(path: Path, data: bytes) -> None:
    """Replaces a file whole and durably. Raises OSError."""
    part = path.with_name(f"{path.name}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mended(folder: Path, descriptor: int) -> OpenLog:
    signed, torn_note = _checkpoints(folder)
    tree, leaves, length = Tree(), list[bytes](), 0
    roots = {0: tree.root()}
    wanted = {point.size for point, _ in signed}
    with (folder / LOG_NAME).open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            length += len(line)
            leaves.append(leaf_hash(line[:-1]))
            tree.add(leaves[-1])
            if tree.size in wanted:
                roots[tree.size] = tree.root()
    kept = [(point, note) for point, note in signed if point.size <= tree.size]
    for point, _ in kept:
        if roots[point.size] != point.root:
            raise DataError(
                f"the log in {folder} was changed after it was signed, so it cannot go on; "
                f"see: python -m scripts.verify {folder}"
            )
    lost = tuple(signed[len(kept) :])
    covered = kept[-1][0].size if kept else 0
    torn = os.pread(descriptor, os.fstat(descriptor).st_size - length, length)
    all_torn, all_lost = _set_aside(folder, torn, lost)
    if lost or torn_note:
        keep(folder / FILE_NAME, "".join(f"{note}\n" for _, note in kept).encode())
    os.ftruncate(descriptor, length)
    return OpenLog(folder, descriptor, tree, tuple(leaves[covered:]), all_torn, all_lost)


def _set_aside(folder: Path, torn: bytes, lost: _Lost) -> tuple[bytes, _Lost]:
    """Keeps both durably, behind what is there already. Raises OSError and DataError."""
    path = folder / ASIDE_NAME
    torn_before, lost_before = _read_aside(path)
    all_torn = torn_before if torn_before.endswith(torn) else torn_before + torn
    all_lost = (*lost_before, *(each for each in lost if each not in lost_before))
    if (all_torn, all_lost) != (torn_before, lost_before):
        keep(path, json.dumps({"torn": encode(all_torn), "lost": [note for _, note in all_lost]}).encode())
    return all_torn, all_lost


def _read_aside(path: Path) -> tuple[bytes, _Lost]:
    try:
        whole = json.loads(path.read_bytes())
        return decode(whole["torn"]), tuple((checkpoint_of(note), note) for note in whole["lost"])
    except FileNotFoundError:
        return b"", ()
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} does not read; move it away") from None


def _checkpoints(folder: Path) -> tuple[list[tuple[Checkpoint, str]], bool]:
    try:
        return read_checkpoints(folder)
    except NoteError as error:
        raise DataError(f"{folder / FILE_NAME}: {error}; see: python -m scripts.verify {folder}") from None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunBusy(f"another process is at work on the run in {folder}; wait for it, or stop it") from None


def _require_empty(folder: Path, descriptor: int) -> None:
    if b"\n" in os.pread(descriptor, os.fstat(descriptor).st_size, 0):
        raise UsageError(f"{folder} holds a run already, and a log is never written anew; --resume {folder} goes on")


@contextmanager
def _plainly(
    folder: Path, descriptor: int | None = None, *, mend: str = "choose another --output_dir"
) -> Iterator[None]:
    """What the disk refuses is said in a line; whatever goes wrong, the log is not left open."""
    try:
        yield
    except BaseException as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, OSError):
            why = error.strerror or error
            raise UsageError(f"{folder} cannot be written: {why}; {mend}") from None
        raise
