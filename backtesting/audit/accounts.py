"""The two accounts that a question asks for: the agents', and buy-and-hold's. A run and its audit open them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from backtesting.accounting.account import Account, Recorder, unrecorded
from backtesting.accounting.ledger import CashLedger
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.model.market import Bar, Instrument
from data.model.question import Limits, Question
from data.model.trading import Action, Book, Order
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders


def open_account(question: Question, instruments: Mapping[str, Instrument], record: Recorder = unrecorded) -> Account:
    """The initial cash, a step broker with the question's costs, an exact ledger."""
    return Account(
        StepBroker(instruments, proportional_costs(question.costs), question.limits.volume_cap),
        CashLedger(question.initial_cash, instruments),
        record,
    )


def hold_orders(question: Question, instrument: Instrument, bar: Bar, book: Book) -> Sequence[Order]:
    """Buy and hold: all of the cash, an equal part for each symbol, under the same costs and rules."""
    share = Decimal(1) / len(question.symbols)
    proposal = Proposal(action=Action.BUY, confidence=Decimal(1), size=share, reasons=("buy and hold",))
    return orders(proposal, book, instrument, bar.close, Limits(), question.costs)[0]
