"""The CSV renderings: decisions, trades and equity, a row each, with the record that every row comes from.

Instants are RFC 3339 in UTC, money and quantities plain decimals, rates fractions. Text of models is quoted so that a
spreadsheet shows it and never computes it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum

from backtesting.audit.story import Entry, EquityPoint, Reply, Session, Story
from data.model.canonical import decimal_text
from data.model.decisions import Abstention, Clamp, Opinion, Role
from data.model.escape import csv_cell
from data.model.instants import iso
from data.model.trading import Order

Cell = str | int | float | Decimal | datetime | None

DECISION_COLUMNS = (
    "number", "symbol", "bar_open_time", "as_of", "price", "status", "action", "confidence", "size", "stop_loss",
    "take_profit", "orders", "clamps", "reasons", "failure", "failure_agent", "failure_detail",
    *(role.value for role in Role), "replies", "record",
)  # fmt: skip
TRADE_COLUMNS = (
    "symbol", "quantity", "entry_at", "exit_at", "entry_price", "exit_price", "profit", "rate", "costs", "reason",
    "record",
)  # fmt: skip
EQUITY_COLUMNS = (
    "bar_open_time", "at", "cash", "equity", "exposure", "benchmark", "quantities", "marks", "stale", "record",
)  # fmt: skip


def decisions_csv(story: Story) -> str:
    """A row a session; one that the run ended inside has the status UNFINISHED."""
    return csv_text(DECISION_COLUMNS, (_decision(session) for session in story.sessions))


def trades_csv(story: Story) -> str:
    """A row a closed round trip."""
    return csv_text(TRADE_COLUMNS, _trades(story))


def equity_csv(story: Story) -> str:
    """A row a bar."""
    return csv_text(EQUITY_COLUMNS, (_equity(point) for point in story.equity))


def order_text(order: Order) -> str:
    """`BUY 0.1182 to open`."""
    return f"{order.side.value} {decimal_text(order.quantity)} to {order.purpose.value}"


def clamp_text(clamp: Clamp) -> str:
    """`max_exposure: size 1 becomes 0.5`."""
    return f"{clamp.rule}: {clamp.field} {clamp.before} becomes {clamp.after}"


def _decision(session: Session) -> list[Cell]:
    row: list[Cell] = [session.number, session.symbol, session.bar_open_time, session.as_of, session.price]
    row += _decided(session)
    row += [_answer(session.answers.get(role.agent)) for role in Role]
    replies = sum(isinstance(event, Reply) for event in session.events)
    return [*row, replies, session.decision.seq if session.decision else session.seq]


def _decided(session: Session) -> list[Cell]:
    if session.decision is None:
        return ["UNFINISHED", *[None] * 11]
    said = session.decision.value
    failure = said.failure
    return [
        said.status.value,
        said.action.value if said.action else None,
        said.confidence,
        said.size,
        said.stop_loss,
        said.take_profit,
        "; ".join(map(order_text, said.orders)),
        "; ".join(map(clamp_text, said.clamps)),
        " | ".join(said.reasons),
        failure.reason.value if failure else None,
        failure.agent if failure else None,
        failure.detail if failure else None,
    ]


def _answer(entry: Entry[Opinion | Abstention] | None) -> str:
    if entry is None:
        return ""
    if isinstance(entry.value, Abstention):
        return f"ABSTAIN ({entry.value.reason})"
    return f"{entry.value.action.value} {decimal_text(entry.value.confidence)}"


def _trades(story: Story) -> Iterator[list[Cell]]:
    for seq, trade in story.trades:
        yield [*(getattr(trade, name) for name in TRADE_COLUMNS[:-1]), seq]


def _equity(point: EquityPoint) -> list[Cell]:
    row = point.row
    numbers: list[Cell] = [point.bar_open_time, row.at, row.cash, row.equity, row.exposure, point.benchmark]
    return [*numbers, _by_symbol(row.quantities), _by_symbol(row.marks), " ".join(row.stale), point.seq]


def _by_symbol(pairs: Iterable[tuple[str, Decimal]]) -> str:
    return " ".join(f"{symbol}={decimal_text(value)}" for symbol, value in pairs)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A header and a line a row; text is escaped so that a spreadsheet computes none of it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, int | float):
        return str(value)
    return csv_cell(str(value.value if isinstance(value, Enum) else value))
