"""One run over its window: wires accounts, journal and session around the loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from backtesting.accounting.account import Account
from backtesting.audit.accounts import hold_orders, open_account
from backtesting.audit.result import result_digest
from backtesting.core.loop import Loop, Session, Tape
from backtesting.core.preparation import Prepared
from backtesting.core.stopping import Stopped
from backtesting.core.timeline import Ahead, Step, steps
from data.model.canonical import Json
from data.model.errors import AgentraderError, RunIncomplete, StoreUnavailable
from data.model.instants import show
from data.model.market import Bar, Fact
from data.model.protocols import Journal, Record
from data.model.trading import Book
from orchestration.compose import Panel


@dataclass
class Tally:
    """A journal's listener that counts what agents said and why decisions failed.

    `unused` are good answers that no agent's reply rests on, each with what it cost, None where that is unknown.
    """

    replies: int = 0
    traced: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    unused: dict[int, Decimal | None] = field(default_factory=dict)

    def __call__(self, record: Record) -> None:
        if record.kind == "llm.response" and record.body["fault"] is None:
            cost = record.body["cost_usd"]
            self.unused[record.seq] = None if cost is None else Decimal(str(cost))
        if record.kind == "agent.reply":
            self.replies += 1
            self.traced += record.body["traced"] is True
            for cause in record.caused_by:
                self.unused.pop(cause, None)
        if record.kind == "decision" and isinstance(failure := record.body["failure"], dict):
            self.failures[str(failure["reason"])] += 1


@dataclass(frozen=True)
class Overheard:
    """A session whose every word must have been heard: whoever took our patch off would leave a run unproved."""

    session: Session
    tally: Tally

    def run_session(
        self,
        symbol: str,
        as_of: datetime,
        book: Book,
        *,
        number: int = 1,
        of: int = 1,
        committed: Decimal = Decimal(0),
    ) -> dict[str, Any]:
        """Raises RunIncomplete if the agents said more, or less, than was recorded."""
        before = self.tally.replies
        result = self.session.run_session(symbol, as_of, book, number=number, of=of, committed=committed)
        said, heard = len(result["messages"]), self.tally.replies - before
        if said != heard:
            raise RunIncomplete(
                f"{said} replies were given in the chat about {symbol} at {show(as_of)}, but {heard} were recorded: "
                "something in this process took the observer off generate_reply"
            )
        return result


@dataclass(frozen=True)
class Ending:
    """How the loop ended. `reason` is None for a complete run."""

    tape: Tape
    reason: str | None
    digest: str | None

    @property
    def status(self) -> str:
        return "complete" if self.reason is None else "incomplete"


def begin(
    journal: Journal,
    prepared: Prepared,
    run_id: str,
    environment: Mapping[str, Json],
    panel: Panel,
    invocation: Mapping[str, Json],
    own_prompts: bool,
) -> Record:
    """The first record: the question and all it is asked under."""
    record = journal.append(
        "run.begin",
        {
            "run_id": run_id,
            "question": prepared.question,
            "prompts": {role.value: panel.prompts[role] for role in panel.prompts},
            "own_prompts": own_prompts,
            "invocation": invocation,
            "instruments": list(prepared.instruments.values()),
            "bars_in_window": prepared.bars,
            "decisions_in_window": prepared.decisions,
            "data_digest": prepared.data_digest,
            "environment": environment,
            "model_note": panel.note,
            "warnings": prepared.warnings,
        },
    )
    journal.sync()
    return record


Seats: TypeAlias = Callable[[Account, Mapping[str, list[Fact]], Ahead], AbstractContextManager[Session]]
"""Who is asked while the bars are walked: made for an account, the actions still to apply, and the steps to come."""


def play(
    prepared: Prepared,
    bars: Callable[[str], Generator[Bar, None, None]],
    seats: Seats,
    journal: Journal,
    *,
    max_failures: int,
    check: Callable[[], None],
    on_step: Callable[[Step, Tape], None],
) -> Ending:
    """Runs the loop over `bars(symbol)`. A stop keeps what was done, and so does trouble a user can mend."""
    question, account = prepared.question, open_account(prepared.question, prepared.instruments)
    actions = {symbol: list(waiting) for symbol, waiting in prepared.actions.items()}
    with ExitStack() as stack:
        streams = [bars(symbol) for symbol in question.symbols]
        stack.callback(_close, streams)
        ahead = Ahead(steps(streams, decide_every=question.decide_every))
        loop = Loop(
            session=stack.enter_context(seats(account, actions, ahead)),
            account=account,
            benchmark=open_account(question, prepared.instruments),
            hold=lambda bar, book: hold_orders(question, prepared.instruments[bar.symbol], bar, book),
            actions=actions,
            journal=journal,
            of=prepared.decisions,
            max_failures=max_failures,
            check=check,
            on_step=on_step,
        )
        try:
            tape = loop.run(ahead)
        except (AgentraderError, Stopped) as stop:
            reason = f"stopped by {stop}" if isinstance(stop, Stopped) else str(stop)
            return Ending(loop.tape, reason, None)
    digest = result_digest(question, prepared.data_digest, tape.decisions, tape.fills, tape.equity)
    return Ending(tape, None, digest)


def _close(streams: Iterable[Generator[Bar, None, None]]) -> None:
    for stream in streams:
        with suppress(StoreUnavailable):  # a database that was lost can close nothing, and has nothing to add
            stream.close()
