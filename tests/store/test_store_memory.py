"""A long series is read in as little memory as a short one: a process of its own says how much it ever took."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import house
from made_rows import START, bar, batch

from data.model.instants import Interval
from data.store.store import Store

MINUTE = timedelta(minutes=1)
BARS = 150_000
READ = """
import resource, sys
from datetime import date
from pathlib import Path
from data.model.instants import Interval
from data.store.database import open_database
from data.store.store import Store
with open_database(sys.argv[1], Path("/nonexistent")) as database:
    read = Store(database.engine).first_bars("MADE", Interval.M1, *map(date.fromisoformat, sys.argv[2:]))
    print(sum(1 for _ in read), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def read(url: str, days: int) -> tuple[int, int]:
    """How many bars those days have, and what reading them took at most, in KiB."""
    window = [START.date().isoformat(), (START.date() + timedelta(days=days - 1)).isoformat()]
    command = [sys.executable, "-c", READ, url, *window]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, check=True)
    count, peak = done.stdout.split()
    return int(count), int(peak)


def test_ten_times_the_bars_take_the_same_memory(store: Store, database_url: str) -> None:
    """All of them at once would take some 80 MB more."""
    opened = [START + MINUTE * number for number in range(BARS)]
    store.add_bars(
        batch(),
        (bar(0, interval=Interval.M1, open_time=at, known_at=at + MINUTE, session_on=at.date()) for at in opened),
    )
    few, small = read(database_url, 10)
    many, large = read(database_url, 110)
    assert (few, many) == (14_400, BARS)
    assert large - small < 8 * 1024
