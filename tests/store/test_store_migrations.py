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

from data.model.errors import StoreUnavailable
from data.model.instants import Interval
from data.store import migrate
from data.store.database import connect, open_database
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


def test_the_newest_revision_is_alembics(fresh: str) -> None:
    alembic(fresh, "upgrade", "head")
    assert databases.run(fresh, "SELECT version_num FROM market.alembic_version") == [(migrate.NEWEST,)]


def test_an_open_database_that_is_up_to_date_asks_alembic_nothing(fresh: str) -> None:
    with opened(fresh):
        pass
    code = "import sys; from pathlib import Path; from data.store.database import open_database\n"
    code += "with open_database(sys.argv[1], Path('/nonexistent')): print('alembic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, fresh], cwd=house.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_whoever_holds_the_tables_is_not_waited_for_for_ever(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alembic(fresh, "upgrade", "m0001")
    monkeypatch.setattr(migrate, "PATIENCE", "200ms")
    with connect(fresh, Path("/nonexistent")) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM market.bars").scalar_one()
        with pytest.raises(StoreUnavailable, match=r"another process is at work in the database .*; try again when"):
            migrate.migrate(database.engine)
    with opened(fresh) as store:
        assert store.windows() == ()
