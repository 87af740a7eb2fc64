"""The difference of two runs over the same bars, and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from backtesting.accounting.significance import FEWEST, difference

RATES = st.lists(st.floats(-0.05, 0.05), min_size=FEWEST, max_size=60)


def made(seed: int, bars: int = 200, drift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(drift, 0.01, bars)


@settings(max_examples=25, deadline=None)
@given(first=RATES, seed=st.integers(0, 99))
def test_a_run_beside_itself_differs_in_nothing(first: list[float], seed: int) -> None:
    series = np.array(first)
    found = difference(series, series.copy(), seed=seed)
    assert found is not None
    assert (found.value, found.low, found.high) == (0, 0, 0)


@settings(max_examples=15, deadline=None)
@given(pairs=st.lists(st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)), min_size=FEWEST, max_size=60))
def test_turned_round_it_is_the_opposite(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    one, other = (difference(*both, seed=1, resamples=100) for both in ((first, second), (second, first)))
    assert one is not None
    assert other is not None
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_what_moved_both_alike_cancels_out() -> None:
    """A small steady lead over a wild market is told from luck; over an unrelated series it is not."""
    market = made(1)
    paired = difference(market, market + 0.0005 + made(2) / 100, seed=0)
    unrelated = difference(made(3), made(4) + 0.0005, seed=0)
    assert paired is not None
    assert unrelated is not None
    assert paired.low > 0
    assert unrelated.low < 0 < unrelated.high
    assert paired.high - paired.low < (unrelated.high - unrelated.low) / 5


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Two series of one mean: nineteen of twenty intervals hold zero, give or take."""
    drawn = [difference(made(2 * n), made(2 * n + 1), seed=n, resamples=200) for n in range(60)]
    holding = sum(each is not None and each.low <= 0 <= each.high for each in drawn)
    assert 50 <= holding <= 60


def test_a_constant_lead_has_an_interval() -> None:
    market = made(5)
    found = difference(market, market + 0.001, seed=0)
    assert found is not None
    assert found.low > 0


def test_too_few_bars_have_none() -> None:
    assert difference(made(1, FEWEST - 1), made(2, FEWEST - 1), seed=0) is None


def test_series_of_different_length_are_no_pair() -> None:
    with pytest.raises(ValueError, match="20 bars cannot be paired with 21"):
        difference(made(1, 20), made(2, 21), seed=0)
