"""The signatures of many checkpoints, checked in processes of their own while the log is read.

A signature costs as much as reading three records. The processes say only whether every note is good: whoever hears
that one is not looks again, note by note. None are started where there is little to do, or where a fork is not safe.
"""

from __future__ import annotations

import os
import signal
import threading
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

from data.journal.checkpoints import FILE_NAME
from data.journal.examine_files import open_regular
from data.journal.examine_notes import Judge, notes_of

WORTH_IT = 256 * 1024
_MOST = 4
_GOOD = b"good"


class Crew:
    """Each process checks every n-th note in the first `length` bytes of the folder's checkpoints."""

    def __init__(self, folder: Path, length: int, judge: Judge) -> None:
        context = get_context("fork")
        count = min(_MOST, len(os.sched_getaffinity(0)))
        self._members: list[tuple[ForkProcess, Connection]] = []
        for number in range(count):
            ours, theirs = context.Pipe(duplex=False)
            share = slice(number, None, count)
            process = context.Process(target=_check, args=(folder, length, judge, share, theirs), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def all_good(self) -> bool:
        """Waits for all. A process that died has seen nothing good."""
        return all(_heard(ours) == _GOOD for _, ours in self._members)

    def close(self) -> None:
        """Ends those that are still at work."""
        for process, ours in self._members:
            ours.close()
            process.terminate()
            process.join()


def is_worth_it(length: int, judge: Judge) -> bool:
    """Whether there are enough signatures to check, and no other thread that a fork could tear something from."""
    alone = threading.active_count() == 1 and "fork" in get_all_start_methods()
    return bool(judge.keys) and length >= WORTH_IT and alone


def _check(folder: Path, length: int, judge: Judge, share: slice, told: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is told, and ends it
    with open_regular(folder, FILE_NAME) as file:
        notes = islice(notes_of(file, length), share.start, share.stop, share.step)
        good = all(note.torn or judge.judge(note).checkpoint is not None for note in notes)
    told.send_bytes(_GOOD if good else b"bad")


def _heard(ours: Connection) -> bytes:
    try:
        return ours.recv_bytes()
    except EOFError:
        return b""
