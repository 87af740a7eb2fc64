"""Real bars in a store, and the command as a user gives it, in the test's process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / room) for room in ("core", "audit")]
import main_job

from backtesting.research import agent_runs
from data.model.instants import Interval
from data.store.store import Store
from scripts.sweep import main

SPEC = """
name = "small"
symbols = ["BTCUSDT"]
interval = "1h"
windows = [{ start_on = 2025-04-01, end_on = 2025-04-04 }, { start_on = 2025-04-05, end_on = 2025-04-08 }]
[[strategies]]
name = "sma_crossover"
parameters = { fast = [5, 10], slow = { from = 20, to = 40, step = 10 } }
[[strategies]]
name = "buy_and_hold"
"""

ALONE = """
name = "agents"
symbols = ["BTCUSDT"]
interval = "1h"
windows = [{ start_on = 2025-04-01, end_on = 2025-04-02 }]
"""


@dataclass(frozen=True)
class Swept:
    """One command that is over. `summary` is the object on standard output, None where there was none."""

    code: int
    summary: Any
    err: str

    @property
    def folder(self) -> Path:
        return Path(self.summary["sweep_dir"])


Sweeping = Callable[..., Swept]


@pytest.fixture
def bitcoin(store: Store, shared_data: Path, database_url: str) -> str:
    """The URL of a database that holds BTCUSDT 1h, 2025-03-01 to 2025-04-15."""
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    main_job.bring(store, path, "BTCUSDT", Interval.H1)
    return database_url


@pytest.fixture
def sweeping(
    bitcoin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweeping:
    """Runs the command over a spec, in one process unless told otherwise, and in a place of its own."""
    monkeypatch.setattr(agent_runs, "ROOT", tmp_path)
    monkeypatch.setenv("AGENTRADER_KEYS", str(tmp_path / "keys"))

    def run(text: str = SPEC, *words: str) -> Swept:
        spec = tmp_path / "spec.toml"
        spec.write_text(text)
        fixed = ["--json", "--database", bitcoin, "--output_dir", str(tmp_path / "sweeps")]
        code = main([str(spec), *fixed, *(words or ("--jobs", "1"))])
        out, err = capsys.readouterr()
        return Swept(code, json.loads(out) if out else None, err)

    return run
