"""The kernel: the step broker's rules and the cash ledger's sums over arrays of bars, for sweeps.

One symbol, one signal a bar. `actions[i]` is the decision at the close of bar i: +1 BUY, -1 SELL, 0 HOLD, at full size
and with the rules' stop and target, as `orchestration.policy` would bound and size it. It fills at the open of bar
i + 1 as `broker`, `costs` and `protection` say. The last one has no next bar and expires.

How close it is to the exact ledger. Cash and prices are whole numbers of 1e-8 and quantities whole numbers of lots, in
float64. Where a digit decides (a lot that just is or just is not affordable, a half to round to even) the products are
taken to 31 digits, and bars for the shortest decimals that they stand for. So fills, prices, commissions and cash are
those of the step broker, digit for digit, while prices have eight decimals at most and no number passes 2^53 of its
units: 90 million in cash, or in coins of lots of 1e-8. Outside of that, and where products agree to 28 digits without
being equal, a quantity may differ by a lot and a price by 1e-8. Equity is rounded to float64.

Limits: no splits or dividends, one symbol, and the decisions know nothing of the account.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtesting.execution.kernel_rules import KernelRules, rules_of, table

__all__ = ["ORDER", "STOP", "TARGET", "KernelResult", "KernelRules", "Summaries", "play", "play_many", "rules_of"]

Floats = NDArray[np.float64]
ORDER, STOP, TARGET = 0, 1, 2
UNITS = 1e8
CLOSE, SUMS = 3, 10
SETS_AT_ONCE = 4
"""How many sets a thread takes at a time: few enough that no thread waits long for the last one."""


@dataclass(frozen=True)
class KernelResult:
    """One strategy's account. `equity[i]` is at the close of bar i, `cash` after the last.

    A fill's `bar` is an index, `side` +1 or -1, `quantity` positive, `price` after slippage, `commission` in cash, and
    `reason` ORDER, STOP or TARGET. `expired` tells that an order of the last bar had no next one.
    """

    equity: Floats
    cash: float
    expired: bool
    bar: NDArray[np.int64]
    side: NDArray[np.int8]
    quantity: Floats
    price: Floats
    commission: Floats
    reason: NDArray[np.int8]


@dataclass(frozen=True)
class Summaries:
    """What each of k sets came to: arrays of length k; rates are fractions, and nan is what is undefined.

    As `accounting.metrics` has them: `sharpe` is annual, `max_drawdown` zero or negative, `turnover` the value of all
    fills over the mean equity.
    """

    total_return: Floats
    sharpe: Floats
    max_drawdown: Floats
    turnover: Floats
    final_equity: Floats
    fills: NDArray[np.int64]


def play(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    actions: NDArray[np.int8],
    rules: KernelRules,
) -> KernelResult:
    """One strategy over n bars; every array has length n. Raises ValueError for other shapes, and for nan."""
    from backtesting.execution.kernel_steps import step_through  # noqa: PLC0415 (a second to load)

    bars = _stacked(opens, highs, lows, closes, volumes)
    wanted = _signals(actions, closes.size, 1)
    equity, fills, sums = np.empty(closes.size), np.empty((2 * closes.size, 6)), np.empty((1, SUMS))
    step_through(bars, wanted[np.newaxis], table([rules]), equity, fills, sums)
    cash, _, count, expired = sums[0, :4]
    bar, side, quantity, price, commission, reason = fills[: int(count)].T.copy()
    return KernelResult(
        equity=equity,
        cash=float(cash),
        expired=bool(expired),
        bar=bar.astype(np.int64),
        side=side.astype(np.int8),
        quantity=quantity,
        price=price,
        commission=commission,
        reason=reason.astype(np.int8),
    )


def play_many(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    actions: NDArray[np.int8],
    rules: KernelRules | Sequence[KernelRules],
    periods_per_year: float,
    threads: int | None = None,
) -> Summaries:
    """k strategies over the same n bars: `actions` is k x n, `rules` one for all or one for each.

    `threads` is one a core unless given. No equity is kept, so the memory is that of what is passed in. Raises
    ValueError as `play`.
    """
    from backtesting.execution.kernel_steps import step_through  # noqa: PLC0415 (a second to load)

    bars, nothing = _stacked(opens, highs, lows, closes, volumes), (np.empty(0), np.empty((0, 6)))
    wanted = _signals(actions, closes.size, 2)
    each = table([rules] if isinstance(rules, KernelRules) else rules)
    if len(each) not in (1, len(wanted)):
        raise ValueError(f"{len(each)} sets of rules for {len(wanted)} sets of decisions")
    sums = np.empty((len(wanted), SUMS))

    def part(first: int) -> None:
        some = slice(first, first + SETS_AT_ONCE)
        step_through(bars, wanted[some], each if len(each) == 1 else each[some], *nothing, sums[some])

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(part, range(0, len(wanted), SETS_AT_ONCE)))
    return _summed_up(sums, each[:, 0] / UNITS, closes.size, periods_per_year)


def _summed_up(sums: Floats, start: Floats, bars: int, periods_per_year: float) -> Summaries:
    """Numbers of each set; the formulas are those of `accounting.returns`."""
    _, traded, fills, _, last, total, returns, first, second, deepest = sums.T
    with np.errstate(all="ignore"):
        spread = (second - first * first / returns) / (returns - 1)
        sharpe = first / returns / np.sqrt(spread) * np.sqrt(periods_per_year)
        return Summaries(
            total_return=last / start - 1,
            sharpe=np.where((spread > 0) & np.isfinite(sharpe), sharpe, np.nan),
            max_drawdown=deepest.copy(),
            turnover=np.where(total > 0, traded / total * bars, np.nan),
            final_equity=last.copy(),
            fills=fills.astype(np.int64),
        )


def _stacked(*columns: Floats) -> Floats:
    """A row for each bar: open, high, low, close, volume and the mark, which is the close with eight decimals."""
    size = columns[0].size
    if not size or any(column.shape != (size,) for column in columns):
        raise ValueError(f"columns of bars must have one and the same length: {[column.shape for column in columns]}")
    bars = np.empty((size, len(columns) + 1))
    for place, column in enumerate(columns):
        bars[:, place] = column
    bars[:, -1] = np.rint(columns[CLOSE] * UNITS) / UNITS
    if not np.isfinite(bars).all():
        raise ValueError("a price or a volume is no number")
    return bars


def _signals(actions: NDArray[np.int8], size: int, dimensions: int) -> NDArray[np.int8]:
    found: NDArray[np.int8] = np.ascontiguousarray(actions, dtype=np.int8)
    if found.ndim != dimensions or found.shape[-1] != size:
        raise ValueError(f"decisions of shape {found.shape} for {size} bars")
    return found
