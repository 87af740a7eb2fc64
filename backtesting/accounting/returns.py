"""A series of returns in numbers, in float64. What is undefined over a series is None, never zero or infinity.

Formulas are those of empyrical, with a risk-free rate of zero: the annual return is compound, volatility is the sample
standard deviation, the Sortino ratio's downside is the root mean square of the losses over all periods, the Calmar
ratio is the annual return over the maximum drawdown.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]


def returns_of(initial: Decimal, equity: Iterable[Decimal]) -> Series:
    """One return per bar, the first against the initial cash. After a bar without equity left there is none."""
    values = np.array([float(initial), *map(float, equity)])
    broke = np.flatnonzero(values <= 0)
    values = values[: broke[0] + 1] if broke.size else values
    return np.asarray(values[1:] / values[:-1] - 1, dtype=np.float64)


def annual_return(total: float, bars: int, periods_per_year: float) -> float | None:
    """None before the first bar, for a loss of more than everything, and where the number has no size any more."""
    if not bars or total < -1:
        return None
    try:
        return defined(float((1 + total) ** (periods_per_year / bars) - 1))
    except OverflowError:
        return None


def volatility(returns: Series, periods_per_year: float) -> float | None:
    return float(np.std(returns, ddof=1)) * sqrt(periods_per_year) if returns.size > 1 else None


def sharpe(returns: Series, periods_per_year: float) -> float | None:
    """None where the returns do not vary."""
    if returns.size < 2 or not np.ptp(returns):
        return None
    return defined(float(np.mean(returns) / np.std(returns, ddof=1)) * sqrt(periods_per_year))


def sortino(returns: Series, periods_per_year: float) -> float | None:
    """None where there was no loss."""
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) if returns.size > 1 else 0.0
    return defined(float(np.mean(returns)) / downside * sqrt(periods_per_year)) if downside else None


def max_drawdown(initial: Decimal, equity: Iterable[Decimal]) -> tuple[float, int]:
    """The deepest fall from a peak (zero or a negative fraction), and the most bars in a row below a peak."""
    peak, deepest, length, longest = initial, 0.0, 0, 0
    for value in equity:
        length = length + 1 if value < peak else 0
        peak = max(peak, value)
        deepest = min(deepest, float(value) / float(peak) - 1)
        longest = max(longest, length)
    return deepest, longest


def defined(value: float) -> float | None:
    """None instead of a number that is none."""
    return value if isfinite(value) else None
