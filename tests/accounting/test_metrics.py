"""Metrics against empyrical, over random equity and real bars; and what is undefined."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import Played, market
from tape import START, Desk, bar, order, real_bars

from backtesting.accounting import returns as series
from backtesting.accounting.annualisation import periods_per_year
from backtesting.accounting.metrics import Metrics, metrics
from data.model.canonical import canonical_bytes
from data.model.instants import Interval
from data.model.question import Costs
from data.model.trading import EquityRow, FillReason, Purpose, Side, Trade

CASH = Decimal(10_000)
YEAR = 8760.0


def rows_of(values: list[Decimal], exposure: Decimal = Decimal(0)) -> list[EquityRow]:
    return [EquityRow(START, value, value, exposure, (), ()) for value in values]


def measured(values: list[Decimal], year: float = YEAR) -> Metrics:
    return metrics(rows_of(values), (), (), initial_cash=CASH, periods_per_year=year, benchmark=rows_of(values))


def trade(profit: int) -> Trade:
    hundred = Decimal(100)
    return Trade("X", hundred, START, START, hundred, hundred, Decimal(profit), hundred, hundred, FillReason.ORDER)


def agrees_with_empyrical(values: list[Decimal], year: float) -> None:
    ours = measured(values, year)
    theirs = series.returns_of(CASH, values)
    expected = {
        "total_return": empyrical.cum_returns_final(theirs),
        "annual_return": empyrical.annual_return(theirs, annualization=year),
        "volatility": empyrical.annual_volatility(theirs, annualization=year),
        "sharpe": empyrical.sharpe_ratio(theirs, annualization=year),
        "sortino": empyrical.sortino_ratio(theirs, annualization=year),
        "max_drawdown": empyrical.max_drawdown(theirs),
        "calmar": empyrical.calmar_ratio(theirs, annualization=year),
    }
    for name, value in expected.items():
        said = getattr(ours, name)
        if said is None:
            assert not np.isfinite(value) or name == "sharpe", name
        else:
            assert said == pytest.approx(value, rel=1e-7, abs=1e-11), name


@given(st.lists(st.integers(5_000_00, 20_000_00), min_size=2, max_size=60))
def test_random_equity_agrees_with_empyrical(cents: list[int]) -> None:
    agrees_with_empyrical([Decimal(value).scaleb(-2) for value in cents], 252.0)


def test_real_bars_agree_with_empyrical(shared_data: Path) -> None:
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    closes = [each.close for each in real_bars(path, Interval.H1)]
    agrees_with_empyrical(closes, periods_per_year("24/7", Interval.H1))


def test_a_played_market_agrees_with_empyrical() -> None:
    played = Played(market(7, 200)).to_the_end()
    values = [row.equity / played.market.cash * CASH for row in played.desk.rows]
    agrees_with_empyrical(values, YEAR)


def test_nothing_happened() -> None:
    ours = measured([CASH] * 5)
    assert (ours.total_return, ours.annual_return, ours.volatility, ours.max_drawdown) == (0, 0, 0, 0)
    undefined = (ours.sharpe, ours.sortino, ours.calmar, ours.win_rate, ours.profit_factor)
    assert undefined == (None,) * 5
    assert (ours.turnover, ours.exposure, ours.costs_paid, ours.drawdown_bars, ours.cash_return) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "values",
    [[], [Decimal(9_000)], [Decimal(0)] * 3, [Decimal(-500), Decimal(20)], [Decimal(10**30)] * 2, [CASH, CASH * 3]],
    ids=["none", "one", "nothing left", "below zero", "huge", "up only"],
)
def test_whatever_the_equity_every_number_can_be_written(values: list[Decimal]) -> None:
    assert canonical_bytes(measured(values))


def test_what_follows_ruin_is_no_return() -> None:
    ours = measured([Decimal(12_000), Decimal(-3_000), Decimal(6_000)])
    returns = series.returns_of(CASH, [Decimal(12_000), Decimal(-3_000), Decimal(6_000)])
    assert returns.tolist() == pytest.approx([0.2, -1.25])
    assert (ours.total_return, ours.max_drawdown) == (-0.4, -1.25)


def test_the_length_of_a_drawdown_counts_bars_below_a_peak() -> None:
    values = [Decimal(value) for value in (9_000, 11_000, 10_000, 10_500, 10_999, 11_000, 10_000, 12_000)]
    ours = measured(values)
    assert ours.drawdown_bars == 3
    assert ours.max_drawdown == pytest.approx(-0.1)


def test_trades_give_win_rate_and_profit_factor() -> None:
    ours = metrics(
        rows_of([CASH]), [trade(30), trade(-10), trade(0), trade(-5)], (), initial_cash=CASH, periods_per_year=YEAR
    )
    assert (ours.win_rate, ours.profit_factor) == (0.25, 2.0)
    won = metrics(rows_of([CASH]), [trade(30)], (), initial_cash=CASH, periods_per_year=YEAR)
    assert (won.win_rate, won.profit_factor) == (1.0, None)
    assert (won.buy_and_hold_return, won.buy_and_hold_max_drawdown) == (None, None)


def test_fills_give_turnover_and_costs() -> None:
    desk = Desk(costs=Costs(commission_bps=Decimal(10), slippage_bps=Decimal(20)), cash=CASH)
    desk.broker.submit(order(0, quantity=50))
    desk.step(bar(1))
    desk.broker.submit(order(1, Side.SELL, 50, Purpose.CLOSE))
    desk.step(bar(2))
    ours = metrics(desk.rows, desk.ledger.trades(), desk.fills, initial_cash=CASH, periods_per_year=YEAR)
    assert ours.costs_paid == 20 + 10 == -sum((trade.profit for trade in desk.ledger.trades()), Decimal(0))
    mean = sum(float(row.equity) for row in desk.rows) / 2
    assert ours.turnover == pytest.approx(10_000 / mean)
    assert ours.exposure == pytest.approx(float(desk.rows[0].exposure) / 2)


def test_metrics_are_compared_with_buy_and_hold() -> None:
    held = rows_of([Decimal(9_000), Decimal(12_000)])
    ours = metrics(rows_of([CASH, CASH]), (), (), initial_cash=CASH, periods_per_year=YEAR, benchmark=held)
    assert ours.buy_and_hold_return == pytest.approx(0.2)
    assert ours.buy_and_hold_max_drawdown == pytest.approx(-0.1)
    alone = metrics(held, (), (), initial_cash=CASH, periods_per_year=YEAR)
    assert (ours.buy_and_hold_sharpe, ours.buy_and_hold_volatility) == (alone.sharpe, alone.volatility)


def test_exposure_is_its_mean_over_bars() -> None:
    rows = [*rows_of([CASH, CASH], Decimal("0.5")), *rows_of([CASH], Decimal("0.2"))]
    assert metrics(rows, (), (), initial_cash=CASH, periods_per_year=YEAR).exposure == pytest.approx(0.4)
