"""The embedded server: who may use it, who stops it, and what it survives."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import house
import psutil
import psycopg2
import pytest
from sqlalchemy import URL, text

from data.model.errors import StoreUnavailable
from data.store import embedded, embedded_places
from data.store.database import connect, open_database
from data.store.embedded import DATABASE, PORT, ROLE, embedded_server
from data.store.embedded_places import Places, places_for

NOBODY = 65534
OPEN_AND_SAY_SO = """
import sys, time
from pathlib import Path
from data.store.database import open_database
from data.store.store import Store
with open_database(None, Path(sys.argv[1])) as database:
    Store(database.engine).begin_run(sys.argv[2], {}, "", __import__("datetime").datetime.now().astimezone())
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """A cluster of this test alone; root's lies in the system's state directory and is taken away again."""
    places = places_for(tmp_path / "state dir, 'odd\" & \\ long")
    yield places
    if pid := postmaster(places):
        os.kill(pid, signal.SIGQUIT)
    shutil.rmtree(places.home, ignore_errors=True)


@pytest.fixture
def state_dir(places: Places, tmp_path: Path) -> Path:
    return tmp_path / "state dir, 'odd\" & \\ long"


def postmaster(places: Places) -> int | None:
    """The pid of the running server, if one runs."""
    note = places.cluster / "postmaster.pid"
    lines = note.read_text().splitlines() if note.exists() else []
    return int(lines[0]) if lines and psutil.pid_exists(int(lines[0])) else None


def another_process(state_dir: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN_AND_SAY_SO, str(state_dir), name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=house.ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def opened_and_killed(state_dir: Path, name: str) -> None:
    """A process that had the database open, and left its server running."""
    process = another_process(state_dir, name)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    process.kill()
    process.communicate()


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_runs_while_it_is_used_and_keeps_what_it_was_given(state_dir: Path, places: Places) -> None:
    for known in (0, 1):
        with open_database(None, state_dir) as database, database.engine.begin() as connection:
            assert postmaster(places)
            assert connection.execute(text("SHOW server_version_num")).scalar_one().startswith("18")
            assert connection.execute(text("SELECT count(*) FROM market.runs")).scalar_one() == known
            row = "INSERT INTO market.runs (run_id, question, run_dir, started_at) VALUES ('a', '{}', '', now())"
            connection.execute(text(row if not known else "SELECT 1"))
        assert postmaster(places) is None


def test_the_last_one_out_stops_it(state_dir: Path, places: Places) -> None:
    with connect(None, state_dir) as outer:
        with connect(None, state_dir):
            pass
        with outer.engine.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert postmaster(places) is None


def test_processes_that_start_at_once_share_it(state_dir: Path, places: Places) -> None:
    processes = [another_process(state_dir, f"run {number}") for number in range(4)]
    said = [process.stdout.readline() if process.stdout else "" for process in processes]
    ended = [process.communicate("done\n", timeout=60)[1] for process in processes]
    assert said == ["open\n"] * 4, ended
    assert postmaster(places) is None
    with open_database(None, state_dir) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM market.runs")).scalar_one() == 4


def test_one_that_does_not_answer_is_not_taken_from_who_uses_it(
    state_dir: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(None, state_dir) as database, database.engine.connect() as connection:
        monkeypatch.setattr(embedded, "_answering", lambda places: None)
        with (
            pytest.raises(StoreUnavailable, match="does not answer, and another process uses it"),
            connect(None, state_dir),
        ):
            pass
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    with connect(None, state_dir) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_one_that_hangs_is_restarted_by_who_is_alone(
    state_dir: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_and_killed(state_dir, "left")
    left = postmaster(places)
    monkeypatch.setattr(embedded, "_answering", lambda places: None)
    with connect(None, state_dir) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT run_id FROM market.runs")).scalars().all() == ["left"]
        assert postmaster(places) not in (None, left)


def test_a_killed_process_leaves_nothing_that_the_next_does_not_mend(state_dir: Path, places: Places) -> None:
    opened_and_killed(state_dir, "killed")
    left = postmaster(places)
    assert left
    with open_database(None, state_dir) as database, database.engine.connect() as connection:
        assert postmaster(places) == left
        assert connection.execute(text("SELECT run_id FROM market.runs")).scalars().all() == ["killed"]
    assert postmaster(places) is None


def test_a_crashed_server_and_a_pid_that_is_now_another_program(state_dir: Path, places: Places) -> None:
    opened_and_killed(state_dir, "kept")
    note = places.cluster / "postmaster.pid"
    crashed = postmaster(places)
    assert crashed
    os.kill(crashed, signal.SIGKILL)
    while psutil.pid_exists(crashed):
        time.sleep(0.01)
    bystander = subprocess.Popen(["sleep", "60"], user=places.server.pw_uid if os.geteuid() == 0 else None)
    try:
        note.write_text(note.read_text().replace(str(crashed), str(bystander.pid), 1))
        with open_database(None, state_dir) as database, database.engine.connect() as connection:
            assert connection.execute(text("SELECT run_id FROM market.runs")).scalars().all() == ["kept"]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("note", ["", "not a pid\n", "999999\n"])
def test_a_note_of_a_server_that_is_none(state_dir: Path, places: Places, note: str) -> None:
    with connect(None, state_dir):
        pass
    path = places.cluster / "postmaster.pid"
    path.write_text(note)
    os.chown(path, places.server.pw_uid, places.server.pw_gid)
    with connect(None, state_dir):
        assert postmaster(places)


def test_a_set_up_that_was_interrupted_begins_anew(state_dir: Path, places: Places) -> None:
    half = places.home / "cluster.unfinished"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with connect(None, state_dir):
        assert postmaster(places)


def test_folders_are_closed_and_others_keep_their_rights(state_dir: Path, places: Places, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = {path: rights(path) for path in [tmp_path, *tmp_path.parents]}
    with connect(None, state_dir) as database, database.engine.connect() as connection:
        assert connection.execute(text("SHOW listen_addresses")).scalar_one() == ""
        assert rights(places.cluster) == rights(embedded._socket_folder(places)) == 0o700
        assert rights(places.home) & 0o007 == 0
        assert rights(places.home) == (0o710 if os.geteuid() == 0 else 0o700)
        rules = connection.execute(text("SELECT type, auth_method, options FROM pg_hba_file_rules")).all()
        assert [tuple(rule) for rule in rules] == [("local", "peer", ["map=owner"])]
    assert {path: rights(path) for path in before} == before


def test_another_user_of_the_system_is_refused(state_dir: Path, places: Places) -> None:
    """Even where the folders stand open. Only root can try it as somebody else; a user tries another role."""
    with embedded_server(state_dir) as url:
        socket = Path(str(url.query["host"]))
        for folder in (places.home, socket, places.cluster):
            folder.chmod(0o755)
        (socket / f".s.PGSQL.{PORT}").chmod(0o777)
        child = os.fork()
        if child == 0:
            os._exit(_try_to_get_in(url, as_nobody=os.geteuid() == 0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def _try_to_get_in(url: URL, *, as_nobody: bool) -> int:
    """7 if the server answered, and refused."""
    if as_nobody:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    for user in [*([ROLE] if as_nobody else []), "postgres", pwd.getpwuid(os.geteuid()).pw_name]:
        try:
            psycopg2.connect(host=url.query["host"], port=PORT, user=user, dbname=DATABASE).close()
        except psycopg2.OperationalError as error:
            if "Peer authentication failed" not in str(error):
                return 1
        else:
            return 0
    return 7


def test_libpqs_variables_lead_nowhere_else(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "PGHOST": "203.0.113.1",
        "PGPORT": "1",
        "PGUSER": "x",
        "PGDATABASE": "x",
        "PGDATA": "/x",
        "PGSSLMODE": "require",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with open_database(None, state_dir) as database, database.engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_cluster_of_another_version_says_so(state_dir: Path, places: Places) -> None:
    with connect(None, state_dir):
        pass
    (places.cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreUnavailable, match=r"does not start: .*version 16") as refused, connect(None, state_dir):
        pass
    assert len(str(refused.value).splitlines()) == 1


def test_a_user_without_a_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(embedded_places.pwd, "getpwuid", nameless)
    with pytest.raises(StoreUnavailable, match=r"needs a user with a name.*DATABASE_URL"):
        places_for(tmp_path)


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(embedded_places, "SYSTEM_STATE", tmp_path / "file" / "agentrader")
    with pytest.raises(StoreUnavailable, match=r"no place for the embedded PostgreSQL.*DATABASE_URL"):
        places_for(tmp_path / "file" / "state")


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = tmp_path.parents[1] / f"s{os.getpid()}"
    short.mkdir()
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(short))
    us = pwd.getpwuid(os.geteuid())
    places = Places(tmp_path / ("long" * 30), Path(), us, us)
    try:
        folder = embedded._socket_folder(places)
        assert folder.parent == short
        assert rights(folder) == 0o700
        assert embedded._socket_folder(places) == folder
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(StoreUnavailable, match="belongs to somebody else"):
            embedded._socket_folder(places)
    finally:
        shutil.rmtree(short)
