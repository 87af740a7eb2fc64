"""The JSON inside a run's page: bars and equity for the charts, a short row a decision, transcripts in chunks.

A chunk holds `CHUNK` decisions and is parsed only when one of them is opened, so that a page with thousands of
decisions opens at once. A text stands once in its chunk's `strings` and is named by its place there. Control and bidi
characters are escaped; `embed` makes the JSON safe inside a script element.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from backtesting.audit.amounts import money, percent, plain
from backtesting.audit.figures import drawdowns
from backtesting.audit.story import Entry, Reply, Session, Story, Trouble
from backtesting.audit.tables import clamp_text
from data.model.canonical import Json, decimal_text
from data.model.decisions import Abstention, Opinion
from data.model.escape import escape_block, escape_line
from data.model.instants import show
from data.model.trading import Cancellation, Fill, FillReason, Order

CHUNK = 100


def embed(value: Json) -> str:
    """JSON that no HTML parser can be led out of: `<`, `>` and `&` are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def run_data(story: Story) -> Json:
    """What the page needs at once. Times are seconds since 1970 in UTC, numbers are for drawing only."""
    symbols = list(story.bars) or list(story.question.symbols)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    return {
        "chunk": CHUNK,
        "intraday": not story.question.interval.is_daily,
        "symbols": [_symbol(story, symbol) for symbol in symbols],
        "equity": _equity(story),
        "decisions": [_row(session, places) for session in story.sessions],
        "exits": [
            [places[fill.symbol], _seconds(fill.bar_open_time), fill.reason.value.upper(), plain(fill.price)]
            for _, fill in story.fills
            if fill.reason is not FillReason.ORDER and fill.symbol in places
        ],
    }


def transcripts(story: Story) -> Iterator[Json]:
    """The chunks, in the order of the decisions."""
    results = _Results(story)
    for start in range(0, len(story.sessions), CHUNK):
        strings = _Strings()
        told: list[Json] = [_told(session, strings, results) for session in story.sessions[start : start + CHUNK]]
        yield {"strings": strings.texts, "sessions": told}


class _Strings:
    """Texts by their place; equal ones have one place."""

    def __init__(self) -> None:
        self.texts: list[Json] = []
        self._places: dict[str, int] = {}

    def add(self, text: str) -> int:
        shown = escape_block(text.expandtabs(4), indent="")
        if shown not in self._places:
            self._places[shown] = len(self.texts)
            self.texts.append(shown)
        return self._places[shown]


class _Results:
    """What became of orders, by their id."""

    def __init__(self, story: Story) -> None:
        self.fills: dict[str, list[Entry[Fill]]] = defaultdict(list)
        self.cancellations: dict[str, list[Entry[Cancellation]]] = defaultdict(list)
        for fill in story.fills:
            self.fills[fill.value.order_id].append(fill)
        for ending in story.cancellations:
            self.cancellations[ending.value.order_id].append(ending)


def _symbol(story: Story, symbol: str) -> Json:
    instrument = story.instruments.get(symbol)
    bars = story.bars.get(symbol, [])
    return {
        "name": escape_line(symbol),
        "currency": instrument.currency if instrument else "",
        "digits": price_digits(story, symbol),
        "bars": [
            [_seconds(bar.open_time), *(float(value) for value in (bar.open, bar.high, bar.low, bar.close, bar.volume))]
            for bar in bars
        ],
    }


def _equity(story: Story) -> Json:
    initial = story.question.initial_cash
    falls = drawdowns((point.row.equity for point in story.equity), initial)
    held = drawdowns((point.benchmark for point in story.equity), initial)
    rows: dict[int, Json] = {}  # where markets close at different hours, the last row of an open time counts
    for point, fall, benchmark in zip(story.equity, falls, held, strict=True):
        at = _seconds(point.bar_open_time)
        values = (float(round(point.row.equity, 2)), float(round(point.benchmark, 2)))
        rows[at] = [at, *values, round(fall, 6), round(benchmark, 6)]
    return [rows[at] for at in sorted(rows)]


def outcome(session: Session) -> str:
    """BUY, SELL, HOLD, FAILED, or UNFINISHED if the run ended inside the session."""
    if session.decision is None:
        return "UNFINISHED"
    action = session.decision.value.action
    return action.value if action else "FAILED"


def _row(session: Session, places: dict[str, int]) -> Json:
    said = session.decision.value if session.decision else None
    return [
        session.number,
        places.get(session.symbol, 0),
        _seconds(session.bar_open_time),
        outcome(session),
        float(said.confidence) if said and said.confidence is not None else None,
        ", ".join(f"{order.side.value} {plain(order.quantity)}" for order in said.orders) if said else "",
        len(said.clamps) if said else 0,
        _why(session),
    ]


def _why(session: Session) -> str:
    said = session.decision.value if session.decision else None
    if said is None:
        return "the run ended before the decision"
    if said.failure is not None:
        return escape_line(f"{said.failure.reason.value}: {said.failure.detail}")
    return escape_line(said.reasons[0])[:160] if said.reasons else ""


def _told(session: Session, strings: _Strings, results: _Results) -> Json:
    said = session.decision.value if session.decision else None
    orders = said.orders if said else ()
    told: dict[str, Json] = {
        "number": session.number,
        "symbol": escape_line(session.symbol),
        "bar": show(session.bar_open_time),
        "as_of": show(session.as_of),
        "price": plain(session.price),
        "outcome": outcome(session),
        "record": session.decision.seq if session.decision else session.seq,
        "events": [_event(event, strings) for event in session.events],
        "answers": {agent: _answer(entry, strings) for agent, entry in session.answers.items()},
        "orders": [_order(order, results) for order in orders],
    }
    if said is not None:
        told["confidence"] = float(said.confidence) if said.confidence is not None else None
        told["terms"] = _terms(said.size, said.stop_loss, said.take_profit)
        told["reasons"] = [strings.add(reason) for reason in said.reasons]
        told["clamps"] = [strings.add(clamp_text(clamp)) for clamp in said.clamps]
    if said is not None and said.failure is not None:
        told["failure"] = {
            "reason": said.failure.reason.value,
            "detail": strings.add(said.failure.detail),
            "agent": said.failure.agent or "",
        }
    return told


def _event(event: Reply | Trouble, strings: _Strings) -> Json:
    agent = escape_line(event.agent)
    if isinstance(event, Trouble):
        said: dict[str, Json] = {"trouble": escape_line(event.reason), "detail": strings.add(event.detail)}
        return {"agent": agent, **said, "then": escape_line(event.then), "record": event.seq}
    told: dict[str, Json] = {"agent": agent, "text": strings.add(event.text), "record": event.seq}
    if not event.traced:
        told["origin"] = escape_line(event.origin)
    if event.exchange is not None:
        call = event.exchange
        told["model"] = escape_line(call.model or "")
        told["tokens"] = [call.input_tokens, call.output_tokens]
        told["latency"] = call.latency_s
        told["cost"] = call.cost_usd
    return told


def _answer(entry: Entry[Opinion | Abstention], strings: _Strings) -> Json:
    said = entry.value
    if isinstance(said, Abstention):
        return {"action": "ABSTAIN", "reasons": [strings.add(said.reason)], "record": entry.seq}
    return {
        "action": said.action.value,
        "confidence": float(said.confidence),
        "terms": _terms(said.size, said.stop_loss, said.take_profit),
        "reasons": [strings.add(reason) for reason in said.reasons],
        "evidence": [escape_line(name) for name in said.evidence],
        "record": entry.seq,
    }


def _terms(size: Decimal | None, stop: Decimal | None, target: Decimal | None) -> Json:
    named = (("size", size), ("stop", stop), ("target", target))
    return [f"{name} {percent(float(value), sign=False, digits=1)}" for name, value in named if value is not None]


def _order(order: Order, results: _Results) -> Json:
    fills: list[Json] = [
        {
            "what": f"{fill.side.value} {plain(fill.quantity)} at {plain(fill.price)}",
            "by": fill.reason.value,
            "bar": show(fill.bar_open_time),
            "costs": f"commission {money(fill.commission)}, slippage {money(fill.slippage)}",
            "record": seq,
        }
        for seq, fill in results.fills[order.order_id]
    ]
    endings: list[Json] = [
        {"what": f"{plain(ending.quantity)} not filled: {ending.ending.value.replace('_', ' ')}", "record": seq}
        for seq, ending in results.cancellations[order.order_id]
    ]
    what = f"{order.side.value} {plain(order.quantity)} to {order.purpose.value}"
    return {"id": escape_line(order.order_id), "what": what, "fills": fills, "endings": endings}


def price_digits(story: Story, symbol: str) -> int:
    """Decimals of a price that is shown: as many as the bars' prices have, 2 at least, 8 at most."""
    printed = (price for bar in story.bars.get(symbol, []) for price in (bar.open, bar.high, bar.low, bar.close))
    return min(8, max((2, *(len(decimal_text(price).partition(".")[2]) for price in printed))))


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
