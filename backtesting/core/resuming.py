"""How a run goes on: what of its record counts, and what is to be done again.

A run goes on behind its last whole decision. What was recorded of the next one is set aside and played again, its
model's answers delivered from the record. The failures that stopped a run are provisional: those decisions are asked
again, but of the agents that failed only. So is a server's trouble that only sessions met whose decision was not made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from agents.llm.channel import Totals
from backtesting.audit.story import parse
from backtesting.core.environment import environment
from backtesting.core.purse import is_unbilled, left_of_budget
from data.journal.notes import encode
from data.journal.opened import OpenLog, settle
from data.journal.reading import EXCHANGES
from data.journal.shelf import Place, Shelf
from data.model.canonical import sha256_hex
from data.model.decisions import FailureReason
from data.model.protocols import Journal

_NO_ANSWER = frozenset(
    {
        FailureReason.UNREACHABLE,
        FailureReason.TIMEOUT,
        FailureReason.RATE_LIMITED,
        FailureReason.SERVER_ERROR,
        FailureReason.REQUEST_REJECTED,
    }
)
_NOTHING = (None, None)


@dataclass(frozen=True)
class Plan:
    """What going on begins with: where it cuts, whom it asks again, and which requests nobody knows the answer to.

    `max_failures` failed decisions in a row stop it from now on.
    """

    cut: int
    asked_again: tuple[int, ...]
    orphans: tuple[Place, ...]
    max_failures: int


def plan(shelf: Shelf, max_failures: int) -> Plan:
    """Reads the log's end. `max_failures` failed decisions in a row stop the run from now on; what stopped it before is
    provisional whatever is said now."""
    live = shelf.live()
    sessions = list(_sessions(live))
    streak = _streak(shelf, sessions)
    if len(streak) < min(max_failures, _most_failures(shelf) or max_failures):
        streak = []
    ends = [end for _, _, end in sessions]
    cut = streak[0][0] if streak else ends[-1] + 1 if ends else 1
    failed = tuple(slot for _, slot in streak)
    again = {place.seq for place in live if place.kind in EXCHANGES and (place.slot or "").startswith(failed)}
    ahead = _failed_ahead(shelf, live, sessions, frozenset(FailureReason) if streak else _NO_ANSWER)
    return Plan(cut, tuple(sorted((again if failed else set()) | ahead)), tuple(_orphans(shelf.places)), max_failures)


def write_recovery(
    journal: Journal, log: OpenLog, shelf: Shelf, found: Plan, root: Path, budget_usd: Decimal | None
) -> None:
    """The records that a run goes on behind. `budget_usd` is for what comes."""
    lost = {"head": log.lost[-1][0].head, "notes": "\n".join(note for _, note in log.lost)} if log.lost else None
    torn = {"bytes": len(log.torn), "sha256": sha256_hex(log.torn), "base64": encode(log.torn)} if log.torn else None
    journal.append(
        "recovery",
        {
            "cut": found.cut,
            "asked_again": found.asked_again,
            "torn": torn,
            "lost": lost,
            "environment": environment(root),
            "budget_usd": budget_usd,
            "max_failures": found.max_failures,
        },
    )
    for place in found.orphans:
        agent = shelf.read(place).body["agent"]
        body = {"request": place.seq, "agent": agent, "note": "possibly paid"}
        journal.append("orphan", body, slot=place.slot, caused_by=(place.seq,))
    journal.sync()
    settle(log.folder)


@dataclass(frozen=True)
class Before:
    """What the run's calls came to until now, set aside or not; `answered` is what each good answer cost.

    `left_usd` is what they left of the budget that was said last; None where there is none.
    """

    totals: Totals = field(default_factory=Totals)
    answered: Mapping[int, Decimal | None] = field(default_factory=dict)
    left_usd: Decimal | None = None


def so_far(shelf: Shelf) -> Before:
    """Reads every answer of the log."""
    totals = Totals(possibly_paid=len(list(_orphans(shelf.places))))
    answers: dict[int, Decimal | None] = {}
    cost: Decimal | None = Decimal(0)
    calls, retries, tokens, paid = totals.possibly_paid, 0, [0, 0], totals.possibly_paid
    for place in shelf.places:
        if place.kind != "llm.response":
            continue
        body = shelf.read(place).body
        calls += body["audit.attempt"] == 1
        retries += body["audit.attempt"] != 1
        if body["fault"] is None:
            answers[place.seq] = None if body["cost_usd"] is None else Decimal(str(body["cost_usd"]))
        answered = body["gen_ai.response.model"] is not None or body["cost_usd"] is not None
        tokens[0] += parse(int, body["gen_ai.usage.input_tokens"] or 0)
        tokens[1] += parse(int, body["gen_ai.usage.output_tokens"] or 0)
        if answered:
            cost = None if cost is None or body["cost_usd"] is None else cost + Decimal(str(body["cost_usd"]))
        elif is_unbilled(body):
            paid += 1
    return Before(Totals(calls, retries, tokens[0], tokens[1], cost, paid), answers, left_of_budget(shelf))


def _sessions(live: Sequence[Place]) -> Iterator[tuple[int, Place, int]]:
    """Each whole decision: the number of its first record, its `decision` record, the number of its last one."""
    start: int | None = None
    decision: Place | None = None
    for place in live:
        if place.kind == "market.view":
            start, decision = place.seq, None
        elif place.kind == "decision":
            decision = place
        elif place.kind == "session.end" and start is not None and decision is not None:
            yield start, decision, place.seq
            start = None


def _most_failures(shelf: Shelf) -> int | None:
    """How many failures in a row stopped the run until now; None if that is not on record."""
    bodies = (shelf.read(place).body for place in reversed(shelf.places) if place.kind == "recovery")
    invocation = shelf.read(shelf.places[0]).body["invocation"]
    begun = invocation.get("max_failures") if isinstance(invocation, dict) else None
    said = next((body["max_failures"] for body in bodies if "max_failures" in body), begun)
    return said if isinstance(said, int) else None


def _streak(shelf: Shelf, sessions: Sequence[tuple[int, Place, int]]) -> list[tuple[int, str]]:
    """The failed decisions at the log's end: the first record, and how the slots of the agent that failed begin."""
    found: list[tuple[int, str]] = []
    for start, decision, _ in reversed(sessions):
        body = shelf.read(decision).body
        if not isinstance(body["failure"], dict):
            break
        agent = body["failure"]["agent"]
        chat = f"{shelf.run_id}/{body['bar_open_time']}/{body['symbol']}/chat/"
        found.append((start, chat if agent is None else f"{chat}{agent}/"))
    return found[::-1]


def _failed_ahead(
    shelf: Shelf, live: Sequence[Place], sessions: Sequence[tuple[int, Place, int]], reasons: Collection[str]
) -> set[int]:
    """The exchanges about questions that failed so for sessions whose decision was not made, all attempts of each."""
    bodies = (shelf.read(decision).body for _, decision, _ in sessions)
    decided = {f"{shelf.run_id}/{body['bar_open_time']}/{body['symbol']}/chat" for body in bodies}
    ahead = [place for place in live if place.slot is not None and place.slot.rsplit("/", 2)[0] not in decided]
    asked = {place.seq: (place.slot, place.asked) for place in ahead if place.kind == "llm.request"}
    asked |= {place.seq: asked.get(place.caused_by[0], _NOTHING) for place in ahead if place.kind == "llm.response"}
    failed = {asked[place.seq] for place in ahead if place.kind == "llm.response" and _is_final(shelf, place, reasons)}
    return {seq for seq, question in asked.items() if question in failed}


def _is_final(shelf: Shelf, response: Place, reasons: Collection[str]) -> bool:
    body = shelf.read(response).body
    fault = body["fault"]
    return isinstance(fault, dict) and body["retry_in_s"] is None and fault["reason"] in reasons


def _orphans(places: Sequence[Place]) -> Iterator[Place]:
    """Requests without a response, but for those that were named before."""
    answered = {cause for place in places if place.kind in ("llm.response", "orphan") for cause in place.caused_by}
    return (place for place in places if place.kind == "llm.request" and place.seq not in answered)
