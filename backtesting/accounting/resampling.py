"""The stationary bootstrap: bars drawn again in blocks of random length, which keeps runs of gains and losses together.

Politis and Romano 1994; the blocks' mean length after Politis and White 2004, corrected by Patton, Politis and White
2009. Seed for seed the numbers of `arch` 8, without what it takes to load that and pandas, scipy and statsmodels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log10, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from backtesting.accounting.returns import Series

Places: TypeAlias = NDArray[np.int64]


def draws(size: int, block_bars: float, *, seed: int, count: int) -> Iterator[Places]:
    """`count` times `size` places in a series of that size; a block that reaches its end goes on at its start."""
    generator, order = np.random.default_rng(seed), np.arange(size)
    for _ in range(count):
        starts = generator.integers(size, size=size)
        begins = generator.random(size) <= 1 / block_bars
        block = np.maximum.accumulate(np.where(begins, order, 0))
        yield (starts[block] + order - block) % size


def block_length(series: Series) -> float:
    """The mean length of blocks, in bars, that serves the series' mean best: from 1 to half of its bars.

    The closer bars go with their neighbours, the longer. 1 for a series that never changes.
    """
    if not np.ptp(series):
        return 1.0
    size, apart = series.size, series - series.mean()
    products = [float(apart[lag:] @ apart[: size - lag]) for lag in range(_farthest(size) + 1)]
    reach, covariances = _reach(apart, products), np.array(products) / size
    lags = np.arange(1, reach + 1)
    weights = 2 * np.where(lags / reach <= 1 / 2, 1, 2 * (1 - lags / reach))  # a flat top, then falling to zero
    slope = _added(weights * lags * covariances[lags])
    spectrum = _added(np.array([covariances[0], *(weights * covariances[lags])]))
    if not spectrum:
        return 1.0
    best = ((2 * slope**2) / (2 * spectrum**2)) ** (1 / 3) * size ** (1 / 3)
    return float(np.clip(min(best, ceil(min(3 * sqrt(size), size / 3))), 1.0, size / 2))


def _reach(apart: Series, products: Sequence[float]) -> int:
    """How many lags count: twice the first one that is followed by enough lags in a row that say nothing."""
    size, enough = apart.size, _enough(apart.size)
    silence = 2 * sqrt(log10(size) / size)
    silent = [abs(product) < silence * _spread(apart, lag + 1) for lag, product in enumerate(products)]
    first = (lag for lag in range(len(silent) - enough) if all(silent[lag : lag + enough]))
    return min(2 * max(next(first, size), 1), _farthest(size))


def _spread(apart: Series, lag: int) -> float:
    late, early = apart[lag:], apart[:-lag]
    return sqrt((late @ late) * (early @ early))


def _enough(size: int) -> int:
    return max(5, int(log10(size)))


def _farthest(size: int) -> int:
    return ceil(sqrt(size)) + _enough(size)


def _added(terms: Series) -> float:
    """One after the other: the same bits everywhere, which a sum by pairs does not promise."""
    return float(np.add.accumulate(terms)[-1])
