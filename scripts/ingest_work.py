"""The work behind `scripts.ingest`: opens the database, brings in what was asked for, says what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping

from data.door import ROOT
from data.model.canonical import to_json
from data.model.errors import AgentraderError
from data.model.market import IngestReport
from data.model.protocols import Clock
from data.sources import binance, yahoo
from data.sources.ingest import ingest_bar_file, ingest_bars, ingest_fact_file, ingest_sample
from data.sources.series import Watch
from data.store.database import open_database
from data.store.store import Store
from scripts.ingest_report import show_report, watching
from scripts.sheet import Sheet

Way = Callable[[argparse.Namespace, Store, Clock, Watch], Iterable[IngestReport]]


def ingest(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    """`options` as `scripts.ingest` checked them; the value is the exit code."""
    url = options.database or environ.get("DATABASE_URL") or None
    sheet = Sheet(stderr=options.json)
    reports = []
    with watching() as watch, open_database(url, ROOT / "data" / "postgres") as database:
        try:
            for report in WAYS[options.way](options, Store(database.engine), clock, watch):
                reports.append(report)
                with watch.aside():
                    show_report(sheet, report)
        except AgentraderError as error:
            raise _beside_others(error, len(reports), len(getattr(options, "files", ()))) from None
    if options.json:
        print(json.dumps({"reports": to_json(reports)}, ensure_ascii=False))
    return 0


def _beside_others(error: AgentraderError, stored: int, of: int) -> AgentraderError:
    """Each file is stored for itself: those before the bad one are, those behind it are not read."""
    if of < 2:
        return error
    return type(error)(f"{error} (of {of:,} files, stored: {stored:,}, not read: {of - stored - 1:,})")


def _bars(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Iterator[IngestReport]:
    for number, (path, (symbol, interval)) in enumerate(zip(options.files, options.series, strict=True), 1):
        yield ingest_bar_file(
            store,
            path,
            symbol,
            interval,
            clock=clock,
            market=options.market,
            rename=options.rename,
            synthetic=options.synthetic,
            watch=_counting(watch, number, len(options.files)),
        )


def _facts(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Iterator[IngestReport]:
    for number, path in enumerate(options.files, 1):
        yield ingest_fact_file(
            store,
            path,
            clock=clock,
            market=options.market,
            rename=options.rename,
            synthetic=options.synthetic,
            watch=_counting(watch, number, len(options.files)),
        )


def _counting(watch: Watch, number: int, of: int) -> Watch:
    """Says which of several files it is about."""
    return watch if of == 1 else lambda words: watch(f"file {number:,} of {of:,}: {words}")


def _sample(_: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Iterable[IngestReport]:
    return ingest_sample(store, clock=clock, watch=watch)


def _binance(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Iterable[IngestReport]:
    window = (options.symbol, options.interval, options.start, options.end)
    batch = binance.fetch_binance(binance.connect(options.host), *window, host=options.host, watch=watch)
    return [ingest_bars(store, batch, clock=clock, market=options.market, watch=watch)]


def _yahoo(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Iterable[IngestReport]:
    window = (options.symbol, options.interval, options.start, options.end)
    batch = yahoo.fetch_yahoo(yahoo.connect(), *window, watch=watch)
    return [ingest_bars(store, batch, clock=clock, market=options.market, watch=watch)]


WAYS: Mapping[str, Way] = {
    "csv": _bars,
    "facts": _facts,
    "sample": _sample,
    "binance": _binance,
    "yahoo": _yahoo,
}
