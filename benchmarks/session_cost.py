"""What it costs to let four agents speak and to prove what they said, beside AutoGen's bare chat of the same four.

Audited is the product's chat: recording transport, signed journal on this disk, patches. Bare is AutoGen alone with
the same prompts, opening and speaking order, over one shared HTTP client: with fresh agents for each chat, and with
the same four agents again. The server answers at once, in another process. The disk's part (fsync) is shown apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
from autogen import ConversableAgent, GroupChat, GroupChatManager
from autogen.io import IOStream

from agents.brief import Brief, book_brief, market_brief
from agents.group_chat import Table, discuss
from agents.llm.channel import Channel
from agents.llm.models import ModelSpec, resolve_model
from agents.opinions import answer_schema
from agents.prompt_files import load_prompts, system_message
from agents.roster import Seat
from backtesting.audit.accounts import open_account
from backtesting.core.market import market_in
from backtesting.core.preparation import prepare
from benchmarks.journal_cost import Disk
from benchmarks.model_server import MODEL, answering
from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle
from data.door import SystemClock
from data.journal.notes import SigningKey
from data.journal.opened import create
from data.journal.run_journal import RunJournal
from data.model.decisions import Role
from orchestration.communication_log import patch_all

SESSIONS = 40
KEY = "no-real-key-0123456789"
CPU_TO_REACH, WALL_TO_REACH = Goal(1.0), Goal(1.25)

_NUMBERS = count(1)


@dataclass(frozen=True)
class Scene:
    """What every contestant is given."""

    seats: Sequence[Seat]
    opening: Brief
    book: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a session, without fsync; `disk` is what its fsyncs took on the wall's clock."""

    cpu: float
    wall: float
    disk: float = 0.0


def rows(place: Place) -> Iterator[Row]:
    """Milliseconds a session of four agents, and how they compare."""
    with ExitStack() as stack:
        spec = resolve_model(f"openai/{MODEL}", stack.enter_context(answering()))
        scene = _scene(place, spec)
        stack.enter_context(IOStream.set_default(_Silence()))
        found = in_turn(
            {
                "audited": lambda: _audited(place, scene, spec),
                "fresh": lambda: _bare(scene, fresh=True),
                "reused": lambda: _bare(scene, fresh=False),
            },
            place.rounds,
            place.tell,
        )
    name = "audited four-agent session"
    for what, cost, goal in (("CPU", _cpu, CPU_TO_REACH), ("wall", _wall, WALL_TO_REACH)):
        audited, fresh, reused = (middle([cost(each) for each in found[who]]) for who in ("audited", "fresh", "reused"))
        yield Row(f"{name}: {what}", audited, "ms", "bare AutoGen, fresh agents", fresh)
        yield Row(f"{name}: {what} as a share of fresh agents'", audited / fresh, "times", "fresh agents", 1.0, goal)
        yield Row(f"{name}: {what} beside reused agents", audited, "ms", "bare AutoGen, reused agents", reused)
    disk, cpu = (middle([getattr(each, part) for each in found["audited"]]) for part in ("disk", "cpu"))
    yield Row(f"{name}: its fsyncs, apart", disk, "ms", "its CPU", cpu)


def _cpu(cost: Cost) -> float:
    return cost.cpu


def _wall(cost: Cost) -> float:
    return cost.wall


def _scene(place: Place, spec: ModelSpec) -> Scene:
    """The middle of the place's window."""
    prompts = load_prompts(None)
    prepared = prepare(place.settings, place.store, dict.fromkeys(Role, spec), prompts)
    question = prepared.question
    market = market_in(place.store, question)
    with closing(market.bars(question.symbols[0])) as bars:
        window = list(bars)
    view = market.look(question.symbols[0], window[len(window) // 2].known_at)
    book = open_account(question, prepared.instruments).book(view.as_of)
    seats = [Seat(role, spec, prompts[role]) for role in Role]
    return Scene(seats, market_brief(view), book_brief(book, view.symbol))


def _audited(place: Place, scene: Scene, spec: ModelSpec) -> Cost:
    name = f"session-cost-{next(_NUMBERS)}"
    with ExitStack() as stack:
        log = create(place.folder / "sessions" / name)
        journal = stack.enter_context(closing(RunJournal(log, SystemClock(), SigningKey.new(f"agentrader/run/{name}"))))
        channel = stack.enter_context(closing(Channel(journal, SystemClock())))
        stack.callback(patch_all(journal, run=name))
        table = Table(scene.seats, channel, journal, {spec: KEY})

        def chat(number: int) -> None:
            told = discuss(table, scene.opening, lambda: scene.book, f"{name}/{number}/SYMBOL")
            if told.failure is not None or len(told.messages) != len(Role):
                raise RuntimeError(f"the chat that benchmarks measure failed: {told.failure}")

        return _measured(chat)


def _bare(scene: Scene, *, fresh: bool) -> Cost:
    with _SharedClient(trust_env=False) as client:
        kept = _bare_agents(scene, client)

        def chat(_number: int) -> None:
            agents = _bare_agents(scene, client) if fresh else kept
            for agent in agents:
                agent.reset()
            said = _bare_chat(scene, agents)
            if len(said) != len(Role):
                raise RuntimeError(f"the bare chat came to {len(said)} messages")

        return _measured(chat)


def _bare_agents(scene: Scene, client: httpx.Client) -> list[ConversableAgent]:
    agents = [
        ConversableAgent(
            name=seat.role.agent,
            system_message=system_message(seat.prompt, seat.model),
            llm_config={"config_list": [_entry(seat, client)], "cache_seed": None},
            human_input_mode="NEVER",
            silent=True,
        )
        for seat in scene.seats
    ]

    def whisper(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*messages, {"role": "user", "content": scene.book}]

    agents[2].register_hook("process_all_messages_before_reply", whisper)
    return agents


def _entry(seat: Seat, client: httpx.Client) -> dict[str, Any]:
    return {
        "api_type": "openai",
        "model": seat.model.name,
        "api_key": KEY,
        "base_url": seat.model.base_url,
        "http_client": client,
        "max_retries": 0,
        "price": [0, 0],
        "response_format": answer_schema(seat.role),
    }


def _bare_chat(scene: Scene, agents: list[ConversableAgent]) -> list[dict[str, Any]]:
    def following(last: ConversableAgent, _group: GroupChat) -> ConversableAgent | None:
        return None if last is agents[-1] else agents[agents.index(last) + 1]

    group = GroupChat(agents=agents, messages=[], max_round=len(agents) + 1, speaker_selection_method=following)
    manager = GroupChatManager(group, silent=True, human_input_mode="NEVER")
    for agent in agents[1:]:
        manager.send(scene.opening.text, agent, request_reply=False, silent=True)
    manager.initiate_chat(agents[0], message=scene.opening.text, clear_history=False, silent=True)
    messages: list[dict[str, Any]] = group.messages
    return messages


def _measured(chat: Callable[[int], None]) -> Cost:
    """The first chat opens the connection and is not counted."""
    chat(0)
    with Disk() as disk:
        disk.cpu = disk.wall = 0
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        for number in range(1, SESSIONS + 1):
            chat(number)
        took, used = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        scale = 1e6 * SESSIONS
        return Cost((used - disk.cpu) / scale, (took - disk.wall) / scale, disk.wall / scale)


class _SharedClient(httpx.Client):
    """One for all agents: AutoGen deep-copies its configuration."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> _SharedClient:
        return self


class _Silence:
    """Where AutoGen's events go."""

    def print(self, *_objects: Any, **_options: Any) -> None:
        """Nothing is shown."""

    def send(self, _message: Any) -> None:
        """Nothing is shown."""

    def input(self, _prompt: str = "", *, password: bool = False) -> str:
        raise EOFError("no human takes part")
