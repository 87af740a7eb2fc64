"""The kernel by example: the golden tape, summaries beside the house's metrics, what it refuses, where it is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from decimal import Decimal
from math import isnan, nan
from pathlib import Path
from random import Random

import house
import numpy as np
import pytest
from numpy.testing import assert_allclose
from tape import FLAT, Prices, bar, dec, instrument
from test_golden_tape import LONG, SIDES, Turn
from test_kernel_agrees import random_bars, random_strategy
from twins import Strategy, columns, exactly_played

from backtesting.accounting.metrics import metrics
from backtesting.execution import kernel_digits
from backtesting.execution.kernel import ORDER, STOP, TARGET, KernelRules, play, play_many
from data.model.trading import FillReason, Side

FREE = KernelRules(commission_bps=0, slippage_bps=0, lot=1.0, stop_loss=0.02, take_profit=0.02, allow_short=True)
CODES = {FillReason.ORDER: ORDER, FillReason.STOP: STOP, FillReason.TARGET: TARGET}
YEAR = 8760.0


def tape(*prices: Prices) -> list[np.ndarray]:
    return columns([bar(number, each) for number, each in enumerate(prices)])


def signal(*actions: int) -> np.ndarray:
    return np.array(actions, dtype=np.int8)


@pytest.mark.parametrize(("side", "turned"), SIDES)
@pytest.mark.parametrize(("prices", "price", "reason"), LONG.values(), ids=LONG)
def test_the_golden_tape(side: Side, turned: Turn, prices: Prices, price: int, reason: FillReason) -> None:
    """Entered at 100 with all of 10,000, stop at 98 and target at 102, or their mirror."""
    bars = tape(FLAT, FLAT, turned(prices))
    played = play(*bars, signal(side.sign, 0, 0), FREE)
    level = float(turned((price,) * 4)[0])
    assert played.price.tolist() == [100, level]
    assert played.reason.tolist() == [ORDER, CODES[reason]]
    assert (played.bar.tolist(), played.side.tolist()) == ([1, 2], [side.sign, -side.sign])
    assert played.quantity.tolist() == [100, 100]
    assert played.equity.tolist() == [10_000, 10_000, 10_000 + 100 * (price - 100)]
    assert played.cash == played.equity[-1]


@pytest.mark.parametrize(("side", "turned"), SIDES)
def test_stop_and_target_live_from_the_entry_bar_on(side: Side, turned: Turn) -> None:
    played = play(*tape(FLAT, turned((100, 103, 97, 101))), signal(side.sign, 0), FREE)
    assert (played.bar.tolist(), played.reason.tolist()) == ([1, 1], [ORDER, STOP])


def test_a_last_decision_expires_and_an_open_position_is_marked() -> None:
    played = play(*tape(FLAT, (100, 101, 100, 101)), signal(1, -1), FREE)
    assert (played.bar.tolist(), played.expired) == ([1], True)
    assert (played.cash, played.equity[-1]) == (0, 10_100)
    assert not play(*tape(FLAT, FLAT), signal(1, 0), FREE).expired


def test_what_the_cap_leaves_is_cancelled_and_a_stop_waits_for_volume() -> None:
    bars = tape(*[FLAT] * 4, (90, 90, 90, 90), (90, 90, 90, 90))
    bars[4][:] = [0, 120, 0, 0, 50, 1000]
    played = play(*bars, signal(1, 0, 0, 0, 0, 0), FREE)
    assert played.quantity.tolist() == [12, 5, 7]
    assert played.bar.tolist() == [1, 4, 5]


@pytest.mark.parametrize("prices", [(0, 100, 0, 100), (-5, 100, -5, 100)])
def test_nothing_fills_at_a_price_that_is_not_above_zero(prices: Prices) -> None:
    assert play(*tape(FLAT, prices, FLAT), signal(1, 0, 0), FREE).price.size == 0


def test_a_stop_that_was_gapped_through_below_zero_stays() -> None:
    played = play(*tape(FLAT, FLAT, (-1, 5, -2, 4), (50, 50, 50, 50)), signal(1, 0, 0, 0), FREE)
    assert (played.bar.tolist(), played.price.tolist()) == ([1, 3], [100, 50])
    assert played.equity.tolist() == [10_000, 10_000, 400, 5_000]


def test_no_cap_and_no_levels_where_none_are_asked() -> None:
    bars = tape(FLAT, FLAT, (1, 1000, 1, 50))
    bars[4][:] = 0
    free = KernelRules(commission_bps=0, slippage_bps=0, volume_cap=nan)
    assert play(*bars, signal(1, 0, 0), free).quantity.tolist() == [100]


def test_exact_lots_are_bought_where_a_float_would_miss_one() -> None:
    """Seven lots of 0.1 cost the 0.7 that there is."""
    assert 0.7 / 0.1 < 7
    rules = KernelRules(0.7, commission_bps=0, slippage_bps=0, lot=0.1)
    assert play(*tape((1, 1, 1, 1), (1, 1, 1, 1)), signal(1, 0), rules).quantity.tolist() == [0.7]


@pytest.mark.parametrize("threads", [1, 2])
def test_summaries_are_the_numbers_of_the_exact_account(threads: int) -> None:
    dice = Random(7)
    bars = random_bars(dice, 60)
    plans = [random_strategy(dice, 60) for _ in range(40)]
    summed = play_many(
        *columns(bars), np.array([p.actions for p in plans]), [p.rules for p in plans], YEAR, threads=threads
    )
    varied = 0
    for number, plan in enumerate(plans):
        exact = exactly_played(bars, plan)
        numbers = metrics(exact.rows, exact.trades, exact.fills, initial_cash=plan.cash, periods_per_year=YEAR)
        assert summed.fills[number] == len(exact.fills)
        assert_allclose(summed.final_equity[number], float(exact.rows[-1].equity), rtol=1e-9)
        assert_allclose(summed.total_return[number], numbers.total_return, rtol=1e-9, atol=1e-12)
        assert_allclose(summed.max_drawdown[number], numbers.max_drawdown, rtol=1e-9, atol=1e-12)
        for ours, theirs in ((summed.sharpe, numbers.sharpe), (summed.turnover, numbers.turnover)):
            assert_allclose(ours[number], nan if theirs is None else theirs, rtol=1e-7)
        varied += numbers.sharpe is not None
    assert varied > 15


def test_a_signal_alone_is_summed_up_as_among_many() -> None:
    bars = random_bars(Random(3), 500)
    signals = np.random.default_rng(3).integers(-1, 2, (9, 500)).astype(np.int8)
    rules = KernelRules(stop_loss=0.02, lot=1e-8, allow_short=True)
    summed = play_many(*columns(bars), signals, rules, YEAR, threads=2)
    for number, each in enumerate(signals):
        alone = play(*columns(bars), each, rules)
        assert (summed.final_equity[number], summed.fills[number]) == (alone.equity[-1], alone.bar.size)


def test_returns_end_where_no_equity_is_left() -> None:
    prices = [FLAT, FLAT, (300, 300, 300, 300), (400, 400, 400, 400), (200, 200, 200, 200)]
    plan = Strategy([-1, 0, 0, 0, 0], instrument(), limits=Strategy([], instrument()).limits)
    plan = Strategy(plan.actions, plan.instrument, limits=plan.limits.model_copy(update={"allow_short": True}))
    bars = [bar(number, each) for number, each in enumerate(prices)]
    exact = exactly_played(bars, plan)
    numbers = metrics(exact.rows, (), exact.fills, initial_cash=plan.cash, periods_per_year=YEAR)
    summed = play_many(*columns(bars), np.array([plan.actions]), plan.rules, YEAR)
    assert exact.rows[2].equity < 0
    assert_allclose(summed.sharpe[0], numbers.sharpe, rtol=1e-9)
    assert_allclose(summed.max_drawdown[0], numbers.max_drawdown, rtol=1e-9)
    assert isnan(summed.turnover[0]) is (numbers.turnover is None)


@pytest.mark.parametrize(
    ("bars", "message"),
    [
        ([np.ones(3), *[np.ones(2)] * 4], "one and the same length"),
        ([np.ones(0)] * 5, "one and the same length"),
        ([np.ones((2, 1))] * 5, "one and the same length"),
        ([*[np.ones(2)] * 3, np.array([1, nan]), np.ones(2)], "no number"),
    ],
)
def test_bars_that_make_no_sense_are_refused(bars: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play(*bars, np.zeros(bars[3].size, np.int8), FREE)


def test_signals_and_rules_of_another_shape_are_refused() -> None:
    bars = tape(FLAT, FLAT)
    with pytest.raises(ValueError, match=r"shape \(3,\) for 2 bars"):
        play(*bars, signal(1, 0, 0), FREE)
    with pytest.raises(ValueError, match=r"shape \(2,\) for 2 bars"):
        play_many(*bars, signal(1, 0), FREE, YEAR)
    with pytest.raises(ValueError, match="3 sets of rules for 2"):
        play_many(*bars, np.zeros((2, 2), np.int8), [FREE] * 3, YEAR)
    with pytest.raises(ValueError, match="must be above zero"):
        play(*bars, signal(1, 0), KernelRules(lot=0.0))


def test_neither_the_kernel_nor_its_rules_load_numba() -> None:
    code = "import sys, backtesting.execution.kernel; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=house.ROOT, check=False).returncode == 0


def test_where_nothing_can_be_kept_it_is_compiled_in_memory(tmp_path: Path) -> None:
    """A file stands where the folder of the cache, and the user's, would be."""
    shutil.copy(kernel_digits.__file__, tmp_path / "digits.py")
    for name in ("__pycache__", "home"):
        (tmp_path / name).touch()
    code = [
        "from digits import kept",
        "@kept",
        "def twice(x):",
        " return 2 * x",
        "print(twice(21.0), twice.stats.cache_path)",
    ]
    (tmp_path / "asks.py").write_text("\n".join(code))
    places = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    environment = {**os.environ, **places, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "asks.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["42.0", "None"]


def test_what_is_kept_is_of_these_very_sources() -> None:
    from backtesting.execution import kernel_steps  # noqa: PLC0415 (loads numba)

    def key(stamp: str) -> object:
        made = kernel_steps._stepping(stamp)
        return made._cache._index_key((), made.targetctx.codegen())  # type: ignore[attr-defined]

    assert key("one") == key("one") != key("other")


def test_a_price_is_rounded_as_money_is() -> None:
    """Half to even at 1e-8, though a float is never quite at the half."""
    for text in ("0.000000015", "0.000000025", "31.950000765", "31.950000762939453", "1.000000005"):
        exact = dec(text).quantize(Decimal("1e-8"))
        played = play(*tape((text,) * 4, (text,) * 4), signal(1, 0), KernelRules(commission_bps=0, slippage_bps=0))
        assert played.price.tolist() == [float(exact)]
