"""Opening a server's database: every form of URL, every way it can go wrong in one line, and migrations."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import databases
import house
import pytest
from made_rows import LONG_AFTER, MADE, bar, batch, fact, hour
from sqlalchemy import URL, Connection, make_url, text

from data.model.errors import AgentraderError, StoreUnavailable, UsageError
from data.model.instants import Interval
from data.store import migrate
from data.store.database import connect, open_database, read_url
from data.store.faults import shown
from data.store.store import Counts, Store

CANARY = "canary-3f9a"
NOWHERE = Path("/nonexistent")  # the state directory must not matter where a URL is given
TABLES = {"alembic_version", "instruments", "batches", "bars", "facts", "runs", "sweeps", "tasks"}
SERVERS = pytest.mark.parametrize(
    "server", ["database_url", pytest.param("server_url", marks=pytest.mark.server)], ids=["embedded", "server"]
)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """A new, empty database on one of the two servers."""
    with databases.fresh(request.getfixturevalue(server)) as url:
        yield url


def complaint(url: str | URL) -> str:
    """What a user reads who opens this: one line."""
    given = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    with pytest.raises(AgentraderError) as refused, open_database(given, NOWHERE):
        pass
    assert refused.value.exit_code == 2
    assert len(str(refused.value).splitlines()) == 1
    assert CANARY not in str(refused.value)
    return str(refused.value)


@SERVERS
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_works(fresh: str, scheme: str) -> None:
    url = make_url(fresh).set(drivername=scheme).render_as_string(hide_password=False)
    with open_database(f" {url}\n", NOWHERE) as database:
        assert Store(database.engine).windows() == ()


@SERVERS
def test_parameters_reach_the_server(fresh: str) -> None:
    url = make_url(fresh).update_query_dict(
        {"application_name": "from the url", "sslmode": "prefer", "options": "-cwork_mem=9MB"}
    )
    with (
        open_database(url.render_as_string(hide_password=False), NOWHERE) as database,
        database.engine.connect() as one,
    ):
        row = one.execute(text("SELECT current_setting('application_name'), current_setting('work_mem')")).one()
        assert tuple(row) == ("from the url", "9MB")


@SERVERS
def test_the_address_is_shown_without_its_user(fresh: str) -> None:
    url = make_url(fresh)
    with open_database(fresh, NOWHERE) as database:
        assert database.url_shown.endswith(f"/{url.database}")
        assert "@" not in database.url_shown


@SERVERS
def test_everything_is_in_our_schema(fresh: str) -> None:
    with open_database(fresh, NOWHERE) as database, database.engine.connect() as connection:
        where = text(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        assert {tuple(row) for row in connection.execute(where)} == {("market", name) for name in TABLES}


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        f"user:{CANARY}@host/db",
        "sqlite:///market.db",
        "mysql://user@host/db",
        f"postgresql://user:{CANARY}@more@host/db",
        f"postgresql://user@host:{CANARY}/db",
        f"{CANARY}://host/db",
    ],
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL") as refused:
        read_url(url)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("password", ["a/b", "a?b", "a#b", "a:b", "a%40b", "5/x"])
def test_a_password_may_hold_almost_anything(password: str) -> None:
    url = read_url(f"postgresql://user:{password}@host:5433/db?sslmode=require")
    assert (url.username, url.password) == ("user", password.replace("%40", "@"))
    assert (url.host, url.port, url.database, dict(url.query)) == ("host", 5433, "db", {"sslmode": "require"})
    assert shown(url) == "host:5433/db"


def test_without_a_host_libpqs_defaults_hold() -> None:
    assert shown(read_url("postgresql:///db?host=/run/postgres%40here")) == "/run/postgres@here/db"
    assert shown(read_url("postgresql://")) == "the default host/"


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    said = complaint(f"postgresql://{CANARY}:{CANARY}@127.0.0.1:{port}/db?password={CANARY}")
    assert said.startswith(f"the database 127.0.0.1:{port}/db cannot be used: ")
    assert "Connection refused" in said
    assert said.endswith("; see that it runs and that DATABASE_URL is right (without one the project starts its own)")


def test_a_host_that_does_not_exist() -> None:
    assert "no-such-host.invalid" in complaint(f"postgresql://user:{CANARY}@no-such-host.invalid/db")


def test_a_parameter_that_does_not_exist() -> None:
    assert "sslmod" in complaint(f"postgresql://user:{CANARY}@127.0.0.1:1/db?sslmod=require")


@SERVERS
def test_a_database_that_does_not_exist(fresh: str) -> None:
    assert "does not exist" in complaint(make_url(fresh).set(database="never_made"))


@contextmanager
def answering(*replies: bytes) -> Iterator[int]:
    """A server that reads one message for each reply and gives it, then hangs up; the value is its port."""

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            for reply in replies:
                client.recv(4096)
                client.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_sslmode_require_does_not_talk_to_a_server_without_tls() -> None:
    with answering(b"N") as port:
        said = complaint(f"postgresql://user:{CANARY}@127.0.0.1:{port}/db?sslmode=require")
    assert "SSL" in said


def test_a_wrong_password() -> None:
    fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "user"\0\0'
    refusal = b"E" + struct.pack("!i", len(fields) + 4) + fields
    with answering(refusal) as port:
        said = complaint(f"postgresql://user:{CANARY}@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable")
    assert 'password authentication failed for user "user"; see that it runs and that DATABASE_URL is right' in said


@SERVERS
def test_an_older_server_is_told_what_is_needed(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "OLDEST", 990000)
    assert re.search(r"is PostgreSQL 1\d; 14 or newer is needed", complaint(fresh))


@SERVERS
def test_another_encoding_is_told(fresh: str) -> None:
    with databases.fresh(fresh, encoding="SQL_ASCII") as url:
        assert "is in SQL_ASCII" in complaint(url)


@SERVERS
def test_a_database_of_newer_code_is_left_alone(fresh: str) -> None:
    with open_database(fresh, NOWHERE) as database, database.engine.begin() as connection:
        connection.execute(text("UPDATE market.alembic_version SET version_num = 'm9999'"))
    assert "m9999" in complaint(fresh)


@SERVERS
def test_processes_that_open_a_new_database_at_once(fresh: str) -> None:
    code = "import sys; from pathlib import Path; from data.store.database import open_database\n"
    code += "with open_database(sys.argv[1], Path('/nonexistent')): print('open')"
    command = [sys.executable, "-c", code, fresh]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(command, cwd=house.ROOT, stdout=pipe, stderr=pipe, text=True) for _ in range(5)]
    assert [process.communicate(timeout=60) for process in started] == [("open\n", "")] * 5


@SERVERS
def test_a_migration_waits_for_another_one(fresh: str) -> None:
    waits = "SELECT wait_event FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    code = "import sys; from pathlib import Path; from data.store.database import open_database\n"
    code += "with open_database(sys.argv[1], Path('/nonexistent')): print('open')"
    command = [sys.executable, "-c", code, fresh]
    with connect(fresh, NOWHERE) as database:
        with database.engine.begin() as connection:
            migrate.prepare(connection)
            other = subprocess.Popen(command, cwd=house.ROOT, stdout=subprocess.PIPE, text=True)
            while not (seen := databases.run(fresh, waits)) and other.poll() is None:
                pass
        assert other.communicate(timeout=60) == ("open\n", None)
        assert seen == [("advisory",)]


@SERVERS
def test_alembic_works_from_the_projects_root(fresh: str) -> None:
    environ = os.environ | {"DATABASE_URL": fresh}
    for words, said in ((["upgrade", "head"], ""), (["current"], "m0003 (head)\n"), (["upgrade", "head"], "")):
        command = [sys.executable, "-m", "alembic", *words]
        done = subprocess.run(command, cwd=house.ROOT, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
    with open_database(fresh, NOWHERE) as database:
        assert Store(database.engine).windows() == ()


@contextmanager
def as_user(url: str) -> Iterator[str]:
    """The URL of a role that owns nothing and was granted nothing, where it has to show a password. Server only."""
    role = f"agentrader_test_{os.getpid()}"
    databases.run(url, f"CREATE ROLE {role} LOGIN PASSWORD '{CANARY}'")
    databases.run(url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    try:
        yield make_url(url).set(username=role, password=CANARY).render_as_string(hide_password=False)
    finally:
        databases.run(url, f"DROP OWNED BY {role} CASCADE")
        databases.run(url, f"DROP ROLE {role}")


def mended(said: str) -> str:
    """The statement that the complaint names."""
    found = re.search(r"mends that with: (.*;)$", said)
    assert found, said
    return found.group(1)


def use(url: str) -> None:
    """Everything that a run does to a store."""
    with open_database(url, NOWHERE) as database:
        store = Store(database.engine)
        store.put_instrument(MADE)
        bars = [bar(n) for n in range(1500)]
        store.add_bars(batch(), bars)
        assert store.add_bars(batch(), bars) == Counts(1500, 0, 0)
        assert store.add_facts(batch(), [fact(1)]) == Counts(1, 1, 0)
        store.begin_run("run", {}, "", hour(0))
        store.end_run("run", "complete", None, {}, hour(1))
        assert len(store.bars_as_of("MADE", Interval.H1, LONG_AFTER, 9)) == 9


@pytest.mark.server
def test_a_user_who_may_not_create_is_told_the_statement_that_mends_it(server_url: str) -> None:
    with databases.fresh(server_url) as url, as_user(url) as theirs:
        said = complaint(theirs)
        statement = mended(said)
        name = make_url(url).database
        assert statement == f'GRANT CREATE ON DATABASE "{name}" TO "{make_url(theirs).username}";'
        databases.run(url, statement)
        use(theirs)


@pytest.mark.server
def test_a_user_of_somebody_elses_schema_is_told_the_statement_that_mends_it(server_url: str) -> None:
    with databases.fresh(server_url) as url:
        with open_database(url, NOWHERE):
            pass
        with as_user(url) as theirs:
            databases.run(url, mended(complaint(theirs)))
            use(theirs)


@pytest.mark.server
def test_a_user_without_temporary_tables_is_told_the_statement_that_mends_it(server_url: str) -> None:
    with databases.fresh(server_url) as url, as_user(url) as theirs:
        databases.run(url, mended(complaint(theirs)))
        databases.run(url, f"REVOKE TEMPORARY ON DATABASE {make_url(url).database} FROM PUBLIC")
        with pytest.raises(StoreUnavailable) as refused:
            use(theirs)
        databases.run(url, mended(str(refused.value)))
        use(theirs)


@SERVERS
def test_a_server_that_only_reads_is_told(fresh: str) -> None:
    databases.run(fresh, f"ALTER DATABASE {make_url(fresh).database} SET default_transaction_read_only = on")
    assert "read-only" in complaint(fresh)


@SERVERS
def test_a_connection_that_breaks_is_an_error_and_the_next_one_works(fresh: str) -> None:
    with open_database(fresh, NOWHERE) as database:
        store = Store(database.engine)
        with database.engine.connect() as connection:
            terminate(fresh, connection)
            with pytest.raises(StoreUnavailable, match="cannot be used"):
                connection.execute(text("SELECT 1"))
        assert store.windows() == ()
        with database.engine.connect() as idle:
            terminate(fresh, idle)
        assert store.windows() == ()


def terminate(url: str, connection: Connection) -> None:
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.commit()
    databases.run(url, f"SELECT pg_terminate_backend({pid})")
