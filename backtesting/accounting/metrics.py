"""What a run came to, against buy-and-hold and cash over the same bars. Rates are fractions; what is undefined is None.

Returns are bar by bar on the marked equity, so an open position counts; trades are closed round trips alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from backtesting.accounting import returns as series
from data.model.money import ZERO, exactly, value_of
from data.model.trading import EquityRow, Fill, Trade


@dataclass(frozen=True, slots=True)
class Metrics:
    """The numbers of a run.

    `volatility` and the ratios are annual by `periods_per_year`. `max_drawdown` is zero or negative;
    `drawdown_bars` the most bars in a row below a peak. `exposure` is the mean over bars of gross position value over
    equity, `turnover` the value of all fills over the mean equity. `profit_factor` is what winners made over what
    losers lost. `costs_paid` is commission and slippage, in cash. Cash earns nothing here.
    """

    total_return: float
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    drawdown_bars: int
    exposure: float
    turnover: float | None
    win_rate: float | None
    profit_factor: float | None
    costs_paid: Decimal
    buy_and_hold_return: float | None
    buy_and_hold_volatility: float | None
    buy_and_hold_sharpe: float | None
    buy_and_hold_max_drawdown: float | None
    cash_return: float
    periods_per_year: float


def metrics(
    rows: Sequence[EquityRow],
    trades: Sequence[Trade],
    fills: Sequence[Fill],
    *,
    initial_cash: Decimal,
    periods_per_year: float,
    benchmark: Sequence[EquityRow] = (),
) -> Metrics:
    """Numbers of the account whose equity `rows` holds, bar by bar; `benchmark` is the same for buy-and-hold."""
    equity = [row.equity for row in rows]
    held = [row.equity for row in benchmark]
    returns, holding = series.returns_of(initial_cash, equity), series.returns_of(initial_cash, held)
    total = _total(initial_cash, equity)
    annual = series.annual_return(total, len(rows), periods_per_year)
    deepest, longest = series.max_drawdown(initial_cash, equity)
    return Metrics(
        total_return=total,
        annual_return=annual,
        volatility=series.volatility(returns, periods_per_year),
        sharpe=series.sharpe(returns, periods_per_year),
        sortino=series.sortino(returns, periods_per_year),
        calmar=annual / -deepest if annual is not None and deepest else None,
        max_drawdown=deepest,
        drawdown_bars=longest,
        exposure=sum(float(row.exposure) for row in rows) / len(rows) if rows else 0.0,
        turnover=_turnover(fills, equity),
        win_rate=sum(trade.profit > 0 for trade in trades) / len(trades) if trades else None,
        profit_factor=_profit_factor(trades),
        costs_paid=_costs(fills),
        buy_and_hold_return=_total(initial_cash, held) if held else None,
        buy_and_hold_volatility=series.volatility(holding, periods_per_year),
        buy_and_hold_sharpe=series.sharpe(holding, periods_per_year),
        buy_and_hold_max_drawdown=series.max_drawdown(initial_cash, held)[0] if held else None,
        cash_return=0.0,
        periods_per_year=periods_per_year,
    )


def _total(initial: Decimal, equity: Sequence[Decimal]) -> float:
    return float(equity[-1]) / float(initial) - 1 if equity else 0.0


def _turnover(fills: Sequence[Fill], equity: Sequence[Decimal]) -> float | None:
    mean = sum(map(float, equity)) / len(equity) if equity else 0.0
    return sum(float(value_of(fill.quantity, fill.price)) for fill in fills) / mean if mean > 0 else None


def _profit_factor(trades: Sequence[Trade]) -> float | None:
    with exactly():
        won = sum((trade.profit for trade in trades if trade.profit > 0), ZERO)
        lost = -sum((trade.profit for trade in trades if trade.profit < 0), ZERO)
    return float(won) / float(lost) if lost else None


def _costs(fills: Sequence[Fill]) -> Decimal:
    with exactly():
        return sum((fill.commission + fill.slippage for fill in fills), ZERO)
