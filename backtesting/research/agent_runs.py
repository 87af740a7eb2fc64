"""A task of agents: a run by the main job's own hand, under an id that follows from the task.

Whoever takes such a task over finds the run's folder and goes on with it: what a model said is delivered from there and
not paid for again. So the folder with the runs must be one that every machine of the sweep shares.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtesting.accounting.annualisation import periods_per_year
from backtesting.core.arguments import read_arguments
from backtesting.core.begun import Begun, read_begun
from backtesting.core.job import Job
from backtesting.research.questions import AgentsQuestion, run_id_of
from backtesting.research.spec import AgentChoice
from backtesting.research.trials import Trial, numbers
from data.door import ROOT
from data.journal.reading import read_live
from data.model.canonical import Json, to_json
from data.model.differences import first_difference
from data.model.errors import RunIncomplete, UsageError
from data.model.market import Instrument
from data.model.protocols import Clock

STOPPED = "stopped by "


@dataclass(frozen=True)
class Hands:
    """The clocks that the main job goes by, and how it waits."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    clock: Clock


@dataclass(frozen=True)
class AgentRun:
    """One task of agents; its run is kept in `runs`."""

    key: str
    question: AgentsQuestion
    chosen: AgentChoice
    instrument: Instrument
    database_url: str
    runs: Path
    hands: Hands
    environ: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.runs / run_id_of(self.key)

    def play(self) -> Trial:
        """Begins the run or goes on with it. Raises RunIncomplete, KeyboardInterrupt if it was told to stop."""
        begun = read_begun(self.folder)
        if begun is not None:
            self._require_same(to_json(begun.question))
        settings = read_arguments(self._words(begun), self.environ, _recall)
        name, hands, out = run_id_of(self.key), self.hands, io.StringIO()
        job = Job(settings, self.environ, name, ROOT, hands.monotonic, hands.sleep, hands.clock)
        code = job.run(out, io.StringIO())
        summary = json.loads(out.getvalue())
        if code:
            reason = str(summary["reason"])
            if reason.startswith(STOPPED):
                raise KeyboardInterrupt(reason)
            raise RunIncomplete(f"run {name} stopped: {reason}")
        return self._trial(summary)

    def _words(self, begun: Begun | None) -> list[str]:
        """A run that goes on has what is left of its budget, unless the spec has another one since."""
        asked, chosen = self.question.question, self.chosen
        words = ["--json", "--yes", "--database", self.database_url, "--output_dir", str(self.runs)]
        words += ["--max_failures", str(chosen.max_failures)]
        if chosen.budget_usd is not None and (begun is None or begun.budget != str(chosen.budget_usd)):
            words += ["--budget_usd", str(chosen.budget_usd)]
        if chosen.base_url is not None:
            words += ["--base_url", chosen.base_url]
        if begun is not None:
            return [*words, "--resume", str(self.folder)]
        values = {
            "symbol": asked.symbols[0],
            "interval": asked.interval.value,
            "start_date": asked.start_on,
            "end_date": asked.end_on,
            "model": self.question.model,
            "protocol": asked.protocol,
            "initial_cash": asked.initial_cash,
            "position_size": asked.limits.position_size,
            "commission_bps": asked.costs.commission_bps,
            "slippage_bps": asked.costs.slippage_bps,
            "decide_every": asked.decide_every,
            "seed": asked.seed,
            "temperature": asked.temperature,
        }
        words += [f"--{name}={value}" for name, value in values.items() if value is not None]
        return [*words, "--allow_short"] if asked.limits.allow_short else words

    def _trial(self, summary: Mapping[str, Json]) -> Trial:
        begun = read_begun(self.folder)
        assert begun is not None
        self._require_same(to_json(begun.question))
        asked = self.question.question
        curve, turnover = [], None
        for record in read_live(self.folder):
            if record.kind == "equity":
                curve.append(float(str(record.body["equity"])))
            if record.kind == "run.end" and isinstance(metrics := record.body["metrics"], dict):
                turnover = metrics["turnover"]
        per_year = periods_per_year(self.instrument.calendar, asked.interval)
        told = {name: summary[name] for name in _TOLD}
        return Trial.model_validate(
            {
                **numbers(np.array(curve), float(asked.initial_cash), per_year),
                **told,
                "turnover": turnover,
                "failed_decisions": summary["failed"],
                "run_dir": str(self.folder),
            }
        )

    def _require_same(self, recorded: Json) -> None:
        found = first_difference(to_json(self.question.question), recorded)
        if found is not None:
            raise UsageError(
                f"the run in {self.folder} asked another question: {found.pointer[1:]} is {found.now} there, "
                f"{found.before} in the sweep"
            )


_TOLD = ("fills", "buy_and_hold_return", "run_id", "result_digest", "cost_usd", "decisions")


def _recall(folder: Path) -> Mapping[str, Json] | None:
    begun = read_begun(folder)
    return None if begun is None else begun.invocation
