"""What one strategy comes to over one window: its signals, played by the kernel, in numbers.

Bars before the window feed the indicators and are not traded. A result is float64 throughout: it finds candidates, and
the main job's exact ledger settles what one of them earned.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from math import ceil

import numpy as np
from pydantic import BaseModel, ConfigDict

from backtesting.accounting import returns as series
from backtesting.execution.kernel import play
from backtesting.execution.kernel_rules import KernelRules, rules_of
from backtesting.research.code import require_same_code
from backtesting.research.questions import ArrayQuestion
from backtesting.research.strategies import Floats, Prices, strategy
from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Instrument
from data.model.question import Costs, Limits
from data.store.columns import BarColumns
from data.store.store import Store

HELD = 4
"""Windows whose bars a worker keeps: neighbouring tasks ask of the same one."""


class Trial(BaseModel):
    """A task's result. Rates are fractions, `volatility` and `sharpe` annual; what is undefined is None.

    `sharpe_per_bar`, `skewness` and `kurtosis` (3 for a normal distribution) describe the returns of the bars;
    `turnover` is the value of all fills over the mean equity. The rest is of runs of agents alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bars: int
    fills: int
    final_equity: float
    total_return: float
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    max_drawdown: float
    turnover: float | None
    buy_and_hold_return: float | None
    sharpe_per_bar: float | None
    skewness: float | None
    kurtosis: float | None
    run_id: str | None = None
    run_dir: str | None = None
    result_digest: str | None = None
    cost_usd: float | None = None
    decisions: int | None = None
    failed_decisions: int | None = None


@dataclass(frozen=True)
class Played:
    """A trial, and the equity behind it, bar by bar."""

    trial: Trial
    equity: Floats


def play_question(question: ArrayQuestion, store: Store) -> Played:
    """Raises UsageError for other code than was asked, DataError where the bars are gone."""
    require_same_code(question.code)
    before, window = _bars(store, question)
    rule = strategy(question.strategy)
    actions = rule.actions(_prices(before, window), question.parameters)[len(before) :]
    rules = _rules(question)
    opened = (window.open, window.high, window.low, window.close, window.volume)
    found = play(*opened, actions, rules)
    traded = float(np.sum(found.quantity * found.price))
    mean = float(np.mean(found.equity))
    trial = Trial(
        fills=len(found.bar),
        turnover=traded / mean if mean > 0 else None,
        buy_and_hold_return=_held(store, _HoldingQuestion.of(question)),
        **numbers(found.equity, rules.initial_cash, question.periods_per_year),
    )
    return Played(trial, found.equity)


def numbers(equity: Floats, initial: float, per_year: float) -> dict[str, float | int | None]:
    """What an equity curve says, by the names of `Trial`."""
    values = np.concatenate(([initial], equity))
    broke = np.flatnonzero(values <= 0)
    alive = values[: broke[0] + 1] if broke.size else values
    returns = alive[1:] / alive[:-1] - 1
    total = float(values[-1]) / initial - 1
    per_bar = series.sharpe(returns, 1.0)
    skewness, kurtosis = _shape(returns)
    return {
        "bars": len(equity),
        "final_equity": float(values[-1]),
        "total_return": total,
        "annual_return": series.annual_return(total, len(equity), per_year),
        "volatility": series.volatility(returns, per_year),
        "sharpe": series.sharpe(returns, per_year),
        "max_drawdown": float(np.min(values / np.maximum.accumulate(values))) - 1,
        "sharpe_per_bar": per_bar,
        "skewness": skewness,
        "kurtosis": kurtosis,
    }


def _shape(returns: Floats) -> tuple[float | None, float | None]:
    """Standardised third and fourth moments; none where the returns do not vary."""
    spread = float(np.std(returns)) if returns.size > 1 else 0.0
    if not spread:
        return None, None
    standard = (returns - np.mean(returns)) / spread
    square = standard * standard
    return series.defined(float(np.mean(square * standard))), series.defined(float(np.mean(square * square)))


@dataclass(frozen=True)
class _HoldingQuestion:
    """What buy and hold comes to depends on no strategy: neighbouring tasks share the answer."""

    instrument: Instrument
    interval: Interval
    start_on: date
    end_on: date
    warmup: int
    initial_cash: Decimal
    costs: Costs
    limits: Limits

    @classmethod
    def of(cls, question: ArrayQuestion) -> _HoldingQuestion:
        return cls(**{field.name: getattr(question, field.name) for field in fields(cls)})


@lru_cache(maxsize=64)
def _held(store: Store, asked: _HoldingQuestion) -> float:
    """The return of buying at the first bar, with the same costs and limits and no stop."""
    _, window = _read(store, asked.instrument.symbol, asked.interval, asked.start_on, asked.end_on, asked.warmup)
    rules = rules_of(asked.initial_cash, asked.costs, asked.limits, asked.instrument)
    columns = (window.open, window.high, window.low, window.close, window.volume)
    return float(play(*columns, np.ones(len(window), np.int8), rules).equity[-1]) / rules.initial_cash - 1


def _prices(before: BarColumns, window: BarColumns) -> Prices:
    return Prices(
        np.concatenate((before.close, window.close)),
        np.concatenate((before.high, window.high)),
        np.concatenate((before.low, window.low)),
    )


def _rules(question: ArrayQuestion) -> KernelRules:
    levels = (question.stop_loss, question.take_profit)
    return rules_of(question.initial_cash, question.costs, question.limits, question.instrument, *levels)


def _bars(store: Store, question: ArrayQuestion) -> tuple[BarColumns, BarColumns]:
    return _read(store, question.symbol, question.interval, question.start_on, question.end_on, question.warmup)


@lru_cache(maxsize=HELD)
def _read(
    store: Store, symbol: str, interval: Interval, start_on: date, end_on: date, warmup: int
) -> tuple[BarColumns, BarColumns]:
    """The bars before the window, at most `warmup` of them, and those of the window."""
    window = store.columns(symbol, interval, start_on, end_on)
    if not len(window):
        raise DataError(f"no {interval} bar of {symbol} from {start_on} to {end_on} is left in the database")
    # An exchange is open on two days of three, and a quarter of each; holidays besides.
    days = ceil(warmup * interval.length / timedelta(days=1) * 6.5) + 10 if warmup else 0
    before = store.columns(symbol, interval, start_on - timedelta(days=days), start_on - timedelta(days=1))
    return _last(before, warmup), window


def _last(columns: BarColumns, most: int) -> BarColumns:
    start = max(len(columns) - most, 0)
    return BarColumns(*(getattr(columns, field.name)[start:] for field in fields(BarColumns)))
