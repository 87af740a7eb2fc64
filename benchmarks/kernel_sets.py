"""How long 100 sets of parameters take over 500,000 bars, with their Sharpe ratios, beside reading it all once.

The bars are real ones, laid end to end until there are enough. Each set crosses two moving averages, under a stop and a
target; the signals are there before the clock starts. The reference adds up the same bars and signals with numpy. What
was compiled is warm: the first call on a machine takes some ten seconds more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backtesting.execution.kernel import KernelRules, Summaries, play_many
from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent

BARS, SETS = 500_000, 100
TO_REACH = Goal(0.5)
HOURS_A_YEAR = 8760.0
RULES = KernelRules(stop_loss=0.02, take_profit=0.04)


def rows(place: Place) -> Iterator[Row]:
    """Seconds on the wall's clock, with as many threads as there are cores."""
    bars = place.bars
    opens, highs, lows, closes, volumes = (
        np.resize(np.array([float(getattr(bar, name)) for bar in bars]), BARS)
        for name in ("open", "high", "low", "close", "volume")
    )
    signals = np.stack([_crossings(closes, 5 + number // 10 * 3, 40 + number % 10 * 15) for number in range(SETS)])

    def play() -> Summaries:
        return play_many(opens, highs, lows, closes, volumes, signals, RULES, HOURS_A_YEAR)

    def read() -> None:
        for array in (opens, highs, lows, closes, volumes, signals):
            array.sum()

    found = in_turn(
        {
            "kernel": lambda: spent(play).wall,
            "numpy": lambda: spent(read).wall,
        },
        place.rounds,
        place.tell,
    )
    place.tell(f"  {play().fills.mean():,.0f} fills a set")
    name = f"{SETS} parameter sets x {BARS:,} bars with Sharpe"
    against = "one numpy pass over the same memory"
    yield Row(name, middle(found["kernel"]), "s", against, middle(found["numpy"]), TO_REACH)


def _crossings(closes: NDArray[np.float64], fast: int, slow: int) -> NDArray[np.int8]:
    """BUY where the fast mean rises above the slow one, SELL where it falls below."""
    sums = np.concatenate(([0.0], np.cumsum(closes)))
    above = np.zeros(closes.size, dtype=np.int8)
    quick, late = ((sums[span:] - sums[:-span]) / span for span in (fast, slow))
    above[slow - 1 :] = quick[slow - fast :] > late
    return np.diff(above, prepend=np.int8(0))
