"""Runs in a list, and one run on its card, for people and for programs. All text out of a folder is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from backtesting.accounting.significance import Range
from backtesting.audit.cards import Card
from backtesting.audit.servers import Server
from backtesting.audit.summary import Summary
from backtesting.audit.verdict import Proof
from data.model.canonical import Json, to_json
from data.model.escape import escape_line
from data.model.instants import iso, show

HEADINGS = ("run", "status", "window", "model", "return", "95 % interval", "cost USD", "digest", "checked")
UNKNOWN = "unknown"
Cells: TypeAlias = tuple[str, ...]
"""One run under each of the headings."""


def listing(cards: Sequence[Card], proofs: Mapping[Path, Proof | None], width: int | None) -> Iterator[str]:
    """A line a run, in columns; a few lines a run where those are wider than the reader's screen."""
    rows = [_cells(each, proofs.get(each.folder)) for each in cards]
    widths = [max(len(cell) for cell in column) for column in zip(HEADINGS, *rows, strict=True)]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        yield from chain.from_iterable(map(_stacked, rows))
        return
    for row in (HEADINGS, *rows):
        yield "  ".join(cell.ljust(most) for cell, most in zip(row, widths, strict=True)).rstrip()


def _stacked(cells: Cells) -> Iterator[str]:
    run, status, window, model, made, drawn, cost, digest, checked_as = cells
    yield f"{run}  {status}"
    yield f"    {window}, {model}"
    yield f"    return {made} ({drawn}), {cost} USD, digest {digest}"
    yield f"    {checked_as}"


def shown(found: Card, proof: Proof | None) -> Iterator[str]:
    """A card, a line a fact."""
    for name, value in _rows(found, proof):
        yield f"{name:15} {escape_line(value)}"


def for_programs(found: Card, proof: Proof | None) -> dict[str, Json]:
    """The main job's summary, if the run has one, and over it where the run lies now and what is known of its proof."""
    summary = {} if found.numbers is None else found.numbers.for_programs()
    return summary | {
        "run_id": found.run_id,
        "run_dir": str(found.folder),
        "status": found.status,
        "reason": found.why,
        "verdict": checked(found, proof),
        "begun_at": None if found.begun_at is None else iso(found.begun_at),
        "question": to_json(found.question),
        "model": found.model or None,
        "total_return": found.total_return,
        "interval": to_json(found.interval),
        "cost_usd": _number(found.cost_usd),
        "result_digest": found.digest,
        "head": found.head,
        "progress": found.progress or None,
        "report": _held(found.folder / "report.html"),
        "communications_log": _held(found.folder / "agent_comms.log"),
    }


def checked(found: Card, proof: Proof | None) -> str:
    """What is known of its proof: the whole verification's words, else those of the fast look."""
    if proof is not None:
        return proof.headline
    return "-" if found.verdict is None else f"{found.verdict} (fast look)"


def rate(value: float | None) -> str:
    """`+4.21 %` of a fraction."""
    return "-" if value is None else f"{value:+.2%}"


def interval(drawn: Range | None) -> str:
    """`-3.04% to +2.30%`."""
    return "-" if drawn is None else f"{rate(drawn.low)} to {rate(drawn.high)}"


def usd(cost: Decimal | None) -> str:
    return UNKNOWN if cost is None else f"{cost:.4f}"


def _cells(found: Card, proof: Proof | None) -> Cells:
    status = f"{found.status}, {found.done}" if found.standing is not None else found.status
    digest = "-" if found.digest is None else found.digest[:12]
    cost = "-" if found.question is None else usd(found.cost_usd)
    said = (found.run_id, status, found.window or "-", found.model or "-", rate(found.total_return))
    return tuple(map(escape_line, (*said, interval(found.interval), cost, digest, checked(found, proof))))


def _rows(found: Card, proof: Proof | None) -> Iterator[tuple[str, str]]:
    yield "run", f"{found.run_id}  ({found.status})"
    yield "checked", checked(found, proof)
    if found.why:
        yield "why", found.why
    if found.question is None:
        return
    yield "begun", "-" if found.begun_at is None else show(found.begun_at)
    yield "window", found.window
    yield "model", found.model
    yield from _agents(found)
    if found.standing is not None:
        yield "so far", f"{found.progress}; {found.standing.failed:,} failed, {found.standing.calls:,} calls"
        yield "return so far", rate(found.total_return)
        yield "cost so far", f"{usd(found.cost_usd)} USD"
    if found.numbers is not None:
        yield from _numbers(found, found.numbers)
    if proof is not None and proof.derivation is not None:
        yield from (("answered by", _server(server)) for server in proof.derivation.servers)
    if found.digest:
        yield "result digest", found.digest
    if found.head:
        yield "head", found.head
    yield "folder", str(found.folder)


def _agents(found: Card) -> Iterator[tuple[str, str]]:
    """Each seat, where they are not all of one model."""
    assert found.question is not None
    agents = found.question.agents
    if len({agent.model for agent in agents}) > 1:
        yield from ((agent.role, f"{agent.model}, prompt {agent.prompt}") for agent in agents)


def _numbers(found: Card, numbers: Summary) -> Iterator[tuple[str, str]]:
    yield "decisions", f"{numbers.decisions:,}, {numbers.failed:,} failed"
    yield "replies", f"{numbers.replies_traced:,} of {numbers.replies:,} replies trace to a recorded provider response"
    yield "fills, trades", f"{numbers.fills:,}, {numbers.trades:,}"
    if numbers.final_equity is not None:
        yield "equity", f"{numbers.final_equity:,.2f}  (costs paid {numbers.costs_paid:,.2f})"
    drawn = f"  ({interval(found.interval)} by resampling bars, 95 %)" if found.interval is not None else ""
    yield "return", f"{rate(numbers.total_return)}{drawn}"
    yield "buy and hold", rate(numbers.buy_and_hold_return)
    tokens = f"{numbers.input_tokens:,} tokens in, {numbers.output_tokens:,} out"
    yield "calls", f"{numbers.calls:,}, {numbers.retries:,} retries, {tokens}"
    yield "cost, time", f"{usd(numbers.cost_usd)} USD, {numbers.wall_s:.1f} s"


def _server(server: Server) -> str:
    return f"{server} ({server.answers:,} answers)"


def _held(file: Path) -> str | None:
    return str(file) if file.is_file() else None


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
