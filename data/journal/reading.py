"""A run's log read back: all of it, or what counts.

A run that was stopped and resumed holds records that were set aside: they happened, but what counts was played again
after the `recovery` record that names the `cut`. What was said to and by a model is never set aside, so that nothing is
asked twice, except the exchanges that the recovery names in `asked_again`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.journal.line import decode
from data.journal.merkle import leaf_hash
from data.model.errors import DataError
from data.model.protocols import Record

LOG_NAME = "log.jsonl"
EXCHANGES = frozenset({"llm.request", "llm.response"})
_LASTING = EXCHANGES | {"recovery", "orphan", "session.discarded", "project.entry", "anchor"}
_RECOVERY = b'"kind":"recovery"}\n'


@dataclass(frozen=True, slots=True)
class Cut:
    """One recovery: records from `start` up to `seq` are set aside, of exchanges those in `asked_again` alone."""

    seq: int
    start: int
    asked_again: frozenset[int]

    def sets_aside(self, seq: int, kind: str) -> bool:
        return seq in self.asked_again or (self.start <= seq < self.seq and kind not in _LASTING)


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run's folder in order, blobs resolved. Raises DataError naming the first bad line.

    What follows the last line's end was being written when the process died: it never became a record.
    """
    for number, line in enumerate(_lines(folder), 1):
        yield _record(line, number, folder)


def read_live(folder: Path) -> Iterator[Record]:
    """The records that count. Raises DataError."""
    cuts = read_cuts(folder)
    for record in read_records(folder):
        if not any(cut.sets_aside(record.seq, record.kind) for cut in cuts):
            yield record


def read_cuts(folder: Path) -> tuple[Cut, ...]:
    """The log's recoveries, in order. Raises DataError."""
    return tuple(
        _cut(_record(line, number, folder)) for number, line in enumerate(_lines(folder), 1) if line.endswith(_RECOVERY)
    )


def read_first(folder: Path) -> Record | None:
    """The first record, None if there is not one that is complete. Raises DataError."""
    return next(read_records(folder), None)


def first_leaf(folder: Path) -> bytes:
    """The hash of the first record's line. Raises DataError if there is none."""
    for line in _lines(folder):
        return leaf_hash(line[:-1])
    raise DataError(f"{folder} holds no record yet")


def _cut(record: Record) -> Cut:
    start, again = record.body["cut"], record.body["asked_again"]
    if not (isinstance(start, int) and isinstance(again, list)):
        raise DataError(f"record {record.seq} (recovery) does not read")
    return Cut(record.seq, start, frozenset(seq for seq in again if isinstance(seq, int)))


def _lines(folder: Path) -> Iterator[bytes]:
    path = folder / LOG_NAME
    if not path.is_file():
        raise DataError(f"{folder} holds no {LOG_NAME}: not a run's folder")
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line


def _record(line: bytes, number: int, folder: Path) -> Record:
    try:
        return decode(line, folder)
    except (ValueError, KeyError, TypeError, OSError, RecursionError, json.JSONDecodeError) as error:
        raise DataError(f"{folder / LOG_NAME}, line {number}: not a readable record ({error})") from error
