"""The work behind `scripts.ingest`: opens the database, brings in what was asked for, says what came of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from data.door import ROOT
from data.model.canonical import to_json
from data.model.market import IngestReport
from data.model.protocols import Clock
from data.sources import binance, yahoo
from data.sources.ingest import ingest_bar_file, ingest_bars, ingest_fact_file, ingest_sample
from data.sources.series import Watch
from data.store.database import open_database
from data.store.store import Store
from scripts.ingest_report import show_report, watching

Way = Callable[[argparse.Namespace, Store, Clock, Watch], Sequence[IngestReport]]


def ingest(options: argparse.Namespace, environ: Mapping[str, str], clock: Clock) -> int:
    """`options` as `scripts.ingest` checked them; the value is the exit code."""
    url = options.database or environ.get("DATABASE_URL") or None
    with watching() as watch, open_database(url, ROOT / "data" / "postgres") as database:
        reports = WAYS[options.way](options, Store(database.engine), clock, watch)
    if options.json:
        print(json.dumps({"reports": to_json(reports)}, ensure_ascii=False))
    console = Console(stderr=options.json)
    for report in reports:
        show_report(console, report)
    return 0


def _bars(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Sequence[IngestReport]:
    report = ingest_bar_file(
        store,
        options.file,
        options.symbol,
        options.interval,
        clock=clock,
        market=options.market,
        rename=options.rename,
        synthetic=options.synthetic,
        watch=watch,
    )
    return [report]


def _facts(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Sequence[IngestReport]:
    report = ingest_fact_file(
        store,
        options.file,
        clock=clock,
        market=options.market,
        rename=options.rename,
        synthetic=options.synthetic,
        watch=watch,
    )
    return [report]


def _sample(_: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Sequence[IngestReport]:
    return ingest_sample(store, clock=clock, watch=watch)


def _binance(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Sequence[IngestReport]:
    window = (options.symbol, options.interval, options.start, options.end)
    batch = binance.fetch_binance(binance.connect(options.host), *window, host=options.host, watch=watch)
    return [ingest_bars(store, batch, clock=clock, watch=watch)]


def _yahoo(options: argparse.Namespace, store: Store, clock: Clock, watch: Watch) -> Sequence[IngestReport]:
    window = (options.symbol, options.interval, options.start, options.end)
    return [ingest_bars(store, yahoo.fetch_yahoo(yahoo.connect(), *window, watch=watch), clock=clock, watch=watch)]


WAYS: Mapping[str, Way] = {
    "csv": _bars,
    "facts": _facts,
    "sample": _sample,
    "binance": _binance,
    "yahoo": _yahoo,
}
