"""The group chat: four agents speak in turn about one brief, and each reply is judged before the next agent speaks.

Everybody hears the market facts; the book reaches the portfolio manager alone, through a hook that leaves no message
behind. A reply counts only if it is, letter for letter, what the transport recorded for that turn. A malformed answer
is asked again once, in sight of all; any other trouble ends the chat, and with it the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
from autogen import ConversableAgent, GroupChat, GroupChatManager
from autogen.io import IOStream

from agents.brief import Brief
from agents.llm.channel import Channel
from agents.llm.models import ModelSpec
from agents.llm.turn import Exchange, Turn, current_turn
from agents.opinions import REASK, Malformed, parse
from agents.roster import Line, Seat, build_agents, never_ends, open_lines
from data.model.decisions import Abstention, Failure, FailureReason, Opinion, Role
from data.model.errors import AgentraderError
from data.model.protocols import Journal

MANAGER = "Chat_Manager"


@dataclass(frozen=True, slots=True)
class Message:
    """What an agent said in its `turn` (1, or 2 when asked again), and the recorded exchange it came from."""

    agent: str
    text: str
    turn: int
    exchange: Exchange | None


@dataclass(frozen=True, slots=True)
class Discussion:
    """A chat that is over. With a `failure` there is no decision, whatever had been answered until then."""

    messages: tuple[Message, ...]
    answers: Mapping[Role, Opinion | Abstention]
    failure: Failure | None = None


@dataclass(frozen=True)
class Table:
    """Everything about a chat that stays the same from bar to bar. `keys` holds the API key of each model."""

    seats: Sequence[Seat]
    channel: Channel
    journal: Journal
    keys: Mapping[ModelSpec, str]
    temperature: float | None = None
    seed: int | None = None
    _idle: list[tuple[Line, ...]] = field(default_factory=list, compare=False, repr=False)

    @contextmanager
    def lines(self) -> Iterator[tuple[Line, ...]]:
        """The agents' lines to their models, for one chat; kept for another unless this one was torn."""
        try:
            taken = self._idle.pop()
        except IndexError:
            taken = open_lines(self.seats, self.channel, self.keys, self.temperature, self.seed)
        yield taken
        self._idle.append(taken)


def discuss(table: Table, opening: Brief, book_text: Callable[[], str], slot_prefix: str) -> Discussion:
    """Lets the agents talk. Slots are `<slot_prefix>/chat/<agent>/<turn>`.

    `book_text` is asked at most once, when the portfolio manager's turn first comes; it may take its time.
    Raises what a user must mend (AgentraderError) and JournalBroken; a model's failure is in the result.
    """
    with _turns_of_its_own(), IOStream.set_default(_Silence()), table.lines() as lines:
        chat = _Chat(table, lines, opening, book_text, slot_prefix)
        chat.run()
    return Discussion(tuple(chat.messages), chat.answers, chat.failure)


@dataclass
class _Chat:
    """One chat under way."""

    table: Table
    lines: Sequence[Line]
    opening: Brief
    book_text: Callable[[], str]
    slot_prefix: str
    messages: list[Message] = field(default_factory=list)
    answers: dict[Role, Opinion | Abstention] = field(default_factory=dict)
    failure: Failure | None = None
    _book: str | None = None

    def __post_init__(self) -> None:
        self.agents = build_agents(self.lines)
        self.models = {seat.role: seat.model for seat in self.table.seats}
        self.order = list(self.agents)
        self.give_turn(self.order[0], 1)
        for role, agent in self.agents.items():
            agent.register_hook("process_all_messages_before_reply", self._whispering_to(role))

    def book(self) -> str:
        """Asked for once: a re-ask tells the same again. It may have to be waited for, so nothing is locked here."""
        if self._book is None:
            self._book = self.book_text()
        return self._book

    def run(self) -> None:
        first, *others = self.agents.values()
        group = GroupChat(
            agents=[first, *others],
            messages=[],
            max_round=2 * len(self.order) + 1,
            speaker_selection_method=self.next_speaker,
        )
        manager = GroupChatManager(
            group, name=MANAGER, silent=True, human_input_mode="NEVER", is_termination_msg=never_ends
        )
        for agent in others:
            manager.send(self.opening.text, agent, request_reply=False, silent=True)
        try:
            manager.initiate_chat(first, message=self.opening.text, clear_history=False, silent=True)
        except (openai.APIError, TimeoutError) as error:
            self.failure = self.turn.failure
            if self.failure is None:
                _raise_what_a_user_can_mend(error)
                raise
        if self.failure is None and self.order[-1] not in self.answers:
            self._fail(FailureReason.NO_COMMUNICATION, "the chat ended before the agent had spoken")

    def next_speaker(self, _last: ConversableAgent, group: GroupChat) -> ConversableAgent | None:
        """AutoGen's selection function: judges what was just said; None ends the chat."""
        text = str(group.messages[-1]["content"])
        self.messages.append(Message(self.turn.agent, text, self.number, self.turn.exchange))
        self.failure = self.turn.failure or self._untraced(text)
        if self.failure is None:
            self._hear(text)
        waiting = [role for role in self.order if role not in self.answers]
        if self.failure is not None or not waiting:
            return None
        self.give_turn(waiting[0], self.number + 1 if waiting[0] is self.role else 1)
        return self.agents[self.role]

    def give_turn(self, role: Role, number: int) -> None:
        self.role, self.number = role, number
        self.turn = Turn(f"{self.slot_prefix}/chat/{role.agent}/{number}", role.agent, self.models[role])
        current_turn.set(self.turn)

    def _hear(self, text: str) -> None:
        try:
            self.answers[self.role] = parse(self.role, text, self.opening.fact_ids)
        except Malformed as fault:
            again = self.number == 1
            assert self.turn.exchange is not None
            self.table.journal.append(
                "opinion.malformed",
                {"agent": self.turn.agent, "detail": str(fault), "asked_again": again},
                slot=self.turn.slot,
                caused_by=(self.turn.exchange.response_seq,),
            )
            if not again:
                self._fail(FailureReason.MALFORMED, str(fault))

    def _untraced(self, text: str) -> Failure | None:
        """An agent's words must be the provider's: not a hook's, a cache's or a default's."""
        exchange = self.turn.exchange
        if exchange is not None and exchange.content == text and text:
            return None
        if not text:
            return Failure(FailureReason.EMPTY, "the agent gave an empty reply", self.turn.agent)
        what = "came from no recorded response" if exchange is None else "differs from the recorded response"
        return Failure(FailureReason.UNTRACED, f"the reply {what}", self.turn.agent)

    def _fail(self, reason: FailureReason, detail: str) -> None:
        self.failure = Failure(reason, detail, self.turn.agent)

    def _whispering_to(self, role: Role) -> Any:
        """The hook of one agent: what it alone is told, for this turn only."""

        def whisper(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
            self.agents[role].client_cache = None  # one that somebody left open would answer for the model
            told = [self.book()] if role is Role.PORTFOLIO else []
            if self.number > 1:
                told.append(REASK)
            return [*messages, *({"role": "user", "content": text} for text in told)]

        return whisper


def _raise_what_a_user_can_mend(error: BaseException) -> None:
    """The SDK turns what the transport raised into a connection error: a user's error comes out as itself."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, AgentraderError):
            raise inner from None
        inner = inner.__cause__


@contextmanager
def _turns_of_its_own() -> Iterator[None]:
    """Whoever talks after this chat, in the same thread, does not talk in its turn."""
    token = current_turn.set(None)
    try:
        yield
    finally:
        current_turn.reset(token)


class _Silence:
    """AutoGen's events go nowhere: some are printed despite `silent`, and standard output is not theirs.

    Set for the chat's own context, so somebody else's chats in this process still print.
    """

    def print(self, *_objects: Any, **_options: Any) -> None:
        """Nothing is shown."""

    def send(self, _message: Any) -> None:
        """Nothing is shown."""

    def input(self, _prompt: str = "", *, password: bool = False) -> str:
        raise EOFError("no human takes part in this chat")
