"""A database of an earlier revision is carried on with all that is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import databases
import house
import pytest
from made_rows import LONG_AFTER, bar, batch

from data.model.instants import Interval
from data.store.database import open_database
from data.store.store import Store

ONE_BAR = """
    INSERT INTO market.batches (source, digest, ingested_at, synthetic, adjustment)
    VALUES ('old', '', now(), false, 'none');
    INSERT INTO market.bars (symbol, "interval", open_time, version, known_at, session_on,
                             open, high, low, close, volume, flags, synthetic, batch_id)
    SELECT 'MADE', '1h', '2025-04-01 00:00Z', 1, '2025-04-01 01:00Z', '2025-04-01',
           100, 101, 99, 100, 10.5, '{}', false, batch_id FROM market.batches
"""


@pytest.fixture(params=["database_url", pytest.param("server_url", marks=pytest.mark.server)])
def fresh(request: pytest.FixtureRequest) -> Iterator[str]:
    """A new, empty database on one of the two servers."""
    with databases.fresh(request.getfixturevalue(request.param)) as url:
        yield url


def alembic(url: str, *words: str) -> None:
    command = [sys.executable, "-m", "alembic", *words]
    done = subprocess.run(
        command, cwd=house.ROOT, env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def opened(url: str) -> Iterator[Store]:
    with open_database(url, Path("/nonexistent")) as database:
        yield Store(database.engine)


def closes(store: Store) -> list[int]:
    return [int(each.close) for each in store.bars_as_of("MADE", Interval.H1, LONG_AFTER, 9)]


def test_a_database_of_the_first_revision_is_carried_on(fresh: str) -> None:
    alembic(fresh, "upgrade", "m0001")
    databases.run(fresh, ONE_BAR)
    alembic(fresh, "upgrade", "m0002")
    alembic(fresh, "downgrade", "m0001")
    with opened(fresh) as store:
        assert store.bars_as_of("MADE", Interval.H1, LONG_AFTER, 9) == (bar(0),)
        store.add_bars(batch(), [bar(0, 200), bar(1)])
        assert closes(store) == [200, 100]
