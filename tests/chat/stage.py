"""A stage for chats: a scripted provider behind the real AutoGen and OpenAI SDK, no network, no waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from agents.brief import Brief
from agents.group_chat import Discussion, Table, discuss
from agents.llm.models import ModelSpec
from agents.llm.turn import Exchange, current_turn
from agents.prompt_files import Prompt
from agents.roster import Seat
from data.journal.memory_journal import MemoryJournal
from data.model.decisions import Decision, DecisionStatus, Role
from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Instrument, MarketView
from data.model.trading import Book
from orchestration.decision_session import DecisionSession

SPEC = ModelSpec("openai", "gpt-test", "http://provider.invalid/v1", "OPENAI_API_KEY", json_schema=True, seed=True)
OPENING = Brief("What is the market doing? BTCUSDT closed at 67890.50.", frozenset({"f1"}))
BOOK = "You hold 0.25 BTCUSDT."
PREFIX = "run7/2025-04-01T00:00:00Z/BTCUSDT"
AT = datetime(2025, 4, 15, 13, 45, 30, tzinfo=UTC)
NAMES = [role.agent for role in Role]


class Standing:
    """A clock that stands still."""

    def now(self) -> datetime:
        return AT


def journal() -> MemoryJournal:
    return MemoryJournal(Standing())


def book_text() -> str:
    return BOOK


def answer(role: Role, action: str = "BUY") -> str:
    """A schema-valid answer of that role."""
    said: dict[str, Any] = {"action": action, "confidence": 0.75, "reasons": [f"{role.shown} thinks so"]}
    if role in (Role.TECHNICAL, Role.FUNDAMENTAL):
        return json.dumps(said | {"evidence": ["f1"]})
    return json.dumps(said | {"size": 0.5, "stop_loss": 0.02, "take_profit": None})


Reply = str | BaseException | Callable[[httpx.Request], httpx.Response]


class ScriptedChannel:
    """What a chat needs of a channel. Says the next line of each agent's script, then valid answers.

    A line may be a text, an exception that the transport raises, or a function of the request. Every request is kept.
    """

    def __init__(self, log: MemoryJournal, script: Mapping[Role, Iterable[Reply]] | None = None) -> None:
        self.journal = log
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[bytes] = []
        self.hosts: list[str] = []
        self._script = {role.agent: list(lines) for role, lines in (script or {}).items()}
        self._lock = threading.Lock()
        self.http_client = _SharedClient(transport=httpx.MockTransport(self._handle), trust_env=False)

    def client_config(self, spec: ModelSpec, key: str) -> dict[str, Any]:
        return {
            "api_type": "openai",
            "model": spec.name,
            "api_key": key,
            "base_url": spec.base_url,
            "http_client": self.http_client,
            "max_retries": 0,
            "timeout": 10.0,
            "price": [0, 0],
        }

    def asked(self, role: Role) -> list[dict[str, Any]]:
        """The bodies that were sent in that agent's turns."""
        return [body for agent, body in self.requests if agent == role.agent]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        turn = current_turn.get()
        assert turn is not None, "a call outside of any agent's turn"
        with self._lock:
            self.requests.append((turn.agent, json.loads(request.content)))
            self.sent.append(request.content)
            self.hosts.append(request.url.host)
            lines = self._script.get(turn.agent)
            role = next(role for role in Role if role.agent == turn.agent)
            line: Reply = lines.pop(0) if lines else answer(role)
        asked = self.journal.append("llm.request", {"agent": turn.agent}, slot=turn.slot)
        if isinstance(line, BaseException):
            raise line
        if callable(line):
            return line(request)
        told = self.journal.append("llm.response", {"agent": turn.agent}, slot=turn.slot, caused_by=(asked.seq,))
        turn.exchange = Exchange(asked.seq, told.seq, line, "0" * 64, "1" * 64, 10, 5, None, 0.0)
        return completion(line)


class _SharedClient(httpx.Client):
    def __deepcopy__(self, _memo: dict[int, Any]) -> _SharedClient:
        return self


def completion(content: str | None, **message: Any) -> httpx.Response:
    """An OpenAI chat completion that says `content`."""
    said = {"role": "assistant", "content": content, **message}
    return httpx.Response(
        200,
        json={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1743465600,
            "model": SPEC.name,
            "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        },
    )


def plain_config(says: str) -> dict[str, Any]:
    """An AutoGen configuration of somebody else's: no turns, no records, always the same answer."""
    client = _SharedClient(transport=httpx.MockTransport(lambda _request: completion(says)), trust_env=False)
    entry = {"model": "m", "api_key": "k", "base_url": "http://provider.invalid/v1", "http_client": client}
    return {"config_list": [entry | {"price": [0, 0]}]}


def table(channel: Any, *, log: MemoryJournal | None = None, **settings: Any) -> Table:
    seats = [Seat(role, SPEC, Prompt(role, "1", f"You are the {role.shown}.", "2" * 64)) for role in Role]
    return Table(seats, channel, log or channel.journal, {SPEC: "sk-canary"}, **settings)


def talk(
    script: Mapping[Role, Iterable[Reply]] | None = None, prefix: str = PREFIX
) -> tuple[Discussion, ScriptedChannel]:
    """One chat from beginning to end."""
    channel = ScriptedChannel(journal(), script)
    return discuss(table(channel), OPENING, book_text, prefix), channel


def texts(body: Mapping[str, Any]) -> list[str]:
    """The contents of a request's messages, the system's first."""
    return [message["content"] for message in body["messages"]]


def view() -> MarketView:
    """One bar of BTCUSDT, closed at 67890.50."""
    opened = datetime(2025, 4, 1, tzinfo=UTC)
    price = Decimal("67890.50")
    bar = Bar(
        "BTCUSDT", Interval.H1, opened, opened + timedelta(hours=1), price, price, price, price, price, opened.date()
    )
    coin = Instrument("BTCUSDT", AssetClass.CRYPTO, "24/7", "USDT", Decimal("0.01"), Decimal("1e-8"))
    return MarketView("BTCUSDT", Interval.H1, bar.known_at, coin, (bar,))


def book() -> Book:
    return Book(view().as_of, Decimal(10000), Decimal(10000), Decimal(0), Decimal(10000))


def session(
    log: MemoryJournal,
    script: Mapping[Role, Iterable[Reply]] | None = None,
    kind: type[DecisionSession] = DecisionSession,
    **more: Any,
) -> DecisionSession:
    """A decision session whose agents follow the script and whose decision is the decision agent's."""
    desk = table(ScriptedChannel(log, script))

    def look(symbol: str, _as_of: datetime) -> MarketView:
        if symbol != "BTCUSDT":
            raise DataError(f"no bar of {symbol} is known")
        return view()

    def conclude(seen: MarketView, _book: Book, answers: Mapping[Role, Any]) -> Decision:
        chosen = answers[Role.DECISION]
        return Decision("BTCUSDT", seen.as_of, DecisionStatus.DECIDED, chosen.action, Decimal("0.785"))

    def chat(opening: Brief, _book_text: Callable[[], str], slot_prefix: str) -> Discussion:
        return discuss(desk, Brief(opening.text, OPENING.fact_ids), book_text, slot_prefix)

    return kind(look, chat, conclude, log, "run7", **more)


def run(of_session: DecisionSession) -> dict[str, Any]:
    return of_session.run_session("BTCUSDT", view().as_of, book(), number=1, of=240)


def kinds(log: MemoryJournal) -> list[str]:
    return [record.kind for record in log.records]
