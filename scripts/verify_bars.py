"""The bars that a run recorded beside those of a file, and beside those of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backtesting.audit.recorded_bars import BarDifference, Bars, differing_bars, recorded_bars
from backtesting.audit.recorded_views import recorded_instruments
from backtesting.audit.story import parse
from backtesting.audit.verdict import Proof
from data.door import SystemClock
from data.journal.reading import read_live
from data.model.errors import DataError, UsageError
from data.model.market import Instrument
from data.model.question import Question


@dataclass(frozen=True)
class Compared:
    """One comparison. `bars` were compared; `notes` are differences that no bar is to blame for."""

    what: str
    bars: int
    differences: tuple[BarDifference, ...]
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        return bool(self.differences or self.notes)


def compare_bars(
    proof: Proof, file: Path | None, symbol: str | None, database: str | None, settings: Mapping[str, str], root: Path
) -> tuple[Compared, ...]:
    """What was asked for; nothing is compared with a log that is not what was signed. Raises UsageError, DataError."""
    asked = [name for name in (file and str(file), None if database is None else "the database") if name]
    if not asked:
        return ()
    if not proof.examination.readable:
        why = "the log is not what was signed"
        return tuple(Compared(name, 0, (), (f"not compared with {name}: {why}",)) for name in asked)
    run = _Run.of(proof.examination.folder)
    found = [] if file is None else [_with_file(run, file, symbol)]
    if database is not None:
        found.append(_with_database(run, database or settings.get("DATABASE_URL") or None, root))
    return tuple(found)


@dataclass(frozen=True)
class _Run:
    """What a log says about its bars."""

    question: Question
    instruments: Mapping[str, Instrument]
    data_digest: str
    played: Mapping[str, Bars]
    shown: Mapping[str, Bars]

    @classmethod
    def of(cls, folder: Path) -> _Run:
        begin = next(read_live(folder))
        splits = any(record.kind == "action" for record in read_live(folder))
        try:
            return cls(
                parse(Question, begin.body["question"]),
                recorded_instruments(begin),
                str(begin.body["data_digest"]),
                recorded_bars(read_live(folder), views=False),
                recorded_bars(read_live(folder), views=not splits),
            )
        except (ValueError, KeyError) as error:
            raise DataError(f"the bars of the log in {folder} do not read: {error}") from None


def _with_file(run: _Run, file: Path, symbol: str | None) -> Compared:
    from data.sources.bars import build_series  # noqa: PLC0415
    from data.sources.csv_bars import read_bar_file  # noqa: PLC0415

    symbols = run.question.symbols
    if symbol is None and len(symbols) > 1:
        raise UsageError(f"the run has bars of {', '.join(symbols)}; say with --symbol whose are in {file}")
    wanted = symbol or symbols[0]
    if wanted not in symbols:
        raise UsageError(f"--symbol {wanted} is not in the run; it has {', '.join(symbols)}")
    try:
        printed = read_bar_file(file, wanted, run.question.interval, {})
    except DataError as error:
        raise DataError(f"the run's bars of {wanted} cannot be held against that file: {error}") from None
    now = SystemClock().now()
    series = build_series(printed.name, printed.bars, run.instruments[wanted], run.question.interval, now)
    recorded = run.shown.get(wanted, {})
    found = {bar.open_time: bar for bar in series.bars}
    return Compared(f"{printed.name}", len(recorded), tuple(differing_bars(recorded, found)))


def _with_database(run: _Run, url: str | None, root: Path) -> Compared:
    from data.sources.calendars import end_of_day  # noqa: PLC0415
    from data.store.database import open_database  # noqa: PLC0415
    from data.store.store import Store  # noqa: PLC0415
    from data.view import reach  # noqa: PLC0415

    question = run.question
    known_by = max(end_of_day(each.calendar, question.end_on) for each in run.instruments.values())
    with open_database(url, root / "data" / "postgres") as database:
        store = Store(database.engine)
        stored = {
            symbol: {
                bar.open_time: bar
                for bar in store.first_bars(symbol, question.interval, question.start_on, question.end_on)
            }
            for symbol in question.symbols
        }
        shown = reach(question.start_on, known_by, question.lookback)
        digest = store.data_digest(question.symbols, question.interval, shown)
    same = digest == run.data_digest
    notes = (
        () if same else (f"the digest of the rows that the window shows is {digest}, recorded is {run.data_digest}",)
    )
    differences = tuple(_all(run.played, stored))
    return Compared(database.url_shown, sum(map(len, run.played.values())), differences, notes)


def _all(recorded: Mapping[str, Bars], found: Mapping[str, Bars]) -> Iterator[BarDifference]:
    for symbol, bars in recorded.items():
        yield from differing_bars(bars, found.get(symbol, {}))
