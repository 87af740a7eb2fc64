"""Runs of the main job over real bars, recorded once, for the tests that read, change or play a log again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / room) for room in ("core", "llm")]
import databases
from fault_server import FaultServer, Step, completing, ok, refusal, status
from main_job import RULES, WINDOW, bring, play
from sqlalchemy import Engine

from backtesting.audit.derivation import rederive
from data.door import SystemClock
from data.journal.reading import read_live
from data.model.instants import Interval
from data.model.protocols import Record
from data.sources.ingest import ingest_fact_file
from data.store.store import Store

BOTH = ("--symbol", "BTCUSDT", "ETHUSDT", "--position_size", "0.5", "--decide_every", "3")
SPLIT = ("--symbol", "NVDA", "--interval", "1d", "--start_date", "2024-05-20", "--end_date", "2024-06-14")
MODEL = (*WINDOW, "--model", "openai/gpt-4o", "--mini")
ACTIONS = {
    "splits.csv": ("execution_date,id,split_from,split_to,ticker", "2024-06-10,S1,1,10,NVDA"),
    "dividends.csv": (
        "cash_amount,currency,declaration_date,dividend_type,ex_dividend_date,frequency,id,pay_date,record_date,ticker",
        "0.04,USD,2024-02-21,CD,2024-03-05,4,D1,2024-03-27,2024-03-06,NVDA",
        "0.01,USD,2024-05-22,CD,2024-06-11,4,D2,2024-06-28,2024-06-11,NVDA",
    ),
}
"""Those of one share around its split, in the form of the shared files, which do not have it."""
KEY = {"OPENAI_API_KEY": "sk-canary-4f1c0ffee"}


@dataclass
class Recorder:
    """Plays a run at its first call and reads its folder ever after."""

    engine: Engine
    url: str
    data: Path
    root: Path

    def rules(self) -> Path:
        """Two days of one symbol."""
        return self._once("rules", *RULES, "--mini")

    def rules_until_failure(self, name: str) -> Path:
        """Stops at the first decision that fails."""
        return self._once(name, *RULES, "--mini", "--max_failures", "1")

    def both(self) -> Path:
        """Two symbols that share one account, asked at every third bar."""
        return self._once("both", *RULES, *BOTH, "--mini")

    def split(self) -> Path:
        """A share with a split, dividends, and figures that were filed."""
        return self._once("split", *SPLIT, "--model", "rules")

    def model(self) -> Path:
        """A model server that errs now and then: asked again, malformed once, refused once, malformed for good."""
        words = completing(content="I would buy.")
        late = [ok] * 20
        script = [status(429, retry_after="0"), *[ok] * 5, words, *[ok] * 6, refusal, *late, words, words]
        return self.served("model", script, "--decide_every", "3")

    def held(self) -> Path:
        """A share that is held over its split and a dividend, and sold too late for the run: that order expires."""
        asked: Counter[str] = Counter()

        def answer(messages: list[dict[str, Any]]) -> str:
            agent = messages[0]["content"].rsplit("Agent: ", 1)[1]
            asked[agent] += 1
            action = "SELL" if asked[agent] == 19 else "BUY"
            said: dict[str, Any] = {"reasons": ["It is said so."], "action": action, "confidence": 0.5}
            if agent.endswith("Analyst"):
                return json.dumps({**said, "evidence": ["bars", "f1"]})
            return json.dumps({**said, "size": 0.9, "stop_loss": None, "take_profit": None})

        with FaultServer(answer=answer) as server:
            words = ("--model", "openai/gpt-4o", "--base_url", server.base_url)
            return self._once("held", *SPLIT, *words, environ=KEY)

    def refused_and_resumed(self) -> Path:
        """A run that its model's refusals stopped, and that went on with the agents that had failed."""
        kept = self.root / "refused"
        if not kept.exists():
            self._bring()
            root = self.root / "refused-root"
            with FaultServer([ok] * 9 + [refusal, ok, ok, refusal]) as server:
                words = (*MODEL, "--decide_every", "6", "--base_url", server.base_url, "--max_failures", "2")
                folder = play(root, self.url, *words, environ=KEY).folder
                play(root, self.url, "--resume", str(folder), environ=KEY)
            folder.rename(kept)
        return kept

    def resumed(self) -> Path:
        """Two days, killed when a request was on its way, and resumed."""
        kept = self.root / "resumed"
        if not kept.exists():
            self._bring()
            root = self.root / "resumed-root"
            folder = play(root, self.url, *RULES, "--mini").folder
            log = folder / "log.jsonl"
            lines = log.read_bytes().splitlines(keepends=True)
            asked = [place for place, line in enumerate(lines) if line.endswith(b'"kind":"llm.request"}\n')]
            log.write_bytes(b"".join(lines[: asked[50] + 1]) + b'{"at":"2025')
            play(root, self.url, "--resume", str(folder))
            folder.rename(kept)
        return kept

    def served(self, name: str, script: Sequence[Step], *words: str, then: Step | None = None) -> Path:
        """Two days decided by a model server that follows its script."""
        with FaultServer(script, then=then) as server:
            return self._once(name, *MODEL, "--base_url", server.base_url, *words, environ=KEY)

    def _once(self, name: str, *words: str, environ: dict[str, str] | None = None) -> Path:
        kept = self.root / name
        if not kept.exists():
            self._bring()
            play(self.root / f"{name}-root", self.url, *words, environ=environ).folder.rename(kept)
        return kept

    def _bring(self) -> None:
        databases.empty(self.engine)
        store = Store(self.engine)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            path = self.data / "crypto_spot" / f"{symbol}_1h_2025-03-01_2025-04-15.csv"
            bring(store, path, symbol, Interval.H1)
        bring(store, self.data / "us_equity_daily/unadjusted/NVDA_1d.csv.gz", "NVDA", Interval.D1)
        for name, lines in ACTIONS.items():
            path = self.root / name
            path.write_text("\n".join(lines) + "\n")
            ingest_fact_file(store, path, clock=SystemClock())


def audit(records: Sequence[Record]) -> tuple[str, ...]:
    """The differences that a log is found to have, a line each."""
    return tuple(str(one) for one in rederive(records).differences)


def live(folder: Path) -> list[Record]:
    """The records of a run that count; read once."""
    return list(_live(folder))


@cache
def _live(folder: Path) -> tuple[Record, ...]:
    return tuple(read_live(folder))


def changed(
    records: Sequence[Record], kind: str, change: Callable[[dict[str, Any]], None], place: int = 0
) -> tuple[list[Record], int]:
    """The records with one body changed: the `place`-th of its kind. The second value is its number."""
    found = [record for record in records if record.kind == kind][place]
    body = _copy(dict(found.body))
    change(body)
    return [replace(record, body=body) if record is found else record for record in records], found.seq


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
