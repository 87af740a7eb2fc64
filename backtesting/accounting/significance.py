"""How sure a result is: intervals of total return and Sharpe ratio by the stationary bootstrap.

Blocks of random length are drawn from the run's own returns; how long they are, the returns' own autocorrelation says.
The interval says how far the result could differ by the luck of the draw over bars like these; not how often other
strategies were tried, and nothing about other markets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtesting.accounting.resampling import block_length, draws
from backtesting.accounting.returns import Series, sharpe

FEWEST = 20
"""Bars below which no interval is given: there are too few blocks to draw from."""


@dataclass(frozen=True, slots=True)
class Range:
    """A value, and the interval that holds it with `level`'s probability under resampling."""

    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True, slots=True)
class Significance:
    """Intervals of the run's numbers, and the mean length of the blocks, in bars. `sharpe` is annual."""

    total_return: Range
    sharpe: Range
    block_bars: float
    resamples: int


def significance(
    returns: Series, periods_per_year: float, *, seed: int, resamples: int = 1000, level: float = 0.95
) -> Significance | None:
    """Percentile intervals of `resamples` draws; equal for an equal seed. None for too few or constant returns."""
    if returns.size < FEWEST or sharpe(returns, periods_per_year) is None:
        return None
    block = block_length(returns)

    def both(drawn: Series) -> tuple[float, float]:
        return _total(drawn), sharpe(drawn, periods_per_year) or 0.0

    drawn = [both(returns[places]) for places in draws(returns.size, block, seed=seed, count=resamples)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    total, ratio = both(returns)
    return Significance(
        total_return=Range(float(total), float(low[0]), float(high[0]), level),
        sharpe=Range(float(ratio), float(low[1]), float(high[1]), level),
        block_bars=block,
        resamples=resamples,
    )


def difference(first: Series, second: Series, *, seed: int, resamples: int = 1000, level: float = 0.95) -> Range | None:
    """How much more the second made than the first over the same bars: total returns, in fractions, with an interval.

    A draw takes the same blocks of bars from both, so what moved both alike cancels out; the blocks' mean length is
    what the bars' differences ask for. None for too few bars. Raises ValueError for series of different length.
    """
    if first.size != second.size:
        raise ValueError(f"{first.size} bars cannot be paired with {second.size}")
    if first.size < FEWEST:
        return None
    value, apart = _total(second) - _total(first), second - first
    if not np.any(apart):
        return Range(0.0, 0.0, 0.0, level)
    places = draws(apart.size, block_length(apart), seed=seed, count=resamples)
    drawn = [_total(second[drawn]) - _total(first[drawn]) for drawn in places]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Range(value, float(low), float(high), level)


def _total(returns: Series) -> float:
    return float(np.prod(1 + returns) - 1)
