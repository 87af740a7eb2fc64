"""The only place where a session's parts are chosen and wired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agents.brief import Brief
from agents.group_chat import Discussion, Table, discuss
from agents.llm.channel import Channel
from agents.llm.models import ModelSpec, api_key, resolve_model
from agents.llm.prices import Price, PriceList, Tokens
from agents.prompt_files import Prompt
from agents.roster import Seat
from data.model.decisions import Abstention, Decision, Opinion, Role
from data.model.errors import UsageError
from data.model.market import Instrument, MarketView
from data.model.protocols import Journal
from data.model.question import Question
from data.model.trading import Book
from data.store.store import Store
from data.view import MarketViews
from orchestration.decision_session import DecisionSession, Look
from orchestration.policy.decide import decide


@dataclass(frozen=True)
class Panel:
    """Who decides: the model, its key and the prompt of each seat."""

    models: Mapping[Role, ModelSpec]
    prompts: Mapping[Role, Prompt]
    keys: Mapping[ModelSpec, str]

    @property
    def note(self) -> str:
        """What every log, report and metric says of who answered."""
        names = sorted({spec.shown for spec in self.models.values()})
        return f"model: {', '.join(f'{name}{_NOT_A_MODEL.get(name, str())}' for name in names)}"


_NOT_A_MODEL = {"rules": " (built-in, not a language model)"}


def choose_models(
    model: str, per_agent: Mapping[str, str], base_url: str | None, environ: Mapping[str, str]
) -> tuple[dict[Role, ModelSpec], dict[ModelSpec, str]]:
    """Who answers in each seat, and with which key. Raises UsageError for an unknown seat or model, or no key."""
    models = name_models(model, per_agent, base_url)
    return models, {spec: api_key(spec, environ) for spec in models.values()}


def name_models(model: str, per_agent: Mapping[str, str], base_url: str | None) -> dict[Role, ModelSpec]:
    """Who answers in each seat. Raises UsageError for an unknown seat or model."""
    unknown = set(per_agent) - {role.value for role in Role}
    if unknown:
        seats = ", ".join(role.value for role in Role)
        raise UsageError(f"--agent_model {sorted(unknown)[0]}: the agents are {seats}")
    return {role: resolve_model(per_agent.get(role.value, model), base_url) for role in Role}


def require_prices(
    models: Iterable[ModelSpec], budget_usd: Decimal | None, at: datetime, own: Mapping[str, Price] | None = None
) -> None:
    """A budget is kept only where every price is known. Raises UsageError naming the model."""
    prices = PriceList(own)
    for spec in models if budget_usd is not None else ():
        if prices.cost(spec, Tokens(0, 0), at) is None:
            raise UsageError(
                f"the price of {spec.shown} is not known, so --budget_usd cannot be kept; "
                f"say it in dollars a million tokens, in and out: --price {spec.shown}=IN,OUT"
            )


def look_into(store: Store, question: Question) -> Look:
    """What was knowable at an instant, by the store."""
    return MarketViews(store, question.interval, question.lookback).at


def compose_session(
    question: Question,
    panel: Panel,
    *,
    look: Look,
    instruments: Mapping[str, Instrument],
    channel: Channel,
    journal: Journal,
    run_id: str,
) -> DecisionSession:
    """A session over what `look` finds, whose agents speak through `channel`."""
    seats = tuple(Seat(role, panel.models[role], panel.prompts[role]) for role in Role)
    table = Table(seats, channel, journal, panel.keys, question.temperature, question.seed)

    def talk(opening: Brief, book_text: Callable[[], str], slot_prefix: str) -> Discussion:
        return discuss(table, opening, book_text, slot_prefix)

    def conclude(view: MarketView, book: Book, answers: Mapping[Role, Opinion | Abstention]) -> Decision:
        return decide(
            view.symbol,
            view.as_of,
            answers,
            question.protocol,
            book,
            view.price,
            instruments[view.symbol],
            question.limits,
            question.costs,
        )

    return DecisionSession(look, talk, conclude, journal, run_id)
