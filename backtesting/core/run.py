"""One run over its window: wires broker, ledger, journal and session around the loop.

`result_digest` is SHA-256 over the canonical JSON of the question, the digest of the data it read and what followed:
decisions (a failure by its reason code), fills and equity. Nothing that depends on the machine, the server or the
clock is in it, so equal questions to a model that answers equally give equal digests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from backtesting.accounting.ledger import CashLedger
from backtesting.core.loop import Account, Loop, Session, Tape
from backtesting.core.preparation import Prepared
from backtesting.core.stopping import Stopped
from backtesting.core.timeline import Step, steps
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.model.canonical import Json, digest, to_json
from data.model.decisions import Decision
from data.model.errors import AgentraderError, RunIncomplete
from data.model.instants import show
from data.model.market import Bar
from data.model.protocols import Journal, Record
from data.model.question import Limits, Question
from data.model.trading import Action, Book, Order
from data.store.store import Store
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders


@dataclass
class Tally:
    """A journal's listener that counts what agents said and why decisions failed."""

    replies: int = 0
    traced: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def __call__(self, record: Record) -> None:
        if record.kind == "agent.reply":
            self.replies += 1
            self.traced += record.body["traced"] is True
        if record.kind == "decision" and isinstance(failure := record.body["failure"], dict):
            self.failures[str(failure["reason"])] += 1


@dataclass(frozen=True)
class Overheard:
    """A session whose every word must have been heard: whoever took our patch off would leave a run unproved."""

    session: Session
    tally: Tally

    def run_session(
        self, symbol: str, as_of: datetime, book: Book, *, number: int = 1, of: int = 1, committed: Decimal = Decimal(0)
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


def begin(journal: Journal, prepared: Prepared, run_id: str, environment: Mapping[str, Json], note: str) -> None:
    """The first record: the question and all it is asked under."""
    journal.append(
        "run.begin",
        {
            "run_id": run_id,
            "question": prepared.question,
            "instruments": list(prepared.instruments.values()),
            "bars_in_window": prepared.bars,
            "decisions_in_window": prepared.decisions,
            "data_digest": prepared.data_digest,
            "environment": environment,
            "model_note": note,
            "warnings": prepared.warnings,
        },
    )
    journal.sync()


def play(
    prepared: Prepared,
    store: Store,
    session: Session,
    journal: Journal,
    *,
    max_failures: int,
    check: Callable[[], None],
    on_step: Callable[[Step, Tape], None],
) -> Ending:
    """Runs the loop over the window. A stop keeps what was done, and so does trouble a user can mend."""
    question = prepared.question
    loop = Loop(
        session=session,
        account=_account(prepared),
        benchmark=_account(prepared),
        hold=lambda bar, book: _hold(prepared, bar, book),
        actions={symbol: list(actions) for symbol, actions in prepared.actions.items()},
        journal=journal,
        of=prepared.decisions,
        decide_every=question.decide_every,
        max_failures=max_failures,
        check=check,
        on_step=on_step,
    )
    window = (question.interval, question.start_on, question.end_on)
    with ExitStack() as open_streams:
        bars = [closing(store.first_bars(symbol, *window)) for symbol in question.symbols]
        streams = [open_streams.enter_context(stream) for stream in bars]
        try:
            tape = loop.run(steps(streams))
        except (AgentraderError, Stopped) as stop:
            reason = f"stopped by {stop}" if isinstance(stop, Stopped) else str(stop)
            return Ending(loop.tape, reason, None)
    return Ending(tape, None, result_digest(question, prepared.data_digest, tape))


def result_digest(question: Question, data_digest: str, tape: Tape) -> str:
    """SHA-256, lower-case hex."""
    return digest(
        {
            "question": question,
            "data": data_digest,
            "decisions": [_without_words_of_failure(decision) for decision in tape.decisions],
            "fills": tape.fills,
            "equity": tape.equity,
        }
    )


def _without_words_of_failure(decision: Decision) -> Json:
    body = to_json(decision)
    assert isinstance(body, dict)
    body["failure"] = None if decision.failure is None else decision.failure.reason.value
    return body


def _account(prepared: Prepared) -> Account:
    question = prepared.question
    return Account(
        StepBroker(prepared.instruments, proportional_costs(question.costs), question.limits.volume_cap),
        CashLedger(question.initial_cash, prepared.instruments),
    )


def _hold(prepared: Prepared, bar: Bar, book: Book) -> Sequence[Order]:
    """Buy and hold: all of the cash, an equal part for each symbol, under the same costs and rules."""
    question = prepared.question
    share = Decimal(1) / len(question.symbols)
    proposal = Proposal(action=Action.BUY, confidence=Decimal(1), size=share, reasons=("buy and hold",))
    return orders(proposal, book, prepared.instruments[bar.symbol], bar.close, Limits(), question.costs)[0]
