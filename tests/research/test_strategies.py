"""Array strategies: what each says in small markets, and that none ever looks ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.research.strategies import STRATEGIES, Prices, strategy
from data.model.errors import UsageError


def prices(closes: list[float] | np.ndarray, spread: float = 1.0) -> Prices:
    values = np.array(closes, dtype=np.float64)
    return Prices(values, values + spread, values - spread)


def said(name: str, closes: list[float], **parameters: float) -> list[int]:
    rule = strategy(name)
    found = rule.actions(prices(closes), rule.settle(parameters))
    assert found.dtype == np.int8
    return found.tolist()


UP_AND_DOWN = [10, 10, 10, 10, 12, 14, 14, 10, 8, 6]


def test_averages_cross_where_the_fast_one_overtakes() -> None:
    """Fast 2, slow 3: equal while flat, above from the rise at 4 on, below from the fall at 7 on."""
    assert said("sma_crossover", UP_AND_DOWN, fast=2, slow=3) == [0, 0, 0, 0, 0, 0, 0, -1, 0, 0]
    down_and_up = [10, 8, 6, 6, 10, 14]
    assert said("sma_crossover", down_and_up, fast=2, slow=3) == [0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("name", ["sma_crossover", "ema_crossover"])
@pytest.mark.parametrize("price", [0.1, 100.0, 12345.6789])
def test_equal_averages_do_not_cross(name: str, price: float) -> None:
    assert set(said(name, [price] * 300, fast=3, slow=7)) == {0}


def test_a_touch_is_no_cross() -> None:
    """Down, up to exactly equal (bar 5), and down again."""
    closes = [10.0, 9.0, 8.0, 7.0, 7.0, 7.0, 6.0, 5.0]
    fast, slow = 2, 3
    averages = [(np.mean(closes[i - 1 : i + 1]), np.mean(closes[i - 2 : i + 1])) for i in range(2, 8)]
    assert averages[3][0] == averages[3][1]
    assert set(said("sma_crossover", closes, fast=fast, slow=slow)) == {0}


def test_reversion_buys_low_and_sells_high() -> None:
    falling, rising = [float(100 - i) for i in range(20)], [float(100 + i) for i in range(20)]
    assert said("rsi_reversion", falling, period=5)[5:] == [1] * 15
    assert said("rsi_reversion", rising, period=5)[5:] == [-1] * 15
    assert said("bollinger_reversion", [100.0] * 10 + [50.0], period=10, width=2)[-1] == 1
    assert said("bollinger_reversion", [100.0] * 10 + [150.0], period=10, width=2)[-1] == -1


def test_a_breakout_is_above_what_was_before_it() -> None:
    """Highs are one above the close: 12 is above the highest high (11) of the three bars before, 11 is not."""
    assert said("donchian_breakout", [10, 10, 10, 11, 10, 10, 13, 12], entry=3, leave=2) == [0, 0, 0, 0, 0, 0, 1, 0]
    assert said("donchian_breakout", [10, 10, 10, 8.5, 10], entry=3, leave=2) == [0, 0, 0, -1, 0]


def test_momentum_has_a_dead_zone() -> None:
    assert said("momentum", [100, 100, 105, 110, 100, 90], lookback=1, threshold=0.05) == [0, 0, 0, 0, -1, -1]
    assert said("momentum", [100, 100, 106], lookback=1, threshold=0.05) == [0, 0, 1]
    assert said("momentum", [-1, 0, 5], lookback=1) == [0, 0, 0]


def test_buy_and_hold_buys() -> None:
    assert said("buy_and_hold", [1, 2, 3]) == [1, 1, 1]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("bars", [0, 1, 2, 5])
def test_too_few_bars_give_no_action(name: str, bars: int) -> None:
    if name != "buy_and_hold":
        assert said(name, [100.0] * bars) == [0] * bars


@given(data=st.data(), name=st.sampled_from(sorted(STRATEGIES)))
def test_nobody_sees_the_future(data: st.DataObject, name: str) -> None:
    """Whatever comes after a bar, and whether anything does, its action is the same."""
    seed, size = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(2, 120))
    now = data.draw(st.integers(1, size - 1))
    chance = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(chance.normal(0, 0.03, size)))
    other = np.concatenate((closes[:now], 1000 * chance.random(size - now) + 1))
    rule = strategy(name)
    settled = rule.settle({each.name: 2 + place for place, each in enumerate(rule.parameters) if each.is_whole})
    whole, scrambled = (rule.actions(prices(each), settled) for each in (closes, other))
    cut = rule.actions(prices(closes[:now]), settled)
    assert whole[:now].tolist() == scrambled[:now].tolist() == cut.tolist()


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("sma", {}, "there are sma_crossover"),
        ("sma_crossover", {"quick": 3}, "no parameter quick; it has fast, slow"),
        ("sma_crossover", {"fast": 2.5}, "fast = 2.5 is not a whole number"),
        ("sma_crossover", {"fast": 1}, "not between 2 and 5000"),
        ("rsi_reversion", {"low": True}, "low = True is not a number"),
        ("rsi_reversion", {"low": float("nan")}, "not between"),
        ("buy_and_hold", {"x": 1}, "it has none"),
    ],
)
def test_wrong_words_are_one_clear_line(name: str, parameters: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        strategy(name).settle(parameters)
    assert "\n" not in str(caught.value)


def test_parameters_that_do_not_fit_are_known() -> None:
    rule = strategy("sma_crossover")
    assert rule.makes_sense({"fast": 5, "slow": 6})
    assert not rule.makes_sense({"fast": 5, "slow": 5})
