"""Two runs over the same bars: what they made there, where they decided otherwise and what was said, what both cost.

Limits: bars are paired by open time, so runs over other symbols or intervals are not compared. The interval says how
far the difference could be the luck of these bars; it says nothing of how many runs were compared before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np

from backtesting.accounting.returns import Series
from backtesting.accounting.significance import Range, difference
from backtesting.audit.figures import models_cost
from backtesting.audit.page_data import outcome
from backtesting.audit.story import Reply, Session, Story
from backtesting.audit.story_reader import read_story
from data.journal.reading import read_live
from data.model.canonical import Json, to_json
from data.model.errors import UsageError
from data.model.market import Bar

Place = tuple[datetime, str]


@dataclass(frozen=True)
class Side:
    """One of the runs. `total_return` is over the common bars; `wall_s` None for a run without an end."""

    run_id: str
    model: str
    status: str
    bars: int
    total_return: float
    decisions: int
    failed: int
    calls: int
    tokens: int
    cost_usd: Decimal | None
    wall_s: float | None
    digest: str | None


@dataclass(frozen=True)
class Differing:
    """A decision that came out otherwise: what each run decided, and the sessions with all that was said."""

    symbol: str
    bar_open_time: datetime
    first: Session
    second: Session

    @property
    def outcomes(self) -> tuple[str, str]:
        return outcome(self.first), outcome(self.second)


@dataclass(frozen=True)
class Comparison:
    """`bars` are in both; `gain` is what the second made more there, None for too few bars.

    Of the `paired` decisions about the same bars those that came out otherwise are `differing`; `resized` are those of
    the same action and another quantity. `asked` names what the questions do not have in common, `restated` counts the
    common bars whose prices differ, `unpaired` those between the first and the last of them that one run alone has.
    """

    first: Side
    second: Side
    bars: int
    gain: Range | None
    paired: int
    resized: int
    differing: tuple[Differing, ...]
    asked: tuple[tuple[str, str, str], ...]
    restated: int
    unpaired: int


def compare(first: Path, others: list[Path]) -> tuple[Comparison, ...]:
    """The first with each of the others. Raises UsageError for runs that share no bar, DataError."""
    one = read_story(read_live(first))
    return tuple(_compare(one, read_story(read_live(folder))) for folder in others)


def _compare(one: Story, other: Story) -> Comparison:
    _require_comparable(one, other)
    gains = _returns(one), _returns(other)
    common = sorted(gains[0].keys() & gains[1].keys())
    if not common:
        for story, made in zip((one, other), gains, strict=True):
            if not made:
                raise UsageError(f"{story.run_id} has no bar on record: there is nothing to compare yet")
        raise UsageError(f"{one.run_id} and {other.run_id} have no bar in common: their windows do not overlap")
    decided = _decided(one)
    paired = [(decided[place], session) for place, session in _decided(other).items() if place in decided]
    differing = [(a, b) for a, b in paired if outcome(a) != outcome(b)]
    series = [np.array([made[at] for at in common]) for made in gains]
    return Comparison(
        first=_side(one, series[0]),
        second=_side(other, series[1]),
        bars=len(common),
        gain=difference(series[0], series[1], seed=0),
        paired=len(paired),
        resized=sum(outcome(a) == outcome(b) and _quantities(a) != _quantities(b) for a, b in paired),
        differing=tuple(Differing(a.symbol, a.bar_open_time, a, b) for a, b in differing),
        asked=tuple(_asked_otherwise(one, other)),
        restated=_restated(one, other),
        unpaired=sum(common[0] < at < common[-1] for at in gains[0].keys() ^ gains[1].keys()),
    )


def _require_comparable(one: Story, other: Story) -> None:
    asked = [(story.question.symbols, story.question.interval) for story in (one, other)]
    if (set(asked[0][0]), asked[0][1]) != (set(asked[1][0]), asked[1][1]):
        told = " and ".join(f"{', '.join(symbols)} {interval}" for symbols, interval in asked)
        raise UsageError(f"runs over the same symbols and interval can be compared, not {told}")


def _returns(story: Story) -> dict[datetime, float]:
    """Of each bar by its open time, against the equity before it; where markets close at other hours they compound."""
    before, found = story.question.initial_cash, dict[datetime, float]()
    for point in story.equity:
        made = float(point.row.equity / before) if before > 0 else 1.0
        found[point.bar_open_time] = (1 + found.get(point.bar_open_time, 0.0)) * made - 1
        before = point.row.equity
    return found


def _decided(story: Story) -> dict[Place, Session]:
    return {(each.bar_open_time, each.symbol): each for each in story.sessions if each.decision is not None}


def _quantities(session: Session) -> list[Decimal]:
    assert session.decision is not None
    return [order.quantity for order in session.decision.value.orders]


def _side(story: Story, returns: Series) -> Side:
    end = story.end.body if story.end else {}
    summary = end.get("summary")
    wall = summary.get("wall_s") if isinstance(summary, Mapping) else None
    decided = [each.decision.value for each in story.sessions if each.decision is not None]
    return Side(
        run_id=story.run_id,
        model=str(story.begin.body.get("model_note")).removeprefix("model: "),
        status=str(end.get("status", "no end on record")),
        bars=len({point.bar_open_time for point in story.equity}),
        total_return=float(np.prod(1 + returns) - 1),
        decisions=len(decided),
        failed=sum(each.failure is not None for each in decided),
        calls=len(story.calls),
        tokens=sum(call.input_tokens + call.output_tokens for call in story.calls),
        cost_usd=models_cost(story),
        wall_s=float(wall) if isinstance(wall, int | float) else None,
        digest=None if end.get("result_digest") is None else str(end["result_digest"]),
    )


def said(session: Session) -> dict[str, str]:
    """The last words of each agent, as they were said."""
    return {event.agent: event.text for event in session.events if isinstance(event, Reply)}


def _asked_otherwise(one: Story, other: Story) -> Iterator[tuple[str, str, str]]:
    first, second = (dict(_leaves(to_json(story.question))) for story in (one, other))
    for name in sorted(first.keys() | second.keys()):
        before, now = first.get(name, "-"), second.get(name, "-")
        if before != now:
            yield name, before, now


def _leaves(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Each plain value by the names that lead to it; agents by their role."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            role = inner.get("role", place) if isinstance(inner, Mapping) else place
            yield from _leaves(inner, f"{name}.{role}")
    else:
        yield name, "none" if value is None else str(value)


def _restated(one: Story, other: Story) -> int:
    first, second = ({(bar.open_time, bar.symbol): bar for bar in _bars(story)} for story in (one, other))
    return sum(_prices(first[place]) != _prices(second[place]) for place in first.keys() & second.keys())


def _bars(story: Story) -> Iterator[Bar]:
    return (bar for bars in story.bars.values() for bar in bars)


def _prices(bar: Bar) -> tuple[Decimal, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume
