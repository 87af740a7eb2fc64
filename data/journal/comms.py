"""The journal as people read it: each record's lines of the agents' communication log, a pure function of the record.

`2025-04-15 13:45:30 - INFO - Agent Technical Analyst generating reply`, in UTC. What a model wrote cannot pass for a
line of ours: its new lines are indented, control and bidi characters escaped. A long reply is shortened, and the mark
names the record that holds it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from data.model.canonical import Json, decimal_text
from data.model.escape import escape_block, escape_line
from data.model.instants import parse_instant, show
from data.model.protocols import Record

REPLY_CHARS = 2000

Body = Mapping[str, Json]
_Line = tuple[str, str]


def lines(record: Record) -> tuple[str, ...]:
    """The record's lines without their line ends; none for a kind that is not communication."""
    write = _WRITERS.get(record.kind)
    if write is None:
        return ()
    stamp = record.at.strftime("%Y-%m-%d %H:%M:%S")
    return tuple(f"{stamp} - {level} - {text}" for level, text in write(record))


def money(amount: Json) -> str:
    """`$67890.50`: two decimals, or as many as the amount has. What is no number is shown as it is."""
    try:
        value = Decimal(str(amount))
        whole = value.is_finite() and value == value.quantize(Decimal("0.01"))
    except InvalidOperation:
        return escape_line(str(amount))
    shown = format(abs(value), ".2f") if whole else decimal_text(abs(value))
    return f"{'-' if value < 0 else ''}${shown}"


def _percent(part: Json) -> str:
    try:
        return f"{(Decimal(str(part or 0)) * 100).quantize(Decimal('0.1'))}%"
    except ArithmeticError:
        return escape_line(str(part))


def _run_begin(record: Record) -> list[_Line]:
    body, question = record.body, _inner(record.body, "question")
    symbols = question.get("symbols")
    named = ", ".join(str(symbol) for symbol in symbols) if isinstance(symbols, list) else ""
    window = f"{_text(question, 'interval')} from {_text(question, 'start_on')} to {_text(question, 'end_on')}"
    warnings = body.get("warnings")
    return [
        ("INFO", f"Run {_text(body, 'run_id')}: {escape_line(named)} {window}"),
        ("INFO", _text(body, "model_note")),
        *(("WARNING", escape_line(str(text))) for text in (warnings if isinstance(warnings, list) else ())),
    ]


def _session_begin(record: Record) -> list[_Line]:
    body = record.body
    found = [("INFO", f"===== STARTING DECISION SESSION FOR {_text(body, 'symbol')} =====")]
    if body.get("bar_open_time"):
        count = f" ({body['number']} of {body['of']})" if body.get("number") and body.get("of") else ""
        found.append(("INFO", f"Bar: {show(parse_instant(str(body['bar_open_time'])))}{count}"))
    if body.get("price") is not None:
        found.append(("INFO", f"Current price: {money(body['price'])}"))
    return found


def _chat_begin(record: Record) -> list[_Line]:
    agents = record.body.get("agents")
    named = ", ".join(_shown(str(agent)) for agent in agents) if isinstance(agents, list) else ""
    return [("INFO", "Initiating multi-agent chat session"), ("INFO", f"Participating agents: {named}")]


def _generating(record: Record) -> list[_Line]:
    return [("INFO", f"Agent {_agent(record.body)} generating reply")]


def _reply(record: Record) -> list[_Line]:
    text = str(record.body.get("text"))
    cut = len(text) - REPLY_CHARS
    mark = f" … [shortened by {cut} characters; whole in record {record.seq}]" if cut > 0 else ""
    return [("INFO", f"Agent {_agent(record.body)} replied: {escape_block(text[:REPLY_CHARS])}{mark}")]


def _agent_failed(record: Record) -> list[_Line]:
    return [("ERROR", f"Agent {_agent(record.body)} failed: {_text(record.body, 'error')}")]


def _response(record: Record) -> list[_Line]:
    body, fault = record.body, record.body.get("fault")
    if not isinstance(fault, Mapping):
        return []
    attempt = f"attempt {body.get('audit.attempt', 1)}"
    wait = body.get("retry_in_s")
    then = "" if wait is None else f"; asked again in {wait} s"
    return [("WARNING", f"Agent {_agent(body)}, {attempt}: {_text(fault, 'reason')}: {_text(fault, 'detail')}{then}")]


def _opinion(record: Record) -> list[_Line]:
    reason = record.body.get("abstention")
    return [] if reason is None else [("INFO", f"Agent {_agent(record.body)} abstains: {escape_line(str(reason))}")]


def _malformed(record: Record) -> list[_Line]:
    then = "; asked again" if record.body.get("asked_again") else ""
    return [("WARNING", f"Agent {_agent(record.body)} gave a malformed answer: {_text(record.body, 'detail')}{then}")]


def _decision(record: Record) -> list[_Line]:
    body, failure = record.body, record.body.get("failure")
    if isinstance(failure, Mapping):
        who = f"Agent {_agent(failure)}: " if failure.get("agent") else ""
        return [("ERROR", f"Decision: FAILED, {_text(failure, 'reason')}: {who}{_text(failure, 'detail')}")]
    clamps = body.get("clamps")
    return [
        ("INFO", f"Decision: {_text(body, 'action')} with {_percent(body.get('confidence'))} confidence"),
        *(
            ("INFO", f"Limit {_text(c, 'rule')}: {_text(c, 'field')} {_text(c, 'before')} becomes {_text(c, 'after')}")
            for c in (clamps if isinstance(clamps, list) else ())
            if isinstance(c, Mapping)
        ),
    ]


def _session_failed(record: Record) -> list[_Line]:
    body = record.body
    return [("ERROR", f"Decision session for {_text(body, 'symbol')} failed: {_text(body, 'error')}")]


def _session_end(record: Record) -> list[_Line]:
    return [("INFO", f"===== COMPLETED DECISION SESSION FOR {_text(record.body, 'symbol')} =====")]


def _fill(record: Record) -> list[_Line]:
    body = record.body
    what = f"{_text(body, 'side')} {_text(body, 'quantity')} {_text(body, 'symbol')} at {money(body.get('price'))}"
    costs = f"commission {money(body.get('commission'))}, slippage {money(body.get('slippage'))}"
    return [("INFO", f"Filled by {_text(body, 'reason')}: {what} ({costs})")]


def _cancellation(record: Record) -> list[_Line]:
    body = record.body
    return [("INFO", f"Not filled: {_text(body, 'quantity')} of {_text(body, 'order_id')} ({_text(body, 'ending')})")]


def _recovery(record: Record) -> list[_Line]:
    done = f"records {_text(record.body, 'cut')} to {record.seq - 1}, but for models' answers, are done again"
    found = [("WARNING", f"Run resumed: {done}")]
    torn, lost = _inner(record.body, "torn"), _inner(record.body, "lost")
    if torn:
        found.append(("WARNING", f"A torn record of {_text(torn, 'bytes')} bytes was set aside"))
    if lost:
        found.append(("WARNING", f"Signed records are lost: the log had reached {_text(lost, 'head')}"))
    return found


def _orphan(record: Record) -> list[_Line]:
    body = record.body
    return [("WARNING", f"Agent {_agent(body)}: request {_text(body, 'request')} has no answer; {_text(body, 'note')}")]


def _run_end(record: Record) -> list[_Line]:
    body = record.body
    reason = f": {_text(body, 'reason')}" if body.get("reason") else ""
    level = "INFO" if body.get("status") == "complete" else "ERROR"
    return [
        (level, f"Run {_text(body, 'status')}{reason}"),
        ("INFO", f"Result digest: {_text(body, 'result_digest') if body.get('result_digest') else 'none'}"),
    ]


_WRITERS: dict[str, Callable[[Record], list[_Line]]] = {
    "run.begin": _run_begin,
    "session.begin": _session_begin,
    "chat.begin": _chat_begin,
    "agent.generating": _generating,
    "agent.failed": _agent_failed,
    "llm.response": _response,
    "agent.reply": _reply,
    "opinion": _opinion,
    "opinion.malformed": _malformed,
    "decision": _decision,
    "session.end": _session_end,
    "session.failed": _session_failed,
    "fill": _fill,
    "cancellation": _cancellation,
    "recovery": _recovery,
    "orphan": _orphan,
    "run.end": _run_end,
}


def _text(body: Body, name: str) -> str:
    return escape_line(str(body.get(name, "")))


def _agent(body: Body) -> str:
    return _shown(str(body.get("agent", "")))


def _shown(agent: str) -> str:
    return escape_line(agent.replace("_", " "))


def _inner(body: Body, name: str) -> Body:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}
