"""What a sweep asks, from TOML to tasks: strict about words, exact about numbers, the same every time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import house
import pytest

from backtesting.research.choices import points_of
from backtesting.research.spec import Range, Spec, read_spec
from data.model.errors import UsageError

SMALL = """
name = "small"
symbols = "BTCUSDT"
interval = "1h"
windows = [{ start_on = 2025-04-01, end_on = 2025-04-10 }]
[[strategies]]
name = "sma_crossover"
parameters = { fast = [5, 10], slow = { from = 10, to = 30, step = 10 } }
"""


def spec_of(tmp_path: Path, text: str) -> Spec:
    path = tmp_path / "spec.toml"
    path.write_text(text)
    return read_spec(path)


def test_the_example_is_read_and_every_word_is_in_it() -> None:
    found = read_spec(house.ROOT / "sweep.example.toml")
    text = (house.ROOT / "sweep.example.toml").read_text()
    assert found.agents is not None
    for model in (found, found.costs, found.limits, found.agents, found.search):
        for name in type(model).model_fields:
            assert name in text, name
    assert points_of(found).left_out > 0


def test_one_value_a_list_and_a_range_are_taken(tmp_path: Path) -> None:
    found = spec_of(tmp_path, SMALL)
    assert found.symbols == ("BTCUSDT",)
    assert found.strategies[0].parameters == {"fast": (5, 10), "slow": Range(first=10, last=30, step=10)}


def test_a_grid_is_every_combination_that_makes_sense(tmp_path: Path) -> None:
    found = points_of(spec_of(tmp_path, SMALL))
    pairs = {(point.parameters["fast"], point.parameters["slow"]) for point in found.points}
    assert pairs == {(5, 10), (5, 20), (5, 30), (10, 20), (10, 30)}
    assert found.left_out == 1


def test_numbers_keep_their_decimals(tmp_path: Path) -> None:
    found = points_of(spec_of(tmp_path, SMALL + "[limits]\nstop_loss = { from = 0.1, to = 0.3, step = 0.1 }\n"))
    assert {point.terms.stop_loss for point in found.points} == {Decimal("0.1"), Decimal("0.2"), Decimal("0.3")}


def test_a_stop_of_zero_is_none(tmp_path: Path) -> None:
    found = points_of(spec_of(tmp_path, SMALL + "[limits]\nstop_loss = [0, 0.1]\n"))
    assert {point.terms.stop_loss for point in found.points} == {None, Decimal("0.1")}


RANDOM = SMALL.replace("[[strategies]]", 'search = { method = "random", count = 4, seed = SEED }\n[[strategies]]', 1)


def test_what_is_drawn_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    drawn = [points_of(spec_of(tmp_path, RANDOM.replace("SEED", seed))) for seed in ("1", "1", "2")]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len({str(point) for point in each.points}) for each in drawn] == [4, 4, 4]


def test_a_range_without_a_step_is_drawn_within_its_bounds(tmp_path: Path) -> None:
    text = RANDOM.replace("SEED", "1").replace("count = 4", "count = 300")
    text = text.replace(", step = 10", "").replace("to = 30", "to = 4000").replace("fast = [5, 10]", "fast = 5")
    found = points_of(spec_of(tmp_path, text + "[limits]\nstop_loss = { from = 0.01, to = 0.02 }\n"))
    stops = [point.terms.stop_loss or Decimal(0) for point in found.points]
    assert len(set(stops)) > 250
    assert min(stops) >= Decimal("0.01")
    assert max(stops) <= Decimal("0.02")
    assert all(10 <= point.parameters["slow"] <= 4000 for point in found.points)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("parameters", "params", "strategies.0.params: Extra inputs"),
        ("[5, 10]", '["a"]', "strategies.0.parameters.fast.0"),
        ('"1h"', '"7h"', "interval: '7h' is not a valid Interval"),
        ("2025-04-10", '"2025"', "windows.0.end_on"),
        ("to = 30", "to = 3", "to = 3 lies below from = 10"),
        ('name = "small"', 'name = "a/b"', "name: String should match"),
        ('name = "small"', "", "name: Field required"),
        ("[[strategies]]", "[strategies]]", "is no TOML"),
        ('"BTCUSDT"', '["A", "A"]', "a symbol is named twice"),
        ("[[strategies]]", 'search = { method = "random" }\n[[strategies]]', "random needs count and seed"),
        ("[[strategies]]", "search = { count = 3, seed = 1 }\n[[strategies]]", "grid takes neither"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"spec\.toml") as caught:
        spec_of(tmp_path, SMALL.replace(old, new, 1))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALL.replace('"sma_crossover"', '"sma"'), "unknown strategy 'sma'"),
        (SMALL.replace("fast", "quick"), "no parameter quick"),
        (SMALL.replace("[5, 10]", "[5, 9999]"), "not between"),
        (SMALL.replace(", step = 10", ""), "a grid needs a step"),
        (SMALL.replace("[5, 10]", "99"), "no combination of parameters makes sense"),
        (SMALL + "[limits]\nstop_loss = 1.5\n", "stop_loss = 1.5"),
        (SMALL + "[costs]\ncommission_bps = -1\n", "commission_bps = -1"),
        (RANDOM.replace("SEED", "1").replace("count = 4", "count = 50"), "hardly more than 5 different points"),
    ],
)
def test_what_cannot_be_tried_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        points_of(spec_of(tmp_path, text))


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_spec(tmp_path / "no.toml")
