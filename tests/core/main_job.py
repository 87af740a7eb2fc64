"""The main job inside the test's process: its own root folder, a clock that moves, and what it printed."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from backtesting.core.arguments import read_arguments
from backtesting.core.begun import read_begun
from backtesting.core.job import Job
from data.door import SystemClock
from data.journal.reading import read_records
from data.model.protocols import Record
from data.sources.ingest import ingest_bar_file
from data.store.store import Store

WINDOW = ("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-10")
RULES = (*WINDOW, "--model", "rules")


_NUMBERS = count(1)


@dataclass(frozen=True)
class Played:
    """One run that is over."""

    code: int
    out: str
    err: str
    folder: Path
    root: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The one object on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def records(self) -> list[Record]:
        return list(read_records(self.folder))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [record.body for record in self.records if record.kind == kind]

    @property
    def log(self) -> str:
        (path,) = (self.root / "data" / "logs").glob("agent_comms_*.log")
        return path.read_text()


def play(root: Path, url: str, *words: str, environ: Mapping[str, str] | None = None) -> Played:
    """Runs the job with these flags, `--json`, and a database. Raises what the command would print in one line."""
    argv = [*words, "--json", "--database", url, "--output_dir", str(root / "runs"), "--yes"]
    settings = read_arguments(argv, environ or {}, recall)
    run_id = settings.resume.name if settings.resume else f"run-{next(_NUMBERS)}"
    out, err = io.StringIO(), io.StringIO()
    job = Job(settings, environ or {}, run_id, root, time.monotonic, lambda _seconds: None, SystemClock())
    code = job.run(out, err)
    return Played(code, out.getvalue(), err.getvalue(), root / "runs" / run_id, root)


def recall(folder: Path) -> Any:
    begun = read_begun(folder)
    return None if begun is None else begun.invocation


def bring(store: Store, path: Path, symbol: str, interval: Any) -> None:
    ingest_bar_file(store, path, symbol, interval, clock=SystemClock())
