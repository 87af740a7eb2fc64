"""Indicators against plain arithmetic; absent rather than wrong; the same on every machine."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import desk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.indicators import HORIZONS, indicators, rounded
from data.model.market import Bar


def walk(length: int, seed: int = 7, start: float = 100.0) -> list[float]:
    dice = random.Random(seed)
    closes = [start]
    while len(closes) < length:
        closes.append(round(closes[-1] * math.exp(dice.gauss(0, 0.01)), 2))
    return closes


def read(closes: list[float], **more: Any) -> dict[str, Any]:
    return dict(indicators(desk.market(closes, **more)))


def numbers(block: Any) -> list[float]:
    if isinstance(block, dict):
        return [number for item in block.values() for number in numbers(item)]
    return [] if isinstance(block, str) else [block]


def wilder(values: list[float], period: int = 14) -> float:
    """Wilder's smoothing, as he wrote it: the first mean, then one part in `period` of each new value."""
    smooth = sum(values[:period]) / period
    for value in values[period:]:
        smooth = (smooth * (period - 1) + value) / period
    return smooth


def test_averages_are_what_the_definition_says() -> None:
    closes = walk(250)
    trend = read(closes)["trend"]
    for name, length in HORIZONS.items():
        assert trend[name][f"sma_{length}"] == pytest.approx(sum(closes[-length:]) / length, rel=1e-6)
    smooth = sum(closes[:20]) / 20
    for close in closes[20:]:
        smooth += (close - smooth) * 2 / 21
    assert trend["short"]["ema_20"] == pytest.approx(smooth, rel=1e-6)


def test_wilders_figures_are_what_he_says() -> None:
    closes = walk(250)
    moves = [after - before for before, after in pairwise(closes)]
    up, down = (wilder([max(sign * move, 0) for move in moves]) for sign in (1, -1))
    ranges = [max(c + 1, before) - min(c - 1, before) for before, c in pairwise(closes)]
    found = read(closes)
    assert found["momentum"]["rsi_14"] == pytest.approx(100 * up / (up + down), rel=1e-2)
    assert found["volatility"]["atr_14"] == pytest.approx(wilder(ranges), rel=1e-4)
    assert found["volatility"]["atr_fraction"] == pytest.approx(wilder(ranges) / closes[-1], rel=1e-3)


def test_changes_and_ranges_are_plain_arithmetic() -> None:
    closes = walk(250)
    found = read(closes)
    for length, change in found["momentum"]["change_over_bars"].items():
        assert change == pytest.approx(closes[-1] / closes[-1 - int(length)] - 1, rel=1e-3)
    assert found["levels"]["range_20"]["high"] == pytest.approx(max(closes[-21:-1]) + 1)
    assert found["levels"]["range_20"]["low"] == pytest.approx(min(closes[-21:-1]) - 1)


RISING = [100 + number * 0.5 for number in range(250)]


@pytest.mark.parametrize(
    ("closes", "trend", "leader", "strength", "place"),
    [
        (RISING, "up: price above a rising average", "a strong trend, buyers lead", "deeply overbought", "inside"),
        (
            RISING[::-1],
            "down: price below a falling average",
            "a strong trend, sellers lead",
            "deeply oversold",
            "inside",
        ),
        ([*RISING, 400.0], "up: price above a rising average", "a strong trend, buyers lead", None, "broke out above"),
        ([*RISING[::-1], 20.0], "down: price below a falling average", None, None, "broke down below"),
    ],
)
def test_plain_words_for_plain_markets(
    closes: list[float], trend: str, leader: str | None, strength: str | None, place: str
) -> None:
    found = read(closes)
    assert {found["trend"][name]["words"] for name in HORIZONS} == {trend}
    assert leader in (None, found["trend"]["adx_14"]["words"])
    assert strength in (None, found["momentum"]["words"])
    assert found["levels"]["range_20"]["words"] == place


def test_volume_against_its_mean() -> None:
    bars = list(desk.market(walk(60), volume=10))
    found = dict(indicators([*bars[:-1], replace(bars[-1], volume=Decimal(25))]))["volume"]
    assert found == {"last": 25, "mean_20": 10, "ratio": 2.5, "words": "heavy"}


def test_support_and_resistance_are_turning_points_beside_the_price() -> None:
    waves = [100 + 10 * math.sin(number / 5) for number in range(200)]
    found = read([*waves, 100.0])["levels"]
    assert found["support"]["price"] == pytest.approx(89, abs=0.5)
    assert found["resistance"]["price"] == pytest.approx(111, abs=0.5)


# The bars from which each figure is there, and one less is not enough.
WARM_UPS = {
    ("trend", "short", "sma_20"): 20,
    ("trend", "short", "ema_20"): 50,
    ("trend", "medium", "sma_50"): 50,
    ("trend", "medium", "ema_50"): 125,
    ("trend", "long", "sma_200"): 200,
    ("trend", "long", "ema_200"): 500,
    ("trend", "macd", "histogram"): 80,
    ("trend", "adx_14", "value"): 84,
    ("momentum", "rsi_14"): 56,
    ("momentum", "change_over_bars", "20"): 21,
    ("volatility", "atr_14"): 56,
    ("volatility", "atr_rank"): 155,
    ("volatility", "realised_per_bar_20"): 21,
    ("volatility", "bollinger_20", "position"): 20,
    ("volume", "ratio"): 21,
    ("levels", "range_20", "high"): 21,
    ("levels", "range_100", "high"): 101,
}


@pytest.mark.parametrize(("path", "needed"), WARM_UPS.items(), ids=str)
def test_with_too_few_bars_a_figure_is_absent(path: tuple[str, ...], needed: int) -> None:
    def there(bars: int) -> bool:
        found: Any = read(walk(bars))
        for name in path:
            found = found.get(name, {})
        return found != {}

    assert not there(needed - 1)
    assert there(needed)


@pytest.mark.parametrize("length", ["ema_20", "ema_50", "rsi_14", "atr_14", "adx_14", "histogram"])
def test_what_is_there_no_longer_depends_on_where_the_bars_begin(length: str) -> None:
    """Wilder's and exponential smoothing never forget: by the time a figure is shown, its start must not matter."""
    closes = walk(500, seed=3)
    whole, part = (json.loads(json.dumps(read(closes[-count:]))) for count in (500, 250))

    def find(block: Any) -> Any:
        if not isinstance(block, dict):
            return None
        if length in block:
            return block[length]["value"] if length == "adx_14" else block[length]
        return next((found for inner in block.values() if (found := find(inner)) is not None), None)

    assert find(part) == pytest.approx(find(whole), rel=1e-2, abs=1e-2)


def test_prices_below_zero_have_no_rates_and_still_a_trend() -> None:
    found = read([20 - number * 0.25 for number in range(200)])
    assert "realised_per_bar_20" not in found["volatility"]
    assert "atr_fraction" not in found["volatility"]
    assert "change_over_bars" not in found["momentum"]
    assert found["trend"]["medium"]["words"] == "down: price below a falling average"
    assert found["trend"]["short"]["price_above_sma_in_atr"] < 0


@pytest.mark.parametrize("price", [0.0, 5.0, -37.63])
def test_a_market_that_stands_still_says_so_little(price: float) -> None:
    found = read([price] * 250, spread=0.0, volume=0.0)
    assert "volume" not in found
    assert "rsi_14" not in found.get("momentum", {})
    assert set(found.get("volatility", {})) <= {"realised_per_bar_20"}


prices = st.floats(-50, 1e6, allow_nan=False).map(lambda number: round(number, 4))


@given(st.lists(prices, min_size=1, max_size=120), st.sampled_from([0.0, 0.01, 3.0]), st.sampled_from([0.0, 1e9]))
def test_whatever_the_bars_every_number_is_finite_and_short(closes: list[float], spread: float, volume: float) -> None:
    found = read(closes, spread=spread, volume=volume)
    assert all(math.isfinite(number) and number == rounded(number, 7) for number in numbers(found))
    json.dumps(found, allow_nan=False)


@given(st.integers(0, 200))
def test_only_the_ranges_and_closes_count(seed: int) -> None:
    bars = desk.market(walk(60, seed))
    assert indicators(bars) == indicators(tuple(bars))
    moved: list[Bar] = [replace(bar, symbol="OTHER", open=bar.open + 5) for bar in bars]
    assert indicators(moved) == indicators(bars)


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (82550.0, 7, "82550"),
        (78267.694999, 7, "78267.69"),
        (0.000012345678, 5, "1.2346e-05"),
        (1.0, 5, "1"),
        (-0.0, 5, "0"),
        (123456789.0, 5, "123460000"),
        (1e22, 5, "1e+22"),
        (2 / 3, 3, "0.667"),
        (math.nan, 5, "null"),
        (math.inf, 5, "null"),
    ],
)
def test_numbers_are_written_with_few_digits_and_always_alike(value: float, digits: int, shown: str) -> None:
    assert json.dumps(rounded(value, digits)) == shown
