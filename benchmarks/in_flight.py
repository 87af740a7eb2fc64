"""Runs whose model takes its time: many decisions in flight beside one after the other, and what they hold in memory.

The model is a local server that answers by the built-in rules after a fixed wait. The window of the first row is played
once without any wait, one decision after the other, and must come to the same result digest; the sessions of the others
order nothing, so that no prediction fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from backtesting.core.flags import SAMPLE_SYMBOL
from benchmarks.place import Place, shared
from benchmarks.rows import Goal, Row
from data.door import ROOT, SystemClock
from data.model.instants import Interval
from data.sources.ingest import ingest_bar_file, ingest_sample

LATENCY_S = 1.0
REPLIES = 4
MANY, MORE = 32, 64
SESSIONS_A_DAY = 200
NO_LOT = "0.000000001"
"""A position size too small for any lot: its orders come to nothing."""
_LOOK_S = 0.2
YEARS, LONG_SYMBOL = Path("data/crypto_spot/BTCUSDT_1h.csv.gz"), "BTC"
_FIRST_HOURS, _FIRST_DAY = "2020-01-03", "2000-01-03"
_PARTS = 4


@dataclass(frozen=True, slots=True)
class Flown:
    """A run that is over: its summary, and megabytes resident during its loop, look by look."""

    summary: dict[str, Any]
    resident: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return float(self.summary["wall_s"])


def rows(place: Place) -> Iterator[Row]:
    """Seconds of the loop, sessions a second, megabytes."""
    words = _window(place)
    with serving(0.0) as url:
        place.tell("  one after the other, without a wait")
        serial = _fly(place, url, 1, *words)
    with serving(LATENCY_S) as url:
        place.tell(f"  {MANY} in flight, replies of {LATENCY_S:g} s")
        flown = _fly(place, url, MANY, *words)
        yield _in_flight(flown, serial)
        yield from _sessions(place, url)


def _in_flight(flown: Flown, serial: Flown) -> Row:
    result, same = flown.summary, serial.summary["result_digest"]
    if result["result_digest"] != same:
        raise RuntimeError(f"{MANY} in flight came to {result['result_digest']}, one after the other to {same}")
    replies, fills = result["replies"], result["fills"]
    goal = 1.3 * LATENCY_S * (replies / MANY + 2 * fills)
    name = f"{result['decisions']} decisions, {fills} fills, replies of {LATENCY_S:g} s, {MANY} in flight: wall"
    return Row(name, flown.seconds, "s", "one by one, by arithmetic", replies * LATENCY_S, Goal(round(goal, 1)))


def _sessions(place: Place, url: str) -> Iterator[Row]:
    sessions = SESSIONS_A_DAY * place.days
    place.tell(f"  {sessions} sessions, {MORE} in flight")
    flown = _fly(place, url, MORE, *_long_window(place, sessions), "--position_size", NO_LOT)
    decisions, ideal = flown.summary["decisions"], MORE / (REPLIES * LATENCY_S)
    rate = decisions / flown.seconds
    yield Row(
        f"sessions, {MORE} in flight", rate, "sessions/s", "the server's wait alone", ideal, Goal(14, at_least=True)
    )
    first = max(flown.resident[: max(1, len(flown.resident) // _PARTS)])
    name = f"memory over {decisions} sessions, {MORE} in flight"
    yield Row(name, max(flown.resident), "MB", "over the first quarter of them", first, Goal(250))


def _long_window(place: Place, sessions: int) -> tuple[str, ...]:
    """About so many bars: hours of Bitcoin where there are years of them, else days of the sample."""
    if shared(YEARS).is_file():
        rename = {"BTCUSDT": LONG_SYMBOL}
        ingest_bar_file(place.store, shared(YEARS), LONG_SYMBOL, Interval.H1, clock=SystemClock(), rename=rename)
        symbol, interval, start = LONG_SYMBOL, Interval.H1, _FIRST_HOURS
    else:
        ingest_sample(place.store, clock=SystemClock())
        symbol, interval, start = SAMPLE_SYMBOL, Interval.D1, _FIRST_DAY
    bars = place.store.first_bars(symbol, interval, date.fromisoformat(start), date.max)
    *_, last = islice(bars, sessions)
    window = ("--start_date", start, "--end_date", f"{last.session_on}")
    return ("--symbol", symbol, "--interval", interval.value, *window)


def _window(place: Place) -> tuple[str, ...]:
    asked = place.settings
    window = ("--start_date", f"{asked.start_on}", "--end_date", f"{asked.end_on}")
    return ("--symbol", *asked.symbols, "--interval", asked.interval.value, *window)


def _fly(place: Place, url: str, concurrency: int, *words: str) -> Flown:
    with tempfile.TemporaryDirectory(dir=place.folder) as runs:
        command = place.job(*words, "--json", "--output_dir", runs)
        command += ["--model", "openai/gpt-4o-mini", "--base_url", url, "--concurrency", f"{concurrency}", "--yes"]
        environ = os.environ | {"DATABASE_URL": place.url}
        with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:  # noqa: S603
            resident = tuple(_watch(job, Path(runs)))
            out, err = job.communicate()
    if job.returncode:
        raise RuntimeError(f"the run was not completed: {err.decode()}")
    return Flown(json.loads(out), resident)


def _watch(job: subprocess.Popen[bytes], runs: Path) -> Iterator[float]:
    """Megabytes, from the first bar on until the run's end is being rendered."""
    process = psutil.Process(job.pid)
    while job.poll() is None and not any(runs.glob("*/spec.json")):
        if any(runs.glob("*/log.jsonl")):
            try:
                yield process.memory_info().rss / 2**20
            except psutil.Error:
                return
        time.sleep(_LOOK_S)


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """The base URL of the model's server, as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.rules_server", "--latency", f"{latency_s}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
