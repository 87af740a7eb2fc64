"""What tests of several rooms need: the real market data, and a database.

The embedded server of the tests has a cluster of its own, kept between runs; each worker has a database in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import databases
import house
import pytest
from sqlalchemy import Engine

from data.store.database import open_database
from data.store.embedded import embedded_server
from data.store.store import Store

pytest_plugins = ["no_skip"]

SHARED = Path(os.environ.get("AGENTRADER_SHARED", house.ROOT.parent / "shared"))
TEST_CLUSTER = house.ROOT / ".pytest_cache" / "postgres"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data; its absence is a failure, not a skip."""
    folder = SHARED / "data"
    assert folder.is_dir(), f"no real market data in {folder}; AGENTRADER_SHARED names the folder that holds data/"
    return folder


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A database of this worker on the embedded server, dropped at the end; commands take it as DATABASE_URL."""
    with embedded_server(TEST_CLUSTER) as server, databases.fresh(server.render_as_string()) as url:
        yield url


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The same on the server of AGENTRADER_TEST_DATABASE_URL; a test that asks for it is marked `server`."""
    server = os.environ.get("AGENTRADER_TEST_DATABASE_URL")
    if not server:
        pytest.skip("AGENTRADER_TEST_DATABASE_URL names no PostgreSQL server")
    with databases.fresh(server) as url:
        yield url


@pytest.fixture(scope="session")
def _engine(database_url: str) -> Iterator[Engine]:
    with open_database(database_url, TEST_CLUSTER) as database:
        yield database.engine


@pytest.fixture(scope="session")
def _server_engine(server_url: str) -> Iterator[Engine]:
    with open_database(server_url, TEST_CLUSTER) as database:
        yield database.engine


@pytest.fixture
def store(_engine: Engine) -> Store:
    """An empty store on the embedded server."""
    databases.empty(_engine)
    return Store(_engine)


@pytest.fixture
def server_store(_server_engine: Engine) -> Store:
    """An empty store on the other server."""
    databases.empty(_server_engine)
    return Store(_server_engine)


@pytest.fixture(params=["store", pytest.param("server_store", marks=pytest.mark.server)], ids=["embedded", "server"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """An empty store, once on each of the two."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Store)
    return found
