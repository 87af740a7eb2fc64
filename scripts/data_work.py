"""The work behind `scripts.data`: reads the store, says what is in it, takes bars out, makes longer ones."""

from __future__ import annotations

import argparse
import csv
import errno
import gzip
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.door import ROOT
from data.model.canonical import decimal_text, to_json
from data.model.errors import DataError, UsageError
from data.model.escape import escape_line
from data.model.instants import Interval, iso, show
from data.model.market import Bar, Instrument
from data.model.protocols import Clock
from data.sources.gaps import Gap, counted, gaps, shown
from data.sources.resample import EVER, resample_series
from data.store.database import open_database
from data.store.store import Series, Store
from scripts.ingest_report import show_report, watching
from scripts.sheet import Sheet

COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "session_date")
MARKS = ("adjustment", "synthetic")
MOST_SHOWN = 20
NO_SERIES = "no such series; python -m scripts.data list shows what there is"
Way = Callable[[argparse.Namespace, Store, Clock], int]


def work(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    """`options` as `scripts.data` checked them; the value is the exit code."""
    url = options.database or environ.get("DATABASE_URL") or None
    with open_database(url, ROOT / "data" / "postgres") as database:
        return WAYS[options.way](options, Store(database.engine), clock)


def _list(options: argparse.Namespace, store: Store, _: Clock) -> int:
    held = store.series(options.as_of, options.symbol)
    batches = [each for each in store.batches() if options.symbol in (None, *each.symbols)]
    if options.json:
        print(json.dumps({"series": to_json(held), "batches": to_json(batches)}, ensure_ascii=False))
        return 0
    sheet = Sheet()
    if not held and not batches:
        what = "nothing is" if options.symbol is None else f"nothing of {escape_line(options.symbol)} is"
        sheet.print(f"{what} here yet; python -m scripts.ingest --help shows how to bring it", markup=False)
        return 0
    _show(
        sheet,
        ("symbol", "interval", "from", "to", "bars", ""),
        [
            (each.symbol, each.interval, each.first_on, each.last_on, f"{each.bars:,}", "synthetic" * each.synthetic)
            for each in held
        ],
    )
    sheet.print()
    _show(
        sheet,
        ("batch", "came in", "bars", "facts", "of", "from"),
        [
            (
                each.batch_id,
                show(each.ingested_at),
                f"{each.bars:,}",
                f"{each.facts:,}",
                _few(each.symbols),
                each.source + (f" (dropped {show(each.dropped_at)})" if each.dropped_at else ""),
            )
            for each in batches
        ],
    )
    return 0


def _gaps(options: argparse.Namespace, store: Store, _: Clock) -> int:
    found = {
        (series.symbol, series.interval): list(_gaps_of(store, series, options.as_of))
        for series in store.series(options.as_of, options.symbol)
        if options.interval in (None, series.interval)
    }
    if not found:
        raise DataError(NO_SERIES)
    if options.json:
        rows = [{"symbol": s, "interval": i, "gaps": to_json(holes)} for (s, i), holes in found.items()]
        print(json.dumps({"series": rows}, ensure_ascii=False))
    else:
        _show_gaps(Sheet(), found)
    return 1 if any(found.values()) else 0


def _gaps_of(store: Store, series: Series, as_of: datetime) -> Iterator[Gap]:
    traded = _instrument(store, series.symbol)
    bars = store.known_bars(series.symbol, series.interval, as_of, *EVER)
    return gaps(bars, traded.calendar, series.interval, always_open=traded.is_always_open)


def _show_gaps(console: Console, found: Mapping[tuple[str, Interval], list[Gap]]) -> None:
    for (symbol, interval), holes in found.items():
        missing = ", ".join(
            counted(sum(each.missing for each in holes if each.unit == unit), unit)
            for unit in ("bars", "sessions")
            if any(each.unit == unit for each in holes)
        )
        head = f"{symbol} {interval}: " + (
            f"{missing} missing, in {counted(len(holes), 'gaps')}" if holes else "no gap"
        )
        console.print(Text(escape_line(head), style="bold"), soft_wrap=True)
        for hole in holes[:MOST_SHOWN]:
            said = f"  {shown(hole.begins)} to {shown(hole.ends)}: {counted(hole.missing, hole.unit)}"
            console.print(said, soft_wrap=True)
        if len(holes) > MOST_SHOWN:
            console.print(f"  … {len(holes) - MOST_SHOWN:,} more; --json lists all", soft_wrap=True)


def _export(options: argparse.Namespace, store: Store, _: Clock) -> int:
    traded = _instrument(store, options.symbol)
    _require_series(store, options)
    adjustment = store.adjustments((traded.symbol,), options.interval)[traded.symbol]
    bars = store.known_bars(traded.symbol, options.interval, options.as_of, options.start, options.end)
    first = next(bars, None)
    if first is None:
        raise DataError(
            f"no {options.interval} bar of {traded.symbol} from {options.start} to {options.end} was known then"
        )
    held = store.series(options.as_of, traded.symbol)
    made_up = any(each.synthetic for each in held if each.interval is options.interval)
    count = 0
    with _opened(options.file) as out:
        count = _write(out, chain((first,), bars), traded, (adjustment, *(["yes"] if made_up else [])))
    if options.json:
        print(json.dumps({"file": str(options.file), "bars": count}))
    elif str(options.file) != "-":
        words = ("csv", str(options.file), "--symbol", traded.symbol, "--interval", options.interval.value)
        back = shlex.join((*words, "--market", traded.calendar))
        said = f"wrote {count:,} bars to {options.file}; to bring them in: python -m scripts.ingest {back}"
        Sheet(stderr=True).print(Text(escape_line(said)), soft_wrap=True)
    return 0


def _write(out: TextIO, bars: Iterable[Bar], traded: Instrument, marks: Sequence[str]) -> int:
    """`marks` are the same in each row: the adjustment and, of what was made up, that it was."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *MARKS[: len(marks)]))
    count = 0
    for bar in bars:
        prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        is_session = bar.interval.is_daily and not traded.is_always_open
        stamp = bar.session_on.isoformat() if is_session else iso(bar.open_time)
        writer.writerow((stamp, *map(decimal_text, prices), bar.session_on.isoformat(), *marks))
        count += 1
    return count


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """The file is there only when it is whole, also behind a link; of equal bars a compressed one has equal bytes."""
    if str(file) == "-":
        yield sys.stdout
        return
    part = None
    try:
        place, part = _place(file)
        with (part or place).open("wb") as raw:
            packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if file.suffix == ".gz" else raw
            with io.TextIOWrapper(packed, "utf-8", newline="") as out:
                yield out
        if part is not None:
            part.replace(place)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _place(file: Path) -> tuple[Path, Path | None]:
    """Where bars go, and where until they are whole. Raises OSError for a folder.

    A pipe or a device is written into: to put a file in its place would take it away.
    """
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if file.exists() and not file.is_file():
        return file, None
    place = file.resolve()
    return place, place.with_name(f"{place.name}.part")


def _resample(options: argparse.Namespace, store: Store, clock: Clock) -> int:
    traded = _instrument(store, options.symbol)
    _require_series(store, options)
    with watching() as watch:
        reports = resample_series(
            store,
            traded,
            options.interval,
            options.into,
            clock=clock,
            name=options.as_symbol,
            keep_partial=options.keep_partial,
            watch=watch,
        )
    if options.json:
        print(json.dumps({"reports": to_json(reports)}, ensure_ascii=False))
    for report in reports:
        show_report(Sheet(stderr=options.json), report)
    return 0


def _drop(options: argparse.Namespace, store: Store, clock: Clock) -> int:
    dropped = store.drop_batch(options.batch, options.reason, clock.now())
    if options.json:
        print(json.dumps(to_json(dropped)))
        return 0
    said = f"dropped batch {dropped.batch_id} ({dropped.source}): {dropped.bars:,} bars and {dropped.facts:,} facts"
    back = f"; {dropped.set_back:,} rows are again what another batch says" if dropped.set_back else ""
    Sheet().print(Text(escape_line(f"{said}{back}")), soft_wrap=True)
    return 0


def _instrument(store: Store, symbol: str) -> Instrument:
    found = store.instrument(symbol)
    if found is None:
        raise UsageError(f"no bars of {symbol} are here; python -m scripts.data list shows what there is")
    return found


def _require_series(store: Store, options: argparse.Namespace) -> None:
    if not any(window.interval == options.interval for window in store.windows(options.symbol)):
        raise DataError(NO_SERIES)


def _show(console: Console, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape_line(str(cell))) for cell in row))
    console.print(table)


def _few(symbols: tuple[str, ...]) -> str:
    return ", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else "")


WAYS: Mapping[str, Way] = {"list": _list, "gaps": _gaps, "export": _export, "resample": _resample, "drop-batch": _drop}
