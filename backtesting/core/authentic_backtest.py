"""The main job: agents decide bar by bar over real data, and everything they said is kept.

    python -m backtesting.core.authentic_backtest --sample --model rules

It observes its own process: a patch made in another `python -c` would see nothing of it.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from backtesting.core.arguments import Settings, read_arguments
from data.door import ROOT, SystemClock, asker, enter
from data.door import settings as surroundings
from data.model.canonical import Json


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    return enter(lambda: _begin(sys.argv[1:] if argv is None else argv))


def _begin(argv: Sequence[str]) -> int:
    environ = surroundings()
    return _run(read_arguments(argv, environ, _recall), environ)


def _recall(folder: Path) -> Mapping[str, Json] | None:
    from backtesting.core.begun import read_begun  # noqa: PLC0415

    begun = read_begun(folder)
    return None if begun is None else begun.invocation


def _run(settings: Settings, environ: Mapping[str, str]) -> int:
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from backtesting.core.job import Job  # noqa: PLC0415

    job = Job(settings, environ, _run_id(settings), ROOT, time.monotonic, time.sleep, SystemClock(), asker())
    return job.run(sys.stdout, sys.stderr)


def _run_id(settings: Settings) -> str:
    if settings.resume is not None:
        return settings.resume.resolve().name
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    name = "-".join(settings.symbols[:3]) + ("-more" if len(settings.symbols) > 3 else "")
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    return f"{now}-{safe}-{settings.interval}-{secrets.token_hex(3)}"


if __name__ == "__main__":
    sys.exit(main())
