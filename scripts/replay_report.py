"""What a replay found, for people and for programs. All text out of the record is escaped."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from backtesting.core.replay import Changed, Replayed
from data.model.canonical import decimal_text, to_json
from data.model.escape import escape_block, escape_line
from data.model.instants import show


def for_people(found: Replayed, *, detailed: bool) -> Iterator[str]:
    """Lines. `detailed`: the last decision whole."""
    tape = found.tape
    yield f"{escape_line(found.begun.run_id)}: {len(tape.decisions)} decisions and {found.replies} replies met again"
    if found.divergence is not None:
        yield from _divergence(found)
    elif found.digest is None:
        if not detailed:
            yield "the record has no end, so there is no result to compare; all that is recorded was met again"
    elif found.is_same and not found.asked_otherwise:  # with other prompts the answers, and so the result, only stand
        yield f"SAME RESULT: {found.digest}"
    elif not found.is_same:
        yield f"ANOTHER RESULT: {found.digest}, recorded {escape_line(str(found.recorded_digest))}"
    if found.asked_otherwise:
        yield from _asked_otherwise(found.asked_otherwise)
    if detailed and tape.decisions:
        yield from _last(found)


def for_programs(found: Replayed) -> dict[str, Any]:
    """One JSON object."""
    parted = found.divergence
    return {
        "run_id": found.begun.run_id,
        "same": found.is_same,
        "recorded_digest": found.recorded_digest,
        "result_digest": found.digest,
        "decisions": len(found.tape.decisions),
        "replies": found.replies,
        "divergence": None
        if parted is None
        else {
            "slot": parted.slot,
            "kind": parted.kind,
            "record": parted.seq,
            "pointer": parted.difference.pointer,
            "recorded": parted.difference.before,
            "now": parted.difference.now,
        },
        "changed_files": list(found.changed_files),
        "asked_otherwise": to_json(list(found.asked_otherwise)),
        "last_decision": to_json(found.tape.decisions[-1]) if found.tape.decisions else None,
        "last_equity": to_json(found.tape.equity[-1]) if found.tape.equity else None,
    }


def _divergence(found: Replayed) -> Iterator[str]:
    parted = found.divergence
    assert parted is not None
    yield f"DIVERGED at {escape_line(parted.slot or parted.kind)} (record {parted.seq}, {escape_line(parted.kind)})"
    yield f"  where     {escape_line(parted.difference.pointer) or 'the whole of it'}"
    yield f"  recorded  {escape_line(parted.difference.before)}"
    yield f"  now       {escape_line(parted.difference.now)}"
    for name in found.changed_files:
        yield f"  since then: {escape_line(name)}"
    if not found.changed_files:
        yield "  no file of the code, the prompts or the lock has changed since then"


def _asked_otherwise(changes: tuple[Changed, ...]) -> Iterator[str]:
    yield f"{len(changes)} requests would have been others; the recorded replies were kept. The first of each agent:"
    seen: set[str] = set()
    for change in changes:
        agent = change.slot.split("/")[-2]
        if agent in seen:
            continue
        seen.add(agent)
        yield f"{escape_line(change.slot)} (record {change.seq})"
        for text in change.texts:
            yield f"  {escape_line(text.pointer)}"
            lines = difflib.unified_diff(text.before.splitlines(), text.now.splitlines(), lineterm="", n=1)
            yield from (f"    {escape_block(line)}" for line in list(lines)[2:])


def _last(found: Replayed) -> Iterator[str]:
    decision, row = found.tape.decisions[-1], found.tape.equity[-1]
    said = decision.status.value
    if decision.action is not None and decision.confidence is not None:
        said = f"{decision.action.value}, confidence {decimal_text(decision.confidence)}"
    yield f"decision {len(found.tape.decisions)}, {escape_line(decision.symbol)} as of {show(decision.as_of)}: {said}"
    yield from (f"  because   {escape_line(reason)}" for reason in decision.reasons)
    yield from (f"  clamp     {clamp.rule}: {clamp.field} {clamp.before} to {clamp.after}" for clamp in decision.clamps)
    for order in decision.orders:
        yield f"  order     {order.side} {decimal_text(order.quantity)} {escape_line(order.symbol)} to {order.purpose}"
    if decision.failure is not None:
        yield f"  failed    {decision.failure.reason}: {escape_line(decision.failure.detail)}"
    yield f"  equity    {row.equity:,.2f}, cash {row.cash:,.2f} at {show(row.at)}"
