"""The work behind `scripts.runs compare`. What models wrote is escaped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence

from backtesting.accounting.significance import FEWEST
from backtesting.audit.comparison import Comparison, Differing, Side, compare, said
from backtesting.audit.story import Session
from data.door import run_folder
from data.model.canonical import Json, to_json
from data.model.decisions import Abstention, Role
from data.model.errors import UsageError
from data.model.escape import escape_line
from data.model.instants import iso, show
from scripts.runs_cards import rate, usd

WORDS = 160


def compare_runs(options: argparse.Namespace) -> int:
    """Prints what the first run has in common with each of the others."""
    if len(options.run) < 2:
        raise UsageError("compare takes two runs or more: python -m scripts.runs compare RUN OTHER")
    if options.show < 0:
        raise UsageError("--show must be 0 or more")
    first, *others = (run_folder(run, options.runs) for run in options.run)
    found = compare(first, others)
    if options.json:
        print(json.dumps({"comparisons": [for_programs(each) for each in found]}))
        return 0
    print("\n\n".join("\n".join(shown(each, options.show)) for each in found))
    return 0


def shown(found: Comparison, most: int) -> Iterator[str]:
    """Lines; `most` decisions that differ are told with what was said."""
    yield from _side_by_side(found)
    yield ""
    for name, before, now in found.asked:
        yield escape_line(f"asked otherwise  {name}: {before} | {now}")
    if found.restated:
        yield f"warning: {found.restated} common bars do not have the same prices: the data were corrected in between"
    if found.unpaired:
        yield f"warning: of the bars between the first and the last common one {found.unpaired} are in one run alone"
    if {found.first.bars, found.second.bars} != {found.bars}:
        yield f"only the return is over the {found.bars} common bars; decisions, calls, cost and time are whole runs'"
    yield f"difference       {_gain(found)}"
    same = found.paired - len(found.differing)
    resized = f", {found.resized} of them of another size" if found.resized else ""
    alike = f"{same} came out alike{resized}, {len(found.differing)} not"
    yield f"decisions        {found.paired} about the same bars: {alike}"
    for each in found.differing[:most]:
        yield from _told(each)
    if len(found.differing) > most:
        yield f"and {len(found.differing) - most} more: --show {len(found.differing)} shows all"


def for_programs(found: Comparison) -> dict[str, Json]:
    """One object; words as they were said."""
    sides: dict[str, Json] = {name: _side(getattr(found, name)) for name in ("first", "second")}
    return {
        **sides,
        "bars": found.bars,
        "difference": to_json(found.gain),
        "paired_decisions": found.paired,
        "resized": found.resized,
        "asked_otherwise": [{"name": name, "first": before, "second": now} for name, before, now in found.asked],
        "restated_bars": found.restated,
        "unpaired_bars": found.unpaired,
        "differing": [_differing(each) for each in found.differing],
    }


def _side_by_side(found: Comparison) -> Iterator[str]:
    rows = [
        ("", "first", "second"),
        *((name, *(value(side) for side in (found.first, found.second))) for name, value in _ROWS),
    ]
    width = max(len(row[1]) for row in rows)
    for name, first, second in rows:
        yield f"{name:15}  {escape_line(first).ljust(width)}  {escape_line(second)}".rstrip()


_ROWS: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("run", lambda side: side.run_id),
    ("status", lambda side: side.status),
    ("model", lambda side: side.model),
    ("bars", lambda side: str(side.bars)),
    ("return there", lambda side: rate(side.total_return)),
    ("decisions", lambda side: f"{side.decisions:,}, {side.failed:,} failed"),
    ("calls, tokens", lambda side: f"{side.calls:,}, {side.tokens:,}"),
    ("cost USD", lambda side: usd(side.cost_usd)),
    ("time", lambda side: "-" if side.wall_s is None else f"{side.wall_s:.1f} s"),
    ("result digest", lambda side: (side.digest or "-")[:12]),
)


def _gain(found: Comparison) -> str:
    over = f"over {found.bars:,} common bars"
    if found.first.digest is not None and found.first.digest == found.second.digest:
        return f"none: the same result {over}"
    if found.gain is None:
        apart = found.second.total_return - found.first.total_return
        return f"the second made {_points(apart)} percentage points more {over}; an interval needs {FEWEST} bars"
    gain = found.gain
    if gain.value == gain.low == gain.high == 0:
        return f"none: the same return at each of {found.bars:,} common bars"
    drawn = f"{gain.level:.0%} interval {_points(gain.low)} to {_points(gain.high)}, the same bars drawn for both"
    luck = "; it can be luck" if gain.low <= 0 <= gain.high else ""
    return f"the second made {_points(gain.value)} percentage points more {over} ({drawn}){luck}"


def _points(value: float) -> str:
    return f"{value * 100:+.2f}"


def _told(each: Differing) -> Iterator[str]:
    yield ""
    first, second = each.outcomes
    yield f"{show(each.bar_open_time)}  {escape_line(each.symbol)}: {first} | {second}"
    for role in Role:
        one, other = _words(each.first, role), _words(each.second, role)
        told = (("both", one),) if one == other else (("first", one), ("second", other))
        for who, words in told:
            if words is not None:
                yield f"    {role.shown}, {who}: {escape_line(_cut(words))}"


def _words(session: Session, role: Role) -> str | None:
    """What an agent came to, and why, in its words; None for one that was not heard."""
    entry = session.answers.get(role.agent)
    if entry is None:
        failure = session.decision.value.failure if session.decision else None
        return f"failed, {failure.reason}: {failure.detail}" if failure and failure.agent == role.agent else None
    if isinstance(entry.value, Abstention):
        return f"abstains: {entry.value.reason}"
    return f"{entry.value.action} {entry.value.confidence}: {' '.join(entry.value.reasons)}"


def _cut(words: str) -> str:
    return words if len(words) <= WORDS else f"{words[:WORDS]}…"


def _side(side: Side) -> Json:
    body = to_json(side)
    assert isinstance(body, dict)
    return {**body, "cost_usd": None if side.cost_usd is None else float(side.cost_usd)}


def _differing(each: Differing) -> Json:
    told: Sequence[tuple[str, Session]] = (("first", each.first), ("second", each.second))
    return {
        "symbol": each.symbol,
        "bar_open_time": iso(each.bar_open_time),
        "outcomes": [*each.outcomes],
        **{name: _session(session) for name, session in told},
    }


def _session(session: Session) -> Json:
    decision = session.decision
    return {
        "said": {**said(session)},
        "decision": None if decision is None else to_json(decision.value),
        "record": session.seq if decision is None else decision.seq,
    }
