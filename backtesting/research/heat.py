"""Heat maps of a sweep: the mean Sharpe ratio over two parameters, one map for each strategy, symbol and window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from backtesting.audit.amounts import MINUS
from backtesting.research.outcomes import Outcome, Outcomes

MOST_MAPS, MOST_VALUES, RANGES = 12, 20, 8
SHADES = 5
"""Steps of colour on each side of zero."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`shade` from -SHADES to SHADES; `trials` is how many are in the mean. None of them: no text."""

    text: str
    shade: int
    title: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """`rows` is what each row is called, with its cells. `others` are parameters that the mean runs over."""

    who: str
    where: str
    across: str
    down: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    others: tuple[str, ...]


def heat_maps(outcomes: Outcomes) -> tuple[HeatMap, ...]:
    """At most MOST_MAPS, those with the best trials first; none for what has no parameter that varies."""
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for each in outcomes.ranked:
        groups.setdefault((each.who, each.question.symbol, each.window), []).append(each)
    largest = max((abs(_sharpe(each)) for each in outcomes.ranked), default=1.0) or 1.0
    maps = (_map(outcomes, group, largest) for group in groups.values())
    return tuple(islice((each for each in maps if each.across), MOST_MAPS))


def _map(outcomes: Outcomes, group: Sequence[Outcome], largest: float) -> HeatMap:
    first = group[0]
    varied = [outcomes.varied(each) for each in group]
    counts = {name: len({each[name] for each in varied}) for name in varied[0]}
    names = [name for name, count in counts.items() if count > 1]
    across, down = (*names, "", "")[:2]
    columns, column_of = _axis([each.get(across, "all") for each in varied])
    rows, row_of = _axis([each.get(down, "all") for each in varied])
    cells: dict[tuple[int, int], list[float]] = {}
    for each, values in zip(group, varied, strict=True):
        place = (row_of[values.get(down, "all")], column_of[values.get(across, "all")])
        cells.setdefault(place, []).append(_sharpe(each))
    grid = tuple(
        (label, tuple(_cell(cells.get((row, column), []), largest) for column in range(len(columns))))
        for row, label in enumerate(rows)
    )
    where = f"{first.question.symbol}, {first.window}"
    return HeatMap(first.who, where, across, down, columns, grid, tuple(names[2:]))


def _axis(values: Sequence[object]) -> tuple[tuple[str, ...], Mapping[object, int]]:
    """Labels in order, and the place of each value; many different numbers go into ranges of one width."""
    distinct = sorted(set(values), key=_order)
    numbers = [float(str(value)) for value in distinct] if all(_is_number(value) for value in distinct) else []
    if len(distinct) <= MOST_VALUES or not numbers:
        return tuple(map(str, distinct)), {value: place for place, value in enumerate(distinct)}
    low, width = numbers[0], (numbers[-1] - numbers[0]) / RANGES
    labels = tuple(f"{low + place * width:.3g} to {low + (place + 1) * width:.3g}" for place in range(RANGES))
    places = (min(int((number - low) / width), RANGES - 1) for number in numbers)
    return labels, dict(zip(distinct, places, strict=True))


def _cell(values: Sequence[float], largest: float) -> Cell:
    if not values:
        return Cell("", 0, "no trial")
    mean = fmean(values)
    said = f"mean of {len(values)} trials" if len(values) > 1 else "one trial"
    return Cell(f"{mean:.2f}".replace("-", MINUS), round(SHADES * mean / largest), said)


def _sharpe(outcome: Outcome) -> float:
    assert outcome.trial is not None
    assert outcome.trial.sharpe is not None
    return outcome.trial.sharpe


def _order(value: object) -> tuple[bool, float, str]:
    return (not _is_number(value), float(str(value)) if _is_number(value) else 0.0, str(value))


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
