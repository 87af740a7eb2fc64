"""Where benchmarks work: a temporary folder with real bars in a database, and a run made from them.

The bars are ten days of BTCUSDT from the folder that AGENTRADER_SHARED names or, without it, the sample's.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from backtesting.core.arguments import Settings, read_arguments
from backtesting.core.flags import SAMPLE_START, SAMPLE_SYMBOL
from backtesting.core.job import Job
from data.door import ROOT, SystemClock
from data.model.instants import Interval
from data.model.market import Bar
from data.sources.ingest import ingest_bar_file, ingest_sample
from data.store.database import open_database
from data.store.embedded_places import places_for
from data.store.store import Store

BARS = Path("data/crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv")
_JOB = """
import sys, pathlib
from backtesting.core import authentic_backtest as job
job.ROOT = pathlib.Path(sys.argv.pop(1))
sys.exit(job.main())
"""


@dataclass(frozen=True)
class Place:
    """`tell` shows progress; `rounds` is how often each thing is measured; `days` is how long the run is."""

    folder: Path
    store: Store
    url: str
    days: int
    rounds: int
    tell: Callable[[str], None]

    @cached_property
    def settings(self) -> Settings:
        """What the run asks, of the built-in rules."""
        symbol, interval, start, scale = _window()
        end = date.fromisoformat(start) + timedelta(days=self.days * scale - 1)
        words = ["--symbol", symbol, "--interval", interval, "--start_date", start, "--end_date", end.isoformat()]
        runs = str(self.folder / "runs")
        return read_arguments([*words, "--model", "rules", "--database", self.url, "--output_dir", runs, "--json"], {})

    def job(self, *words: str) -> list[str]:
        """The command line of a backtest whose logs, keys and trials stay in the folder."""
        return [sys.executable, "-c", _JOB, str(self.folder), *words]

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """All bars that the run could have read, oldest first: some six weeks of hours, or the sample's days."""
        symbol, interval, _, _ = _window()
        return tuple(self.store.first_bars(symbol, Interval(interval), date.min, date.max))

    @cached_property
    def run(self) -> Path:
        """The folder of a finished run."""
        self.tell("making a run")
        return self._played("recorded", self.settings)

    @cached_property
    def long_run(self) -> Path:
        """One over four times as many bars, or as many as there are."""
        self.tell("making a long run")
        start, days = self.bars[0].session_on, (self.settings.end_on - self.settings.start_on).days + 1
        last = min(self.bars[-1].session_on, start + timedelta(days=4 * days + days // 5 - 1))
        return self._played("long", replace(self.settings, start_on=start, end_on=last))

    def _played(self, name: str, settings: Settings) -> Path:
        job = Job(settings, {}, name, self.folder, time.monotonic, time.sleep, SystemClock())
        said = io.StringIO()
        if job.run(io.StringIO(), said):
            raise RuntimeError(f"the run that benchmarks work on was not completed: {said.getvalue()}")
        return self.folder / "runs" / name


@contextmanager
def open_place(url: str | None, days: int, rounds: int, tell: Callable[[str], None]) -> Iterator[Place]:
    """`url` names an empty database to use; without it there is a temporary server. All of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="agentrader-bench-") as name:
        folder = Path(name)
        tell("bringing real bars into a database")
        try:
            with open_database(url, folder / "postgres") as database:
                store = Store(database.engine)
                _bring(store)
                shown = url or database.engine.url.render_as_string(hide_password=False)
                yield Place(folder, store, shown, days, rounds, tell)
        finally:
            if url is None:
                shutil.rmtree(places_for(folder / "postgres").home, ignore_errors=True)


def shared(path: Path) -> Path:
    """Where a file of real data would be."""
    return Path(os.environ.get("AGENTRADER_SHARED", ROOT.parent / "shared")) / path


def _window() -> tuple[str, str, str, int]:
    """Symbol, interval and first day; and how many days of daily bars stand for one of hourly ones."""
    if shared(BARS).is_file():
        return "BTCUSDT", "1h", "2025-04-01", 1
    return SAMPLE_SYMBOL, "1d", SAMPLE_START, 18


def _bring(store: Store) -> None:
    if shared(BARS).is_file():
        ingest_bar_file(store, shared(BARS), "BTCUSDT", Interval.H1, clock=SystemClock())
    else:
        ingest_sample(store, clock=SystemClock())
