"""Intervals by the stationary bootstrap: repeatable, around the value, wider for less, and absent for too little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backtesting.accounting.returns import Series
from backtesting.accounting.significance import FEWEST, significance


def noise(bars: int, mean: float = 0.001, seed: int = 1) -> Series:
    return np.random.default_rng(seed).normal(mean, 0.01, bars)


def test_an_equal_seed_gives_an_equal_interval_whatever_the_global_one_is() -> None:
    np.random.seed(1)
    first = significance(noise(200), 252.0, seed=5, resamples=200)
    np.random.seed(2)
    assert significance(noise(200), 252.0, seed=5, resamples=200) == first
    assert significance(noise(200), 252.0, seed=6, resamples=200) != first


def test_the_interval_holds_the_value() -> None:
    found = significance(noise(300), 252.0, seed=1, resamples=300)
    assert found is not None
    for interval in (found.total_return, found.sharpe):
        assert interval.low < interval.value < interval.high
    assert found.total_return.value == pytest.approx(np.prod(1 + noise(300)) - 1)
    assert found.resamples == 300


def test_more_confidence_is_a_wider_interval() -> None:
    narrow = significance(noise(300), 252.0, seed=1, resamples=300, level=0.5)
    wide = significance(noise(300), 252.0, seed=1, resamples=300, level=0.99)
    assert narrow is not None
    assert wide is not None
    assert wide.sharpe.low < narrow.sharpe.low < narrow.sharpe.high < wide.sharpe.high


def test_intervals_hold_the_true_ratio_about_as_often_as_they_say() -> None:
    true = 0.001 / 0.01 * np.sqrt(252)
    found = [significance(noise(150, seed=seed), 252.0, seed=seed, resamples=150) for seed in range(60)]
    inside = sum(each is not None and each.sharpe.low <= true <= each.sharpe.high for each in found)
    assert 51 <= inside <= 60


@pytest.mark.parametrize("make", [lambda: noise(FEWEST - 1), lambda: np.zeros(100)], ids=["few", "constant"])
def test_too_little_has_no_interval(make: Callable[[], Series]) -> None:
    assert significance(make(), 252.0, seed=1) is None
