"""A run's folder with hand-made talk over real bars: the journal's records, in the shapes and the order of a run.

The rule that trades is a crossing of a twelve-bar mean, the arithmetic is Decimal, costs reach cash: so the figures of
a report over it add up, and no agent, database or broker is needed.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from signing import KEY

from data.journal.opened import create
from data.journal.run_journal import RunJournal
from data.model.canonical import to_json
from data.model.decisions import Abstention, Clamp, Decision, DecisionStatus, Failure, FailureReason, Opinion, Role
from data.model.instants import Interval, iso
from data.model.market import AssetClass, Bar, Instrument
from data.model.question import AgentSpec, Question
from data.model.trading import Action, EquityRow, Fill, FillReason, Order, Purpose, Side, Trade

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("AGENTRADER_SHARED", ROOT.parent / "shared"))
SPOT = SHARED / "data" / "crypto_spot"
CASH = Decimal(10000)
Answers = dict[Role, Opinion | Abstention]
CENT8 = Decimal("0.00000001")


@dataclass(frozen=True)
class Plan:
    """What kind of run: how many bars of each file, which decisions fail, what a hostile model says at which."""

    files: dict[str, Path]
    bars: int = 48
    fail_at: tuple[int, ...] = ()
    hostile: dict[int, str] = field(default_factory=dict)
    complete: bool = True
    warning: str = "BTCUSDT: 2 bars are missing inside the window; orders wait for the next real bar"
    run_id: str = "20250415-134530-btcusdt-1h"


class Tick:
    """A clock that moves on by a second at every look."""

    def __init__(self) -> None:
        self._now = datetime(2025, 4, 15, 13, 45, 30, tzinfo=UTC)

    def now(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


@dataclass
class Account:
    """Cash and one long position a symbol."""

    cash: Decimal = CASH
    held: dict[str, Decimal] = field(default_factory=dict)
    entries: dict[str, Fill] = field(default_factory=dict)
    waiting: dict[str, Order] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    costs: Decimal = Decimal(0)

    @property
    def equity(self) -> Decimal:
        return self.cash + sum((quantity * self.marks[symbol] for symbol, quantity in self.held.items()), Decimal(0))


def spot(symbol: str) -> Path:
    """A file of real hourly bars, by symbol."""
    path = SPOT / f"{symbol}_1h_2025-03-01_2025-04-15.csv"
    assert path.is_file(), f"{path} is missing: set AGENTRADER_SHARED to the folder of shared data"
    return path


def read_bars(symbol: str, path: Path, count: int) -> Iterator[Bar]:
    with path.open() as file:
        for row, _ in zip(csv.DictReader(file), range(count), strict=False):
            opened = datetime.fromisoformat(row["open_time"])
            prices = {name: Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")}
            yield Bar(
                symbol=symbol,
                interval=Interval.H1,
                open_time=opened,
                known_at=opened + timedelta(hours=1),
                session_on=opened.date(),
                **prices,
            )


def write_run(folder: Path, plan: Plan) -> Path:
    """Writes log.jsonl; returns the folder."""
    journal = RunJournal(create(folder), Tick(), KEY)
    series = {symbol: list(read_bars(symbol, path, plan.bars)) for symbol, path in plan.files.items()}
    _begin(journal, plan, series)
    account, trades, number = Account(), 0, 0
    shares = {symbol: CASH / len(series) / bars[0].close for symbol, bars in series.items()}
    talk = _Talk(journal, plan)
    for step in range(plan.bars):
        for symbol, bars in series.items():
            journal.append("bar", {"symbol": symbol, "bar": bars[step]})
            trades += _trade(journal, account, bars[step])
        _mark(journal, account, {symbol: bars[step] for symbol, bars in series.items()}, shares)
        for symbol, bars in series.items():
            number += 1
            order = talk.decide(account, symbol, bars[: step + 1], number, plan.bars * len(series))
            if order is not None:
                account.waiting[symbol] = order
    if plan.complete:
        _end(journal, plan, account, talk, trades)
    journal.close()
    return folder


def _begin(journal: RunJournal, plan: Plan, series: dict[str, list[Bar]]) -> None:
    first = next(iter(series.values()))
    agents = tuple(AgentSpec(role=role, model="rules", prompt="1.0", prompt_sha256="ab" * 32) for role in Role)
    question = Question(
        symbols=tuple(series),
        interval=Interval.H1,
        start_on=first[0].session_on,
        end_on=first[-1].session_on,
        agents=agents,
    )
    instruments = [
        Instrument(symbol, AssetClass.CRYPTO, "24/7", "USDT", Decimal("0.01"), CENT8, Decimal(5)) for symbol in series
    ]
    body = {
        "run_id": plan.run_id,
        "question": question,
        "instruments": instruments,
        "bars_in_window": plan.bars,
        "data_digest": "cd" * 32,
        "environment": {"python": "3.11.7", "platform": "Linux", "packages": {"autogen": "0.14.1"}, "revision": None},
        "model_note": "model: rules (built-in, not a language model)",
        "warnings": [plan.warning],
    }
    journal.append("run.begin", body)


def _trade(journal: RunJournal, account: Account, bar: Bar) -> int:
    order = account.waiting.pop(bar.symbol, None)
    if order is None:
        return 0
    price = (bar.open * (1 + order.side.sign * Decimal("0.0002"))).quantize(CENT8)
    fill = Fill(
        order_id=order.order_id,
        symbol=bar.symbol,
        side=order.side,
        quantity=order.quantity,
        reference_price=bar.open,
        price=price,
        commission=(order.quantity * price / 1000).quantize(CENT8),
        slippage=(abs(price - bar.open) * order.quantity).quantize(CENT8),
        reason=FillReason.ORDER,
        bar_open_time=bar.open_time,
        at=bar.open_time,
        stop_price=price * Decimal("0.97") if order.purpose is Purpose.OPEN else None,
    )
    journal.append("fill", _body(fill))
    account.cash -= order.side.sign * order.quantity * price + fill.commission
    account.costs += fill.commission + fill.slippage
    account.marks[bar.symbol] = bar.close
    if order.purpose is Purpose.OPEN:
        account.held[bar.symbol], account.entries[bar.symbol] = order.quantity, fill
        return 0
    journal.append("trade", _body(_closed(account.entries.pop(bar.symbol), fill)))
    account.held.pop(bar.symbol)
    return 1


def _closed(entry: Fill, leave: Fill) -> Trade:
    costs = entry.commission + leave.commission
    profit = (leave.price - entry.price) * entry.quantity - costs
    return Trade(
        symbol=entry.symbol,
        quantity=entry.quantity,
        entry_at=entry.at,
        exit_at=leave.at,
        entry_price=entry.price,
        exit_price=leave.price,
        profit=profit,
        rate=(profit / (entry.price * entry.quantity)).quantize(CENT8),
        costs=costs,
        reason=leave.reason,
    )


def _mark(journal: RunJournal, account: Account, bars: dict[str, Bar], shares: dict[str, Decimal]) -> None:
    account.marks |= {symbol: bar.close for symbol, bar in bars.items()}
    first = next(iter(bars.values()))
    row = EquityRow(
        at=first.known_at,
        cash=account.cash,
        equity=account.equity,
        exposure=((account.equity - account.cash) / account.equity).quantize(CENT8),
        quantities=tuple(account.held.items()),
        marks=tuple(account.marks.items()),
    )
    held = sum((shares[symbol] * bar.close for symbol, bar in bars.items()), Decimal(0))
    journal.append("equity", {**_body(row), "bar_open_time": first.open_time, "benchmark": held.quantize(CENT8)})


@dataclass
class _Talk:
    journal: RunJournal
    plan: Plan
    replies: int = 0
    failed: int = 0

    def decide(self, account: Account, symbol: str, bars: list[Bar], number: int, of: int) -> Order | None:
        bar = bars[-1]
        mean = sum((each.close for each in bars[-12:]), Decimal(0)) / len(bars[-12:])
        action = Action.HOLD if len(bars) < 12 else Action.BUY if bar.close > mean else Action.SELL
        at = {"symbol": symbol, "bar_open_time": bar.open_time, "as_of": bar.known_at}
        shown = [role.shown for role in Role]
        self.journal.append("session.begin", {**at, "number": number, "of": of, "price": bar.close, "agents": shown})
        self.journal.append("chat.begin", {"agents": shown})
        slot = f"{self.plan.run_id}/{iso(bar.open_time)}/{symbol}/chat"
        failure, answers = self._chat(action, bar, mean, number, slot)
        for role, answer in answers.items():
            said = {"abstention": answer.reason} if isinstance(answer, Abstention) else {"opinion": answer}
            self.journal.append("opinion", {"agent": role.agent, **said})
        decision = self._conclude(account, bar, action, answers, failure)
        self.journal.append("decision", {**_body(decision), "bar_open_time": bar.open_time, "number": number})
        self.journal.append("session.end", {"symbol": symbol, "number": number, "status": decision.status})
        return decision.orders[0] if decision.orders else None

    def _chat(self, action: Action, bar: Bar, mean: Decimal, number: int, slot: str) -> tuple[Failure | None, Answers]:
        answers: Answers = {}
        for role in Role:
            self.journal.append("agent.generating", {"agent": role.agent}, slot=f"{slot}/{role.agent}/1")
            if number in self.plan.fail_at and role is Role.PORTFOLIO:
                failure = Failure(FailureReason.TRUNCATED, "finish_reason is length after 4096 tokens", role.agent)
                self._respond(role, "", slot, {"reason": failure.reason, "detail": failure.detail})
                self.failed += 1
                return failure, answers
            answers[role] = self._answer(role, action, bar, mean)
            text = _text(answers[role]) + self.plan.hostile.get(number, "")
            cause = self._respond(role, text, slot, None)
            body = {"agent": role.agent, "text": text, "traced": True, "origin": "provider"}
            self.journal.append("agent.reply", body, slot=f"{slot}/{role.agent}/1", caused_by=(cause,))
            self.replies += 1
        return None, answers

    def _respond(self, role: Role, text: str, slot: str, fault: dict[str, str] | None) -> int:
        body = {
            "agent": role.agent,
            "http.response.status_code": 200,
            "headers": {},
            "host": "rules.invalid",
            "audit.attempt": 1,
            "audit.response_sha256": "ef" * 32,
            "body": json.dumps({"choices": [{"message": {"content": text}}]}),
            "gen_ai.response.model": "rules",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 1840,
            "gen_ai.usage.output_tokens": len(text) // 4,
            "cost_usd": "0",
            "latency_s": 0.004,
            "fault": fault,
            "retry_in_s": None,
        }
        return self.journal.append("llm.response", body, slot=f"{slot}/{role.agent}/1").seq

    def _answer(self, role: Role, action: Action, bar: Bar, mean: Decimal) -> Opinion | Abstention:
        if role is Role.FUNDAMENTAL:
            return Abstention(role, "no fundamental fact was known")
        side = "above" if bar.close > mean else "below"
        hostile = next(iter(self.plan.hostile.values()), "")
        reasons = (
            f"The close of {bar.close} lies {side} its twelve-bar mean of {mean:.2f}.",
            "Volatility over the last day is ordinary, so a full position is within bounds." + hostile,
        )
        opinion = Opinion(role, action, Decimal("0.785"), reasons, ("f1", "f2"))
        if role in (Role.PORTFOLIO, Role.DECISION):
            return replace(opinion, evidence=(), size=Decimal(1), stop_loss=Decimal("0.03"))
        return opinion

    def _conclude(
        self, account: Account, bar: Bar, action: Action, answers: Answers, failure: Failure | None
    ) -> Decision:
        if failure is not None:
            return Decision(bar.symbol, bar.known_at, DecisionStatus.FAILED, failure=failure)
        last = answers[Role.DECISION]
        assert isinstance(last, Opinion)
        orders = tuple(self._orders(account, bar, action))
        clamps = (Clamp("cost_reserve", "size", "1", "0.997"),) if orders and orders[0].purpose is Purpose.OPEN else ()
        return Decision(
            symbol=bar.symbol,
            as_of=bar.known_at,
            status=DecisionStatus.DECIDED,
            action=action,
            confidence=last.confidence,
            size=last.size,
            stop_loss=last.stop_loss,
            reasons=last.reasons,
            clamps=clamps,
            orders=orders,
        )

    def _orders(self, account: Account, bar: Bar, action: Action) -> Iterator[Order]:
        held = account.held.get(bar.symbol)
        name = f"{bar.symbol}@{iso(bar.known_at)}#1"
        if action is Action.BUY and held is None:
            value = min(account.equity / len(self.plan.files), account.cash) * Decimal("0.997")
            quantity = (value / bar.close).quantize(CENT8, ROUND_FLOOR)
            yield Order(name, bar.symbol, Side.BUY, quantity, Purpose.OPEN, bar.known_at, Decimal("0.03"))
        if action is Action.SELL and held is not None:
            yield Order(name, bar.symbol, Side.SELL, held, Purpose.CLOSE, bar.known_at)


def _end(journal: RunJournal, plan: Plan, account: Account, talk: _Talk, trades: int) -> None:
    total = float(account.equity / CASH - 1)
    summary = {
        "run_id": plan.run_id,
        "bars": plan.bars * len(plan.files),
        "decisions": plan.bars * len(plan.files),
        "failed": talk.failed,
        "replies": talk.replies,
        "replies_traced": talk.replies,
        "fills": trades * 2,
        "trades": trades,
        "final_equity": account.equity,
        "total_return": total,
        "buy_and_hold_return": -0.0123,
        "cost_usd": Decimal(0),
        "wall_s": 4.2,
    }
    metrics = {"total_return": total, "sharpe": 1.23, "costs_paid": account.costs, "win_rate": None}
    body = {"status": "complete", "reason": None, "result_digest": "01" * 32, "summary": summary, "metrics": metrics}
    journal.append("run.end", body)


def _text(answer: Opinion | Abstention) -> str:
    if isinstance(answer, Abstention):
        return json.dumps({"action": "ABSTAIN", "confidence": 0, "reasons": [answer.reason], "evidence": []})
    body = to_json(answer)
    assert isinstance(body, dict)
    body.pop("role")
    return "I looked at trend and volatility first.\n\n```json\n" + json.dumps(body, indent=1) + "\n```"


def _body(value: object) -> dict[str, object]:
    body = to_json(value)
    assert isinstance(body, dict)
    return dict(body)
