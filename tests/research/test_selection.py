"""What the best of many is worth, against the worked example of the paper and against draws."""

from __future__ import annotations

import numpy as np
import pytest

from backtesting.research.selection import Selection, expected_maximum, selection
from backtesting.research.trials import Trial, numbers


def trial(sharpe_per_bar: float | None, **changes: object) -> Trial:
    values = {"bars": 1250, "fills": 1, "final_equity": 1.0, "total_return": 0.0, "annual_return": None}
    values |= {"volatility": None, "sharpe": sharpe_per_bar, "max_drawdown": 0.0, "turnover": None}
    values |= {"buy_and_hold_return": None, "sharpe_per_bar": sharpe_per_bar, "skewness": 0.0, "kurtosis": 3.0}
    return Trial.model_validate(values | changes)


def test_the_papers_example() -> None:
    """Annual ratio 2.5 over 1250 days, 100 trials of annual variance 1/2, skewness -3, kurtosis 10: 0.1132 and 0.90."""
    spread = (0.5 / 250) ** 0.5
    chosen = Selection(100, spread, spread * expected_maximum(100))
    assert chosen.expected_max == pytest.approx(0.1132, abs=5e-5)
    found = chosen.deflated(trial(2.5 / 250**0.5, skewness=-3.0, kurtosis=10.0))
    assert found == pytest.approx(0.9004, abs=5e-4)


@pytest.mark.parametrize("draws", [10, 100, 1000])
def test_the_expected_maximum_is_that_of_draws(draws: int) -> None:
    drawn = np.random.default_rng(1).normal(size=(4000, draws)).max(axis=1)
    assert expected_maximum(draws) == pytest.approx(drawn.mean(), abs=0.05)


def test_more_trials_raise_the_bar() -> None:
    few, many = (selection([trial(0.01), trial(0.02), trial(0.03)], tried) for tried in (3, 3000))
    assert few.expected_max is not None
    assert many.expected_max is not None
    assert few.expected_max < many.expected_max
    assert (few.deflated(trial(0.1)) or 0) > (many.deflated(trial(0.1)) or 0)


def test_failed_trials_count_as_tried() -> None:
    assert selection([trial(0.01), trial(0.02)], 50).trials == 50


@pytest.mark.parametrize("trials", [[], [trial(0.1)], [trial(None), trial(None)]])
def test_too_few_to_judge_is_none(trials: list[Trial]) -> None:
    chosen = selection(trials, len(trials))
    assert chosen.expected_max is None
    assert chosen.deflated(trial(0.1)) is None


def test_an_equity_curve_in_numbers() -> None:
    found = numbers(np.array([110.0, 99.0, 99.0, 118.8]), 100.0, 365.0)
    returns = np.array([0.1, -0.1, 0.0, 0.2])
    assert found["total_return"] == pytest.approx(0.188)
    assert found["max_drawdown"] == pytest.approx(-0.1)
    assert found["sharpe_per_bar"] == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * 365**0.5)
    assert found["kurtosis"] == pytest.approx((((returns - returns.mean()) / returns.std()) ** 4).mean())


def test_a_flat_curve_has_no_ratio() -> None:
    found = numbers(np.array([100.0, 100.0]), 100.0, 365.0)
    assert (found["sharpe"], found["skewness"], found["max_drawdown"]) == (None, None, 0.0)
