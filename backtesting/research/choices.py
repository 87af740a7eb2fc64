"""The points of a search: every combination of a grid, or as many different ones as were asked for, drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from random import Random
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from backtesting.research.questions import StopLoss, TakeProfit
from backtesting.research.spec import MOST_POINTS, Axis, CostChoice, LimitChoice, Range, Search, Spec, StrategyChoice
from backtesting.research.strategies import Number, Strategy, strategy
from data.model.canonical import digest
from data.model.errors import UsageError
from data.model.question import Costs, Limits

DIGITS = 6
"""Significant digits of a number that is drawn from a range without a step."""
_Values: TypeAlias = Mapping[str, object]
_COSTS, _STOPS = ("commission_bps", "slippage_bps"), ("stop_loss", "take_profit")


class Terms(BaseModel):
    """What trading costs and what it keeps to; a stop or a target of None is none."""

    model_config = ConfigDict(frozen=True)

    costs: Costs
    limits: Limits
    stop_loss: StopLoss = None
    take_profit: TakeProfit = None


@dataclass(frozen=True)
class Point:
    """One strategy with every parameter set, under its terms."""

    strategy: str
    parameters: Mapping[str, Number]
    terms: Terms


@dataclass(frozen=True)
class Found:
    """The points of a search; `left_out` combinations made no sense (a fast average slower than the slow one)."""

    points: tuple[Point, ...]
    left_out: int


def points_of(spec: Spec) -> Found:
    """Raises UsageError: an unknown strategy or parameter, a value out of bounds, more to draw than there is."""
    spaces = [_Space(choice, strategy(choice.name), spec) for choice in spec.strategies]
    if not spaces:
        return Found((), 0)
    candidates = _drawn(spaces, spec.search) if spec.search.method == "random" else _every(spaces)
    points: dict[str, Point] = {}
    left_out = 0
    for point in candidates:
        if point is None:
            left_out += 1
            continue
        points[digest(point)] = point
        if len(points) == spec.search.count:
            return Found(tuple(points.values()), left_out)
    if spec.search.count is not None:
        raise UsageError(f"search: there are hardly more than {len(points)} different points, not {spec.search.count}")
    if not points:
        raise UsageError("search: no combination of parameters makes sense; see the strategies' parameters")
    return Found(tuple(points.values()), left_out)


def terms_of(spec: Spec) -> tuple[Terms, ...]:
    """Every combination of costs, size and short selling, for agents: these set their own stops."""
    axes = {name: axis for name, axis in _term_axes(spec.costs, spec.limits).items() if name not in _STOPS}
    return tuple(_terms(dict(zip(axes, each, strict=True)), spec) for each in product(*map(_listed, axes.values())))


@dataclass(frozen=True)
class _Space:
    choice: StrategyChoice
    rule: Strategy
    spec: Spec

    @property
    def axes(self) -> dict[str, Axis | tuple[bool, ...]]:
        return {f"parameter {name}": axis for name, axis in self.choice.parameters.items()} | _term_axes(
            self.spec.costs, self.spec.limits
        )

    def point(self, values: _Values) -> Point | None:
        """None for parameters that do not fit together."""
        given = {name.partition(" ")[2]: value for name, value in values.items() if name.startswith("parameter ")}
        settled = self.rule.settle(given)
        terms = _terms({name: value for name, value in values.items() if not name.startswith("parameter ")}, self.spec)
        return Point(self.rule.name, settled, terms) if self.rule.makes_sense(settled) else None


def _term_axes(costs: CostChoice, limits: LimitChoice) -> dict[str, Axis | tuple[bool, ...]]:
    axes: dict[str, Axis | tuple[bool, ...]] = {name: getattr(costs, name) for name in _COSTS}
    return axes | {name: getattr(limits, name) for name in (*_STOPS, "position_size", "allow_short")}


def _terms(values: _Values, spec: Spec) -> Terms:
    """A stop or a target of 0 is none."""
    stops = {name: values.get(name) or None for name in _STOPS}
    kept = {"volume_cap": spec.limits.volume_cap, **{name: values[name] for name in ("position_size", "allow_short")}}
    costs = {name: values[name] for name in _COSTS}
    try:
        return Terms.model_validate({"costs": costs, "limits": kept, **stops})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))} = {first['input']}: {first['msg']}") from None


def _every(spaces: list[_Space]) -> Iterator[Point | None]:
    for space in spaces:
        axes = {name: _listed(axis) for name, axis in space.axes.items()}
        size = 1
        for values in axes.values():
            size *= len(values)
        if size > MOST_POINTS:
            raise UsageError(f'search: {space.rule.name} alone has {size} combinations; draw some: method = "random"')
        for each in product(*axes.values()):
            yield space.point(dict(zip(axes, each, strict=True)))


def _drawn(spaces: list[_Space], search: Search) -> Iterator[Point | None]:
    """Draws without end but for a bound: a small space gives the same points over and over."""
    chance = Random(search.seed)  # noqa: S311 - repeatable by its seed, and no secret
    assert search.count is not None
    for _ in range(100 * search.count + 1000):
        space = chance.choice(spaces)
        yield space.point({name: _draw(axis, chance) for name, axis in space.axes.items()})


def _draw(axis: Axis | tuple[bool, ...], chance: Random) -> object:
    if not isinstance(axis, Range):
        return chance.choice(axis)
    if axis.step is not None:
        return axis.at(chance.randrange(axis.count))
    if isinstance(axis.first, int) and isinstance(axis.last, int):
        return chance.randint(axis.first, axis.last)
    drawn = chance.uniform(float(axis.first), float(axis.last))
    return min(max(Decimal(f"{drawn:.{DIGITS}g}"), Decimal(axis.first)), Decimal(axis.last))


def _listed(axis: Axis | tuple[bool, ...]) -> tuple[object, ...]:
    return axis.values if isinstance(axis, Range) else axis
