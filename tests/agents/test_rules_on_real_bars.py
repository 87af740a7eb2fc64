"""The rules over ten real days of bitcoin: some trades, not many; every kind of decision; twice the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import desk
import pytest
from tape import Desk

from agents.brief import market_brief
from data.model.decisions import Decision, Opinion, Role
from data.model.market import Bar, MarketView
from data.model.question import Costs, Limits
from orchestration.policy.decide import decide

FIRST, LAST = date(2025, 4, 1), date(2025, 4, 10)
LOOKBACK = 250


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> tuple[Bar, ...]:
    return desk.hourly(shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv", "BTCUSDT")


def known(bars: tuple[Bar, ...], at: Bar) -> MarketView:
    return desk.view([bar for bar in bars if bar.known_at <= at.known_at][-LOOKBACK:])


def play(bars: tuple[Bar, ...], limits: Limits, last: date = LAST) -> tuple[list[Decision], Desk, set[Decimal]]:
    """Every bar of the window: view, four answers, decision, next bar's fills. Also the confidences of all agents."""
    wired, decisions, confidences = Desk({"BTCUSDT": desk.COIN}, Costs(), 10_000), [], set()
    for bar in (bar for bar in bars if FIRST <= bar.session_on <= last):
        wired.step(bar)
        seen, book = known(bars, bar), wired.ledger.book(bar.known_at)
        answers = desk.discuss(seen, book)
        confidences |= {said.confidence for said in answers.values() if isinstance(said, Opinion)}
        decision = decide(bar.symbol, bar.known_at, answers, "group_chat", book, bar.close, desk.COIN, limits, Costs())
        decisions.append(decision)
        for order in decision.orders:
            wired.broker.submit(order)
    return decisions, wired, confidences


@pytest.mark.parametrize("allow_short", [False, True])
def test_it_trades_and_does_not_overtrade(bars: tuple[Bar, ...], allow_short: bool) -> None:
    decisions, wired, confidences = play(bars, Limits(allow_short=allow_short))
    actions = Counter(decision.action for decision in decisions)
    assert len(decisions) == 240
    assert len(actions) == 3
    assert 3 <= len(wired.ledger.trades()) <= 15
    assert len(confidences) > 20
    entries = [order for decision in decisions for order in decision.orders if order.stop_loss is not None]
    assert all(0 < order.stop_loss < Decimal("0.1") for order in entries if order.stop_loss is not None)


def test_twice_the_same(bars: tuple[Bar, ...]) -> None:
    short = date(2025, 4, 2)
    assert play(bars, Limits(), short)[0] == play(bars, Limits(), short)[0]


def test_nothing_known_later_changes_a_byte(bars: tuple[Bar, ...]) -> None:
    now = next(bar for bar in bars if bar.session_on == FIRST)
    dice = random.Random(1)
    scrambled = tuple(
        bar if bar.known_at <= now.known_at else replace(bar, close=bar.close * dice.randint(1, 9), volume=Decimal(0))
        for bar in bars
        if bar.known_at <= now.known_at + timedelta(days=1)
    )
    assert market_brief(known(scrambled, now)) == market_brief(known(bars, now))
    assert desk.discuss(known(scrambled, now)) == desk.discuss(known(bars, now))


@pytest.mark.parametrize("role", [Role.TECHNICAL, Role.PORTFOLIO, Role.DECISION])
def test_reasons_name_what_they_rest_on(bars: tuple[Bar, ...], role: Role) -> None:
    said = desk.discuss(known(bars, bars[900]))[role]
    assert isinstance(said, Opinion)
    assert said.reasons
    assert all(reason.endswith(".") and len(reason) < 200 for reason in said.reasons)
