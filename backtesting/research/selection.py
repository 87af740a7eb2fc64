"""What the best of many trials is worth: trying often makes luck look like skill, and this says by how much.

Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40 (5), 2014. Sharpe ratios here
are per bar, not annual. Limits: trials are taken as independent, so near neighbours in a grid make the bar too high
rather than too low; and what was tried outside of this sweep is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import e, sqrt
from statistics import NormalDist, variance

from backtesting.research.trials import Trial

EULER_MASCHERONI = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Selection:
    """`trials` is how many were made; `spread` the standard deviation of their Sharpe ratios.

    `expected_max` is the Sharpe ratio that the best of so many trials has on average when none has any skill. All per
    bar. None where fewer than two trials have a ratio.
    """

    trials: int
    spread: float | None
    expected_max: float | None

    def deflated(self, trial: Trial) -> float | None:
        """The probability that the trial's true Sharpe ratio is above `expected_max`: the paper's deflated ratio.

        Near 1 there is skill; 0.5 is what the best of as many worthless trials would show. None where undefined.
        """
        found, skew, kurt = trial.sharpe_per_bar, trial.skewness, trial.kurtosis
        if self.expected_max is None or found is None or skew is None or kurt is None or trial.bars < 2:
            return None
        variance_ = 1 - skew * found + (kurt - 1) / 4 * found**2
        if variance_ <= 0:
            return None
        return _NORMAL.cdf((found - self.expected_max) * sqrt(trial.bars - 1) / sqrt(variance_))


def selection(trials: Sequence[Trial], tried: int) -> Selection:
    """`tried` counts also those that failed: they were looked at too."""
    ratios = [trial.sharpe_per_bar for trial in trials if trial.sharpe_per_bar is not None]
    if len(ratios) < 2:
        return Selection(tried, None, None)
    spread = sqrt(variance(ratios))
    return Selection(tried, spread, spread * expected_maximum(max(tried, 2)))


def expected_maximum(draws: int) -> float:
    """The mean of the largest of so many standard normal draws, 2 or more (the paper's approximation)."""
    below = 1 - 1 / draws
    return (1 - EULER_MASCHERONI) * _NORMAL.inv_cdf(below) + EULER_MASCHERONI * _NORMAL.inv_cdf(1 - 1 / (draws * e))
