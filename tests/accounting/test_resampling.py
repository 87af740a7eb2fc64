"""The stationary bootstrap against `arch`, which has the same method and is taken at its word."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from hypothesis import given
from hypothesis import strategies as st

from backtesting.accounting.resampling import block_length, draws
from backtesting.accounting.returns import Series

SIZES, SEEDS = st.integers(20, 600), st.integers(0, 2**63 - 1)


@st.composite
def returns(draw: st.DrawFn) -> Series:
    """Noise that depends on its past as strongly as drawn, with a share of bars on which nothing happened."""
    size, seed = draw(SIZES), draw(SEEDS)
    memory, idle = draw(st.floats(-0.98, 1.0)), draw(st.sampled_from([0.0, 0.5, 0.95]))
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.01, size) * (generator.random(size) >= idle)
    for place in range(1, size):
        noise[place] += memory * noise[place - 1]
    return noise


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(series=returns())
def test_blocks_are_as_long_as_the_reference_makes_them(series: Series) -> None:
    if not np.ptp(series):
        assert block_length(series) == 1.0
        return
    reference = float(optimal_block_length(series)["stationary"].iloc[0])
    assert block_length(series) == min(max(reference, 1.0), series.size / 2)


@given(size=SIZES, seed=SEEDS, block=st.floats(1.0, 200.0))
def test_the_same_seed_draws_the_same_bars_as_the_reference(size: int, seed: int, block: float) -> None:
    reference = StationaryBootstrap(block, np.arange(size), seed=np.random.default_rng(seed))
    for ours, (theirs, _) in zip(draws(size, block, seed=seed, count=3), reference.bootstrap(3), strict=True):
        assert ours.tolist() == theirs[0].tolist()


@pytest.mark.parametrize("value", [0.0, 0.1, -0.3])
def test_what_never_changes_is_drawn_bar_by_bar(value: float) -> None:
    assert block_length(np.full(30, value)) == 1.0


def test_what_goes_on_for_long_is_drawn_in_long_blocks() -> None:
    noise = np.random.default_rng(7).normal(size=400)
    assert block_length(noise) < 4 < block_length(np.cumsum(noise))


def test_numbers_too_small_to_square_are_no_error() -> None:
    assert block_length(np.array([0.0, 1e-200] * 20)) == 1.0
