"""From a spec to tasks: symbols and windows are checked as the main job checks them, each question gets its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from agents.llm.models import RULES, resolve_model
from agents.prompt_files import load_prompts
from backtesting.accounting.annualisation import periods_per_year
from backtesting.core.arguments import read_arguments
from backtesting.core.preparation import Prepared, prepare
from backtesting.research.choices import Found, Terms, points_of, terms_of
from backtesting.research.code import code_digest
from backtesting.research.questions import AgentsQuestion, ArrayQuestion, TaskQuestion, key_of
from backtesting.research.spec import AgentChoice, Spec, Window
from data.model.canonical import Json, digest, to_json
from data.model.decisions import Role
from data.model.errors import DataError, UsageError
from data.model.market import FactKind
from data.model.question import AgentSpec, Question
from data.store.store import Store
from data.store.tasks import Task
from data.view import LOOKBACK


@dataclass(frozen=True)
class Plan:
    """A sweep before its first task. `left_out` combinations made no sense; `warnings` go wherever results go."""

    sweep_id: str
    spec: Spec
    tasks: tuple[Task, ...]
    left_out: int
    warnings: tuple[str, ...]

    @property
    def spec_json(self) -> Json:
        return to_json(self.spec)


def plan(spec: Spec, store: Store, environ: Mapping[str, str]) -> Plan:
    """Raises UsageError and DataError, each with what to do about it.

    The same spec over the same data with the same code is the same sweep: its id says so.
    """
    found = points_of(spec)
    prepared = {(symbol, w): _prepared(spec, symbol, w, store) for symbol in spec.symbols for w in spec.windows}
    tasks = tuple(_tasks(spec, found, prepared, environ))
    if len({task.key for task in tasks}) != len(tasks):
        raise UsageError("two tasks of the sweep ask the same: a window, a model or a seed is named twice")
    warnings = dict.fromkeys(warning for each in prepared.values() for warning in (*each.warnings, *_dividends(each)))
    sweep_id = f"{spec.name}-{digest([task.key for task in tasks])[:12]}"
    return Plan(sweep_id, spec, tasks, found.left_out, tuple(warnings))


def _prepared(spec: Spec, symbol: str, window: Window, store: Store) -> Prepared:
    """The window's data, checked by the main job's own hand; who would decide over it is of no matter here."""
    words = ["--symbol", symbol, "--interval", spec.interval.value, "--model", RULES]
    words += ["--start_date", str(window.start_on), "--end_date", str(window.end_on)]
    words += ["--initial_cash", str(spec.initial_cash)]
    models = dict.fromkeys(Role, resolve_model(RULES))
    found = prepare(read_arguments(words, {}), store, models, load_prompts(None), max(LOOKBACK, spec.warmup + 1))
    splits = [action for action in found.actions[symbol] if action.kind is FactKind.SPLIT]
    if splits and spec.strategies:
        raise DataError(
            f"{symbol} is split on {splits[0].effective_on}: strategies over arrays know no splits; take windows that "
            "end before it or begin after it, or ingest adjusted prices under another symbol"
        )
    return found


def _dividends(prepared: Prepared) -> Iterator[str]:
    for symbol, actions in prepared.actions.items():
        if any(action.kind is FactKind.DIVIDEND for action in actions):
            yield f"{symbol} pays dividends in the window: strategies over arrays leave them out, runs of agents do not"


def _tasks(
    spec: Spec, found: Found, prepared: Mapping[tuple[str, Window], Prepared], environ: Mapping[str, str]
) -> Iterator[Task]:
    """Tasks over the same bars follow each other, so that a worker reads these once."""
    questions = [*_array_questions(spec, found, prepared), *_agents_questions(spec, prepared, environ)]
    for place, (question, data_digest) in enumerate(questions):
        asked = to_json(question)
        yield Task(key_of(asked, data_digest), place, question.kind, asked)


def _array_questions(
    spec: Spec, found: Found, prepared: Mapping[tuple[str, Window], Prepared]
) -> Iterator[tuple[TaskQuestion, str]]:
    code = code_digest()
    for (symbol, window), ready in prepared.items():
        instrument = ready.instruments[symbol]
        per_year = periods_per_year(instrument.calendar, spec.interval)
        for point in found.points:
            asked = ArrayQuestion.model_construct(
                strategy=point.strategy,
                parameters=point.parameters,
                interval=spec.interval,
                start_on=window.start_on,
                end_on=window.end_on,
                warmup=spec.warmup,
                initial_cash=spec.initial_cash,
                costs=point.terms.costs,
                limits=point.terms.limits,
                stop_loss=point.terms.stop_loss,
                take_profit=point.terms.take_profit,
                instrument=instrument,
                periods_per_year=per_year,
                code=code,
            )
            yield asked, ready.data_digest


def _agents_questions(
    spec: Spec, prepared: Mapping[tuple[str, Window], Prepared], environ: Mapping[str, str]
) -> Iterator[tuple[TaskQuestion, str]]:
    if spec.agents is None:
        return
    chosen = spec.agents
    seats = {model: _seats(model, chosen, environ) for model in chosen.models}
    axes = (chosen.models, chosen.protocols, chosen.seeds or (None,), chosen.decide_every, terms_of(spec))
    for ready in prepared.values():
        for model, protocol, seed, every, terms in product(*axes):
            changes = {"agents": seats[model], "protocol": protocol, "seed": seed, "decide_every": every}
            yield AgentsQuestion(model=model, question=_question(ready, chosen, terms, changes)), ready.data_digest


def _seats(model: str, chosen: AgentChoice, environ: Mapping[str, str]) -> tuple[AgentSpec, ...]:
    """Who sits where, and whether there is a key for it on this machine."""
    from orchestration.compose import choose_models  # noqa: PLC0415 (brings AutoGen: arrays do without)

    models, _ = choose_models(model, {}, chosen.base_url, environ)
    prompts = load_prompts(None)
    return tuple(
        AgentSpec(role=role, model=models[role].shown, prompt=prompts[role].version, prompt_sha256=prompts[role].sha256)
        for role in Role
    )


def _question(ready: Prepared, chosen: AgentChoice, terms: Terms, changes: Mapping[str, object]) -> Question:
    temperature = None if chosen.temperature is None else float(chosen.temperature)
    try:
        return Question.model_validate(
            {
                **dict(ready.question),
                **changes,
                "temperature": temperature,
                "costs": terms.costs,
                "limits": terms.limits,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"[agents] {'.'.join(map(str, first['loc']))} = {first['input']}: {first['msg']}") from None
