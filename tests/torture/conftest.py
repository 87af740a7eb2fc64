"""The ground for torture: a model's server and a starter of runs in processes of their own, and one undisturbed run.

`TORTURE_ROUNDS`, `TORTURE_SEED` and `TORTURE_STEP` say how much, which moments, and how closely; see `make torture`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import databases
import pytest

sys.path.append(str(Path(__file__).parents[1] / "core"))
sys.path.append(str(Path(__file__).parents[1] / "llm"))
import ground as grounds
import main_job

from data.model.instants import Interval
from data.store.database import open_database
from data.store.store import Store


@pytest.fixture(scope="session")
def bars_url(database_url: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with the bars that nobody empties between tests."""
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    with databases.fresh(database_url) as url:
        with open_database(url, tmp_path_factory.mktemp("unused")) as database:
            main_job.bring(Store(database.engine), path, "BTCUSDT", Interval.H1)
        yield url


@pytest.fixture(scope="session")
def ground(bars_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grounds.Ground]:
    """One for all tests of this process."""
    with grounds.prepared(tmp_path_factory.mktemp("torture"), bars_url) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was done to how many runs, from all workers."""
    figures: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name.startswith("torture: "):
                figures[name] += value
    if figures:
        terminalreporter.section(f"torture, seed {grounds.SEED}")
    for name, value in sorted(figures.items()):
        terminalreporter.line(f"{value:7} {name.removeprefix('torture: ')}")
