"""A run as tables of typed columns, for spreadsheets and notebooks: every row names the record that it comes from.

Money is exact, rates and what models are sure of are floats, instants are in UTC. In Parquet and JSON words stand as
they were said; in CSV they are escaped as in the run's own tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from backtesting.audit.page_data import outcome
from backtesting.audit.story import Entry, Reply, Session, Story
from backtesting.audit.story_reader import read_story
from backtesting.audit.tables import Cell, clamp_text, csv_text, order_text
from data.journal.reading import read_live
from data.model.canonical import to_json
from data.model.decisions import Abstention, Opinion
from data.model.errors import DataError

_MONEY = frozenset((
    "price", "reference_price", "entry_price", "exit_price", "stop_price", "target_price", "quantity", "mark",
    "commission", "slippage", "profit", "costs", "cash", "equity", "benchmark", "cost_usd",
))  # fmt: skip
_RATES = frozenset(("confidence", "size", "stop_loss", "take_profit", "rate", "exposure", "latency_s"))
_WHOLE = frozenset(("number", "record", "input_tokens", "output_tokens"))
_INSTANTS = frozenset(("bar_open_time", "as_of", "at", "entry_at", "exit_at"))
_FLAGS = frozenset(("traced", "stale"))


@dataclass(frozen=True)
class Frame:
    """One table."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def read_frames(folder: Path) -> tuple[Frame, ...]:
    """Every table of a run. Raises DataError."""
    story = read_story(read_live(folder))
    made = ((name, columns, (_typed(columns, row) for row in rows(story))) for name, columns, rows in _ALL)
    return tuple(Frame(name, columns, tuple(rows)) for name, columns, rows in made)


def write_frames(frames: Sequence[Frame], folder: Path, kind: str) -> tuple[Path, ...]:
    """Writes them into a folder, one file each, none of them half. Raises OSError, DataError for what does not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_write(frame, folder / f"{frame.name}.{kind}", _WRITERS[kind]) for frame in frames)


def _write(frame: Frame, path: Path, write: Callable[[Frame, Path], None]) -> Path:
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    write(frame, part)
    part.replace(path)
    return path


def _write_csv(frame: Frame, path: Path) -> None:
    path.write_text(csv_text(frame.columns, frame.rows), "utf-8", newline="")


def _write_json(frame: Frame, path: Path) -> None:
    """An array of objects; money as exact text."""
    rows = [dict(zip(frame.columns, map(to_json, row), strict=True)) for row in frame.rows]
    path.write_text(json.dumps(rows, indent=1) + "\n", "ascii")


def _write_parquet(frame: Frame, path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 (a third of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    def kind(name: str) -> object:
        if name in _MONEY:
            return pa.decimal128(38, 18)
        if name in _INSTANTS:
            return pa.timestamp("us", tz="UTC")
        plain = ((_RATES, pa.float64()), (_WHOLE, pa.int64()), (_FLAGS, pa.bool_()))
        return next((found for names, found in plain if name in names), pa.string())

    columns = {}
    for place, name in enumerate(frame.columns):
        try:
            columns[name] = pa.array([row[place] for row in frame.rows], kind(name))
        except pa.ArrowInvalid:
            raise DataError(
                f"a {name} in {frame.name} has more digits than Parquet's decimals take (18 behind the point); take "
                "another --format"
            ) from None
    pq.write_table(pa.table(columns), path, compression="zstd")


_WRITERS: Mapping[str, Callable[[Frame, Path], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "json": _write_json,
}


def _typed(columns: Sequence[str], row: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(_cell(name, value) for name, value in zip(columns, row, strict=True))


def _cell(name: str, value: Cell) -> Cell:
    if value is None:
        return None
    if name in _MONEY:
        return Decimal(str(value))
    return float(str(value)) if name in _RATES else value


def _decisions(story: Story) -> Iterator[list[Cell]]:
    for session in story.sessions:
        said = session.decision.value if session.decision else None
        failure = said.failure if said else None
        yield [
            *_place(session),
            session.as_of,
            session.price,
            outcome(session),
            *(getattr(said, name, None) for name in ("confidence", "size", "stop_loss", "take_profit")),
            "; ".join(map(order_text, said.orders)) if said else None,
            "; ".join(map(clamp_text, said.clamps)) if said else None,
            " | ".join(said.reasons) if said else None,
            *((failure.reason.value, failure.agent, failure.detail) if failure else (None, None, None)),
            session.decision.seq if session.decision else session.seq,
        ]


def _opinions(story: Story) -> Iterator[list[Cell]]:
    for session in story.sessions:
        for agent, entry in session.answers.items():
            yield [*_place(session), agent, *_answer(entry)]


def _answer(entry: Entry[Opinion | Abstention]) -> list[Cell]:
    said = entry.value
    if isinstance(said, Abstention):
        return ["ABSTAIN", None, None, None, None, said.reason, None, entry.seq]
    terms = (said.confidence, said.size, said.stop_loss, said.take_profit)
    return [said.action.value, *terms, " | ".join(said.reasons), " ".join(said.evidence), entry.seq]


def _replies(story: Story) -> Iterator[list[Cell]]:
    for session in story.sessions:
        for event in session.events:
            if isinstance(event, Reply):
                call = event.exchange
                named = ("model", "input_tokens", "output_tokens", "cost_usd", "latency_s")
                told = (getattr(call, name, None) for name in named)
                yield [*_place(session), event.agent, event.text, event.traced, event.origin, *told, event.seq]


def _entries(name: str, columns: Sequence[str]) -> Callable[[Story], Iterator[list[Cell]]]:
    """Rows of what stands in the story as it stands in the log."""
    return lambda story: (
        [*(getattr(entry.value, column) for column in columns[:-1]), entry.seq] for entry in getattr(story, name)
    )


def _equity(story: Story) -> Iterator[list[Cell]]:
    for point in story.equity:
        row = point.row
        yield [point.bar_open_time, row.at, row.cash, row.equity, row.exposure, point.benchmark, point.seq]


def _positions(story: Story) -> Iterator[list[Cell]]:
    for point in story.equity:
        marks = dict(point.row.marks)
        for symbol, quantity in point.row.quantities:
            stale = symbol in point.row.stale
            yield [point.bar_open_time, symbol, quantity, marks.get(symbol), stale, point.seq]


def _place(session: Session) -> list[Cell]:
    return [session.number, session.symbol, session.bar_open_time]


_PLACE = ("number", "symbol", "bar_open_time")
_TERMS = ("confidence", "size", "stop_loss", "take_profit")
_FILL = (
    "order_id", "symbol", "side", "quantity", "reference_price", "price", "commission", "slippage", "reason",
    "bar_open_time", "at", "stop_price", "target_price", "record",
)  # fmt: skip
_TRADE = (
    "symbol", "quantity", "entry_at", "exit_at", "entry_price", "exit_price", "profit", "rate", "costs", "reason",
    "record",
)  # fmt: skip
_DECISION = (
    *_PLACE, "as_of", "price", "outcome", *_TERMS, "orders", "clamps", "reasons", "failure", "failure_agent",
    "failure_detail", "record",
)  # fmt: skip
_REPLY = (
    *_PLACE, "agent", "text", "traced", "origin", "model", "input_tokens", "output_tokens", "cost_usd", "latency_s",
    "record",
)  # fmt: skip
_ALL: tuple[tuple[str, tuple[str, ...], Callable[[Story], Iterator[list[Cell]]]], ...] = (
    ("decisions", _DECISION, _decisions),
    ("opinions", (*_PLACE, "agent", "action", *_TERMS, "reasons", "evidence", "record"), _opinions),
    ("replies", _REPLY, _replies),
    ("fills", _FILL, _entries("fills", _FILL)),
    ("trades", _TRADE, _entries("trades", _TRADE)),
    ("equity", ("bar_open_time", "at", "cash", "equity", "exposure", "benchmark", "record"), _equity),
    ("positions", ("bar_open_time", "symbol", "quantity", "mark", "stale", "record"), _positions),
)
