"""A measured figure, and how to measure: alternately with its reference, warmed up, medians over rounds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a value is to reach: at most `bound`, or at least."""

    bound: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `reference` is what the thing named by `against` came to in the same run, in the same unit."""

    name: str
    value: float
    unit: str
    against: str
    reference: float
    to_reach: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Value over reference; None if that is zero."""
        return self.value / self.reference if self.reference else None

    @property
    def reached(self) -> bool | None:
        """None without a goal."""
        return None if self.to_reach is None else self.to_reach.met_by(self.value)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds on the wall's clock, and of CPU in this process."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """What one call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(
    contestants: Mapping[str, Callable[[], T]], rounds: int, tell: Callable[[str], None]
) -> dict[str, tuple[T, ...]]:
    """What each returned, round by round; the order turns over, and a first round is thrown away."""
    found: dict[str, list[T]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds + 1):
        tell(f"  round {number} of {rounds}" if number else "  warming up")
        for name in names if number % 2 else reversed(names):
            result = contestants[name]()
            if number:
                found[name].append(result)
    return {name: tuple(results) for name, results in found.items()}


def middle(values: Sequence[float]) -> float:
    return float(median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: the smallest value that `percent` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
