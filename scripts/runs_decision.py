"""Everything behind one decision, for people and for programs. What models and feeds wrote is escaped and indented."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from backtesting.audit.background import Asked, Background
from backtesting.audit.page_data import outcome
from backtesting.audit.story import Entry, Exchange, Reply, Session, Trouble
from backtesting.audit.tables import clamp_text, order_text
from data.model.canonical import Json, decimal_text, to_json
from data.model.decisions import Abstention, Opinion
from data.model.escape import escape_block, escape_line
from data.model.instants import iso, show

INDENT = "    "


def shown(found: Background, *, prompts: bool) -> Iterator[str]:
    """Lines. With `prompts` also the agents' standing instructions, which are the same at every bar."""
    session = found.session
    about = f"decision {session.number} of {found.of} about {escape_line(session.symbol)}"
    yield f"{about}: {outcome(session)}, at the bar of {show(session.bar_open_time)}, known {show(session.as_of)}"
    yield ""
    yield from _rows(_market(found))
    yield from _talk(found, prompts=prompts)
    yield ""
    yield from _rows(_decided(found))


def for_programs(found: Background) -> dict[str, Json]:
    """The same as one object; words as they were said."""
    session = found.session
    return {
        "number": session.number,
        "symbol": session.symbol,
        "bar_open_time": iso(session.bar_open_time),
        "as_of": iso(session.as_of),
        "outcome": outcome(session),
        "bar": to_json(found.bar),
        "account": to_json(found.account),
        "view": to_json(found.view.value) if found.view else None,
        "requests": [to_json(asked) for asked in found.asked],
        "events": [{"kind": type(event).__name__.lower(), **_fields(event)} for event in session.events],
        "answers": {agent: _entry(entry) for agent, entry in session.answers.items()},
        "decision": _entry(session.decision),
        "fills": [_entry(fill) for fill in found.fills],
        "cancellations": [_entry(ending) for ending in found.cancellations],
    }


def _rows(rows: Iterator[tuple[str, str, int | None]]) -> Iterator[str]:
    for name, value, record in rows:
        yield f"{name:15} {value}{'' if record is None else f'   [record {record}]'}"


def _market(found: Background) -> Iterator[tuple[str, str, int | None]]:
    if found.bar is not None:
        prices = ((name, getattr(found.bar, name)) for name in ("open", "high", "low", "close", "volume"))
        yield "bar", ", ".join(f"{name} {decimal_text(value)}" for name, value in prices), None
    if found.account is not None:
        row = found.account.row
        held = (
            ", ".join(f"{decimal_text(count)} {escape_line(symbol)}" for symbol, count in row.quantities) or "nothing"
        )
        yield "account", f"cash {row.cash:,.2f}, equity {row.equity:,.2f}, holds {held}", found.account.seq
    if found.view is not None:
        facts = found.view.value.get("facts")
        count = len(facts) if isinstance(facts, list) else 0
        said = f"{found.view.value.get('bars')} bars, {count} facts, digest {found.view.value.get('digest')}"
        yield "market view", escape_line(said), found.view.seq


def _talk(found: Background, *, prompts: bool) -> Iterator[str]:
    """What each agent was asked and said, in turn; a message that was shown already is not shown again."""
    told: set[str] = set()
    waiting = {asked.seq: asked for asked in found.asked}
    for event in found.session.events:
        for seq in [seq for seq in waiting if seq < event.seq and waiting[seq].agent == event.agent]:
            yield from _asked(waiting.pop(seq), told, prompts=prompts)
        yield ""
        yield from _event(event, found.session)
        if isinstance(event, Reply):
            told.add(event.text)
    for asked in waiting.values():
        yield from _asked(asked, told, prompts=prompts)


def _asked(asked: Asked, told: set[str], *, prompts: bool) -> Iterator[str]:
    again = f", attempt {asked.attempt}" if asked.attempt > 1 else ""
    new = [each for each in asked.messages if each.text not in told and (prompts or each.role != "system")]
    told.update(each.text for each in new)
    yield ""
    yield f"{_agent(asked.agent)} is asked{again}   [record {asked.seq}]"
    for message in new:
        who = message.role if message.name is None else f"{message.role} {message.name}"
        yield f"{INDENT}{escape_line(who)}:"
        yield f"{INDENT * 2}{escape_block(message.text, INDENT * 2)}"


def _event(event: Reply | Trouble, session: Session) -> Iterator[str]:
    if isinstance(event, Trouble):
        then = f"; {escape_line(event.then)}" if event.then else ""
        what = f"{escape_line(event.reason)}: {escape_line(event.detail)}{then}"
        yield f"{_agent(event.agent)} failed, {what}   [record {event.seq}]"
        return
    source = "" if event.traced else f", NOT from a recorded response: {escape_line(event.origin)}"
    yield f"{_agent(event.agent)} said{_exchange(event.exchange)}{source}   [record {event.seq}]"
    yield f"{INDENT}{escape_block(event.text)}"
    entry = session.answers.get(event.agent)
    if entry is not None and entry.seq > event.seq:
        yield f"{INDENT}read as: {_answer(entry.value)}   [record {entry.seq}]"


def _exchange(call: Exchange | None) -> str:
    if call is None:
        return ""
    cost = "cost unknown" if call.cost_usd is None else f"{Decimal(call.cost_usd):.4f} USD"
    took = "" if call.latency_s is None else f", {call.latency_s:.1f} s"
    tokens = f"{call.input_tokens} tokens in, {call.output_tokens} out"
    return f" ({escape_line(call.model or 'unknown')}, {tokens}, {cost}{took})"


def _answer(answer: Opinion | Abstention) -> str:
    if isinstance(answer, Abstention):
        return f"abstains: {escape_line(answer.reason)}"
    evidence = f", on {', '.join(map(escape_line, answer.evidence))}" if answer.evidence else ""
    return f"{answer.action}, confidence {answer.confidence}{_terms(answer)}{evidence}"


def _terms(said: object) -> str:
    named = ((name, getattr(said, name)) for name in ("size", "stop_loss", "take_profit"))
    return "".join(f", {name.replace('_', ' ')} {value}" for name, value in named if value is not None)


def _decided(found: Background) -> Iterator[tuple[str, str, int | None]]:
    entry = found.session.decision
    if entry is None:
        yield "decision", "none: the run ended before it", None
        return
    said = entry.value
    sure = "" if said.confidence is None else f", confidence {said.confidence}"
    yield "decision", f"{outcome(found.session)}{sure}{_terms(said)}", entry.seq
    if said.failure is not None:
        who = f"{_agent(said.failure.agent)}: " if said.failure.agent else ""
        yield "failure", f"{said.failure.reason}: {who}{escape_line(said.failure.detail)}", None
    yield from (("because", escape_line(reason), None) for reason in said.reasons)
    yield from (("limit", escape_line(clamp_text(clamp)), None) for clamp in said.clamps)
    yield from (("order", order_text(order), None) for order in said.orders)
    for seq, fill in found.fills:
        costs = f"commission {fill.commission:,.2f}, slippage {fill.slippage:,.2f}"
        what = f"{fill.side} {decimal_text(fill.quantity)} at {decimal_text(fill.price)}"
        yield "filled", f"{what} in the bar of {show(fill.bar_open_time)} ({costs})", seq
    for seq, ending in found.cancellations:
        yield "not filled", f"{decimal_text(ending.quantity)}: {ending.ending.value.replace('_', ' ')}", seq


def _agent(name: str) -> str:
    return escape_line(name.replace("_", " "))


def _entry(entry: Entry[Any] | None) -> Json:
    return None if entry is None else {**_fields(entry.value), "record": entry.seq}


def _fields(value: object) -> dict[str, Json]:
    body = to_json(value)
    assert isinstance(body, dict)
    return body
