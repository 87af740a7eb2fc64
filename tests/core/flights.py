"""Runs of two symbols against a model that takes its time, and what must hold of each of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import main_job
from flight_model import Model
from main_job import Played

from backtesting.audit.verdict import RE_DERIVED, prove
from backtesting.core.replay import Replay
from data.door import SystemClock
from data.journal.examine import Verdict

KEY = {"OPENAI_API_KEY": "sk-nobody-is-asked"}
WORDS = (
    *("--symbol", "BTCUSDT,ETHUSDT", "--interval", "1h", "--start_date", "2025-04-04", "--end_date", "2025-04-04"),
    *("--decide_every", "3", "--model", "openai/gpt-4o-mini"),
)
DECISIONS = 16


@dataclass
class Hangar:
    """Where flights begin. `url` is the database's, `digest` what an undisturbed run comes to, `cost` its dollars."""

    root: Path
    url: str
    digest: str = ""
    cost: float = 0.0

    def fly(self, model: Model, concurrency: int, *words: str) -> Played:
        """A run from its beginning."""
        return self._play(*WORDS, "--base_url", model.url, "--concurrency", f"{concurrency}", *words)

    def go_on(self, flown: Played, *words: str) -> Played:
        return self._play("--resume", str(flown.folder), *words)

    def _play(self, *words: str) -> Played:
        return main_job.play(self.root, self.url, *words, environ=KEY)


def require_landed(flown: Played, hangar: Hangar) -> None:
    """It is complete, to the result of an undisturbed run, and holds what it takes to prove and to replay that."""
    assert flown.code == 0, flown.summary["reason"]
    assert flown.summary["result_digest"] == hangar.digest
    assert flown.summary["decisions"] == DECISIONS
    proof = prove(flown.folder)
    assert (proof.verdict, proof.result) == (Verdict.UNANCHORED, RE_DERIVED), proof.differences
    again = Replay(flown.folder, SystemClock()).run()
    assert (again.is_same, again.digest) == (True, hangar.digest), again.divergence


def require_counted(flown: Played, model: Model) -> None:
    """The summary counts what the server was asked, and nobody was answered the same twice."""
    summary, kinds = flown.summary, Counter(record.kind for record in flown.records)
    assert summary["calls"] + summary["retries"] == model.requests == kinds["llm.request"]
    assert kinds["llm.response"] == kinds["llm.request"]
    assert set(model.answered.values()) == {1}
    assert summary["wasted_calls"] == model.answered.total() - summary["replies"]
