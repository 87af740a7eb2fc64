"""A sweep's results, read from the ledger in the order of its tasks: what tables and pages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from backtesting.audit.story import parse
from backtesting.research.questions import ARRAYS, AgentsQuestion, ArrayQuestion, TaskQuestion
from backtesting.research.selection import Selection, selection
from backtesting.research.strategies import Number
from backtesting.research.trials import Trial
from data.model.canonical import decimal_text
from data.store.tasks import TaskLedger, TaskRow


@dataclass(frozen=True)
class Outcome:
    """One task: what it asked and what came of it, or why nothing did."""

    key: str
    question: TaskQuestion
    trial: Trial | None
    reason: str | None
    attempts: int

    @property
    def who(self) -> str:
        """The strategy, or the model of the agents."""
        asked = self.question
        return asked.strategy if isinstance(asked, ArrayQuestion) else f"agents: {asked.model}"

    @property
    def parameters(self) -> Mapping[str, Number | str | bool]:
        """All that distinguishes it from others of its kind over the same window, by name."""
        asked = self.question
        if isinstance(asked, ArrayQuestion):
            stops = {"stop_loss": asked.stop_loss, "take_profit": asked.take_profit}
            levels = {name: decimal_text(value) if value else "none" for name, value in stops.items()}
            return {**asked.parameters, **levels, **_terms(asked)}
        found = asked.question
        named = {"protocol": found.protocol, "seed": "none" if found.seed is None else found.seed}
        return named | {"decide_every": found.decide_every} | _terms(found)

    @property
    def window(self) -> str:
        asked = self.question if isinstance(self.question, ArrayQuestion) else self.question.question
        return f"{asked.start_on} to {asked.end_on}"

    @property
    def where(self) -> str:
        return f"{self.question.symbol}, {self.window}"


@dataclass(frozen=True)
class Outcomes:
    """All of a sweep's; `elsewhere` is how many tasks of other sweeps the database holds."""

    sweep_id: str
    all: tuple[Outcome, ...]
    elsewhere: int

    @cached_property
    def done(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.all if each.trial is not None)

    @cached_property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.all if each.trial is None)

    @cached_property
    def selection(self) -> Selection:
        return selection([each.trial for each in self.done if each.trial is not None], len(self.all))

    @cached_property
    def ranked(self) -> tuple[Outcome, ...]:
        """Those with a Sharpe ratio, best first."""
        rated = [(each.trial.sharpe, each) for each in self.done if each.trial and each.trial.sharpe is not None]
        return tuple(each for _, each in sorted(rated, key=lambda pair: -pair[0]))

    @cached_property
    def _values(self) -> Mapping[str, Mapping[str, int]]:
        """How many different values each parameter has, by who it is of."""
        seen: dict[str, dict[str, set[object]]] = {}
        for each in self.all:
            for name, value in each.parameters.items():
                seen.setdefault(each.who, {}).setdefault(name, set()).add(value)
        return {who: {name: len(values) for name, values in found.items()} for who, found in seen.items()}

    def varied(self, outcome: Outcome) -> Mapping[str, Number | str | bool]:
        """Its parameters that differ between the tasks of its kind."""
        values = self._values[outcome.who]
        return {name: value for name, value in outcome.parameters.items() if values[name] > 1}

    @property
    def verdict(self) -> str:
        """What the best result must be read against, in words."""
        trials, best = len(self.all), self.ranked[0] if self.ranked else None
        if best is None or best.trial is None or best.trial.sharpe is None:
            return f"Of {trials} trials none has a Sharpe ratio: nothing was traded, or nothing varied."
        few = (
            "One trial says nothing about chance." if trials == 1 else "Too few trials vary to judge what chance does."
        )
        expected, deflated = self.expected_max(best), self.selection.deflated(best.trial)
        if expected is None or deflated is None:
            return few + self._others
        return (
            f"The best of {trials:,} trials has a Sharpe ratio of {best.trial.sharpe:.2f}; the best of as many "
            f"worthless ones has {expected:.2f} on average. The probability that its true ratio is above that is "
            f"{deflated:.0%} (deflated Sharpe ratio, Bailey and Lopez de Prado 2014).{self._others}"
        )

    @property
    def _others(self) -> str:
        many = f" {self.elsewhere:,} trials of other sweeps in this database are not counted in."
        return many if self.elsewhere else ""

    def expected_max(self, outcome: Outcome) -> float | None:
        """The annual Sharpe ratio that the best of as many trials without skill has, in the outcome's own scale."""
        trial, expected = outcome.trial, self.selection.expected_max
        if trial is None or expected is None or not trial.sharpe or not trial.sharpe_per_bar:
            return None
        return expected * trial.sharpe / trial.sharpe_per_bar


def read_outcomes(ledger: TaskLedger) -> Outcomes:
    return Outcomes(ledger.sweep_id, tuple(map(_outcome, ledger.rows())), ledger.done_elsewhere())


def _outcome(row: TaskRow) -> Outcome:
    kind: type[TaskQuestion] = ArrayQuestion if row.task.kind == ARRAYS else AgentsQuestion
    trial = None if row.state != "done" else parse(Trial, row.result)
    return Outcome(row.task.key, parse(kind, row.task.question), trial, row.reason, row.attempt)


def _terms(asked: object) -> dict[str, Number | str | bool]:
    costs, limits = asked.costs, asked.limits  # type: ignore[attr-defined]
    return {
        "commission_bps": decimal_text(costs.commission_bps),
        "slippage_bps": decimal_text(costs.slippage_bps),
        "position_size": decimal_text(limits.position_size),
        "allow_short": "yes" if limits.allow_short else "no",
    }
