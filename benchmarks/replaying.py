"""How long the command takes that replays a whole run, with Python's start, beside that start and its imports alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent
from data.door import ROOT
from data.journal.reading import read_records

GOALS = {240: Goal(10)}
LONG, LONG_TO_REACH = 1000, Goal(15)


def rows(place: Place) -> Iterator[Row]:
    """Seconds; the goals are for a run of 240 decisions, and for one of 1,000 or a few more."""
    for run in (place.run, place.long_run):
        decisions = sum(record.kind == "decision" for record in read_records(run))
        goal = GOALS.get(decisions) or (LONG_TO_REACH if decisions >= LONG else None)
        yield _replay(place, run, f"replay of {decisions:,} decisions: wall", goal)


def _replay(place: Place, run: Path, name: str, goal: Goal | None) -> Row:
    def seconds(*words: str) -> float:
        command = [sys.executable, *words]
        return spent(lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)).wall  # noqa: S603

    found = in_turn(
        {
            "replay": lambda: seconds("-m", "scripts.replay", str(run)),
            "start": lambda: seconds("-c", "import backtesting.core.replay"),
        },
        min(place.rounds, 3),
        place.tell,
    )
    return Row(name, middle(found["replay"]), "s", "the imports alone", middle(found["start"]), goal)
