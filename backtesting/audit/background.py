"""Everything behind one decision, out of a run's log: market, account, questions, words, opinions, orders, fills.

Text in it was written by models and feeds: untrusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from backtesting.audit.story import Entry, EquityPoint, Session, Story
from backtesting.audit.story_reader import read_story
from backtesting.audit.wire import Message, raw_body, read_prompt
from data.journal.reading import read_live
from data.model.canonical import Json
from data.model.errors import DataError, UsageError
from data.model.instants import iso, show
from data.model.market import Bar
from data.model.protocols import Record
from data.model.trading import Cancellation, Fill


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a model, with its messages; `turn` is the agent's in the chat, `attempt` the try at that turn."""

    seq: int
    agent: str
    turn: str
    attempt: int
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Background:
    """`account` is the ledger after the decision's bar, as the decision saw it. Fills and endings are of its orders."""

    session: Session
    of: int
    bar: Bar | None
    view: Entry[dict[str, Json]] | None
    account: EquityPoint | None
    asked: tuple[Asked, ...]
    fills: tuple[Entry[Fill], ...]
    cancellations: tuple[Entry[Cancellation], ...]


def behind(folder: Path, when: datetime | date | int) -> tuple[Background, ...]:
    """What is behind the decisions at the bar that opened then, one a symbol, or behind the decision of that number.

    A day alone is its daily bar, whenever on that day (UTC) it opened; of shorter bars it is the one at midnight.
    Raises UsageError where nothing was decided, naming the nearest decisions, and DataError.
    """
    story = read_story(read_live(folder))
    sessions = [each for each in story.sessions if _is_at(each, when, is_daily=story.question.interval.is_daily)]
    if not sessions:
        raise UsageError(_nothing(story, when))
    about = {(iso(each.bar_open_time), each.symbol) for each in sessions}
    records = [each for each in read_live(folder) if _place(each) in about]
    return tuple(_behind(story, session, records) for session in sessions)


def _is_at(session: Session, when: datetime | date | int, *, is_daily: bool) -> bool:
    opened = session.bar_open_time
    if isinstance(when, int):
        return session.number == when
    return opened.date() == when if is_daily and not isinstance(when, datetime) else opened == _instant(when)


def _instant(when: date) -> datetime:
    return when if isinstance(when, datetime) else datetime.combine(when, time(), UTC)


def _behind(story: Story, session: Session, records: Sequence[Record]) -> Background:
    place = (iso(session.bar_open_time), session.symbol)
    own = [record for record in records if _place(record) == place]
    views = [Entry(record.seq, dict(record.body)) for record in own if record.kind == "market.view"]
    orders = {order.order_id for order in session.decision.value.orders} if session.decision else set()
    bars = (bar for bar in story.bars.get(session.symbol, []) if bar.open_time == session.bar_open_time)
    seen = (point for point in story.equity if point.row.at <= session.as_of)
    return Background(
        session=session,
        of=_count(story),
        bar=next(bars, None),
        view=views[-1] if views else None,
        account=max(seen, key=lambda point: (point.row.at, point.seq), default=None),
        asked=tuple(_asked(record) for record in own if record.kind == "llm.request"),
        fills=tuple(each for each in story.fills if each.value.order_id in orders),
        cancellations=tuple(each for each in story.cancellations if each.value.order_id in orders),
    )


def _count(story: Story) -> int:
    found = story.begin.body.get("decisions_in_window")
    return found if isinstance(found, int) else len(story.sessions)


def _place(record: Record) -> tuple[str, str] | None:
    """The bar's open time and the symbol of the decision that a record belongs to."""
    if record.kind == "market.view":
        bar = record.body.get("bar")
        return (str(bar.get("open_time")), str(record.body.get("symbol"))) if isinstance(bar, dict) else None
    parts = (record.slot or "").split("/")
    return (parts[1], "/".join(parts[2:-3])) if record.kind == "llm.request" and len(parts) >= 6 else None


def _asked(record: Record) -> Asked:
    agent, turn = (record.slot or "").split("/")[-2:]
    attempt = record.body["audit.attempt"]
    try:
        messages = read_prompt(raw_body(record.body)).messages
    except (ValueError, KeyError) as error:
        raise DataError(f"record {record.seq} (llm.request) does not read: {error}") from error
    return Asked(record.seq, agent, turn, attempt if isinstance(attempt, int) else 0, messages)


def _nothing(story: Story, when: datetime | date | int) -> str:
    if isinstance(when, int):
        return f"there is no decision {when}: the run has {len(story.sessions)}, counted from 1"
    asked = _instant(when)
    times = sorted({each.bar_open_time for each in story.sessions})
    before, after = _nearest((at for at in times if at < asked), last=True), _nearest(at for at in times if at > asked)
    near = " and ".join(show(at) for at in (before, after) if at is not None) or "none"
    return f"nothing was decided at the bar of {show(asked)}; the nearest decisions: {near}"


def _nearest(times: Iterable[datetime], *, last: bool = False) -> datetime | None:
    found = list(times)
    return found[-1 if last else 0] if found else None
