"""How fast a finished run's folder is examined: strictly, and fast (leaves, tree and last checkpoint only).

The references read the same log: once parsing and hashing every line, once hashing it as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import file_digest, sha256
from pathlib import Path

from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent
from data.journal.examine import examine

STRICT = Goal(15_000, at_least=True)
FAST = Goal(80_000, at_least=True)


def rows(place: Place) -> Iterator[Row]:
    """Records per second."""
    run = place.run
    log = run / "log.jsonl"
    records = log.read_bytes().count(b"\n")

    def rate(work: Callable[[], object]) -> float:
        return records / spent(work).wall

    found = in_turn(
        {
            "strict": lambda: rate(lambda: _examined(run, fast=False)),
            "parsed": lambda: rate(lambda: _parsed(log)),
            "fast": lambda: rate(lambda: _examined(run, fast=True)),
            "hashed": lambda: rate(lambda: _hashed(log)),
        },
        place.rounds,
        place.tell,
    )
    strict, parsed, fast, hashed = (middle(found[name]) for name in ("strict", "parsed", "fast", "hashed"))
    yield Row("verification: strict", strict, "records/s", "each line parsed and hashed", parsed, STRICT)
    yield Row("verification: fast", fast, "records/s", "the log hashed as a whole", hashed, FAST)


def _examined(run: Path, *, fast: bool) -> None:
    found = examine(run, fast=fast)
    if found.faults:
        raise RuntimeError(f"the run that benchmarks work on is not intact: {found.faults[0]}")


def _parsed(log: Path) -> None:
    with log.open("rb") as file:
        for line in file:
            sha256(line)
            json.loads(line)


def _hashed(log: Path) -> None:
    with log.open("rb") as file:
        file_digest(file, "sha256")
