"""How long a command takes to say what it can do, and the demo to its first decision, beside an idle Python.

The demo works on the sample in the database of the benchmarks, which is running; its own would be started first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent
from data.door import ROOT

HELP_TO_REACH, FIRST_TO_REACH = Goal(0.4), Goal(6)
DEMO = ("--sample", "--model", "rules")
_LOOK_S = 0.01
_PATIENCE_S = 300.0


def rows(place: Place) -> Iterator[Row]:
    """Seconds, with Python's start."""
    found = in_turn(
        {
            "help": lambda: _seconds("-m", "backtesting.core.authentic_backtest", "--help"),
            "demo": lambda: _first_decision(place),
            "pass": lambda: _seconds("-c", "pass"),
        },
        place.rounds,
        place.tell,
    )
    nothing = middle(found["pass"])
    yield Row("authentic_backtest --help", middle(found["help"]), "s", "python -c pass", nothing, HELP_TO_REACH)
    yield Row("the demo's first decision", middle(found["demo"]), "s", "python -c pass", nothing, FIRST_TO_REACH)


def _seconds(*words: str) -> float:
    command = [sys.executable, *words]
    return spent(lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)).wall  # noqa: S603


def _first_decision(place: Place) -> float:
    with tempfile.TemporaryDirectory(dir=place.folder) as runs:
        environ = os.environ | {"DATABASE_URL": place.url}
        command = place.job(*DEMO, "--output_dir", runs)
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as demo:  # noqa: S603
            while not _has_decided(Path(runs)):
                if demo.poll() is not None or time.perf_counter() - started > _PATIENCE_S:
                    raise RuntimeError("the demo came to no decision")
                time.sleep(_LOOK_S)
            took = time.perf_counter() - started
            demo.kill()
    return took


def _has_decided(runs: Path) -> bool:
    return any(b'"kind":"decision"' in log.read_bytes() for log in runs.glob("*/log.jsonl"))
