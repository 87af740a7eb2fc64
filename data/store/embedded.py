"""An embedded PostgreSQL: started when the first process needs it, stopped when the last one is done.

Who uses it is known by locks, which the system gives back when a process dies, so nobody killed is counted as a user
for ever: a server left running by a killed process is used by the next one, and stopped at its end. It listens on a
Unix socket alone, in a folder of 0700, and takes only the OS user it belongs to (peer).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2
from sqlalchemy import URL

from data.model.errors import StoreUnavailable
from data.store.embedded_places import Places, locked, places_for

ROLE = "agentrader"
DATABASE = "postgres"
PORT = 5432
LONGEST_SOCKET = 103  # macOS; Linux takes 107
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "max_parallel_workers_per_gather": "0",  # parallel queries need /dev/shm, which containers keep small
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@contextmanager
def embedded_server(state_dir: Path) -> Iterator[URL]:
    """The URL of a running server for as long as the context lasts. Raises StoreUnavailable."""
    places = places_for(state_dir)
    with locked(places.home / "in_use", fcntl.LOCK_UN) as use:
        with locked(places.home / "lock", fcntl.LOCK_EX):
            alone = _alone(use)
            fcntl.flock(use, fcntl.LOCK_SH)
            socket = _answering(places) or _start(places, alone=alone)
        try:
            yield _url(socket)
        finally:
            with locked(places.home / "lock", fcntl.LOCK_EX):
                if _alone(use):
                    _stop(places, Path(socket))


def _url(socket: str, database: str = DATABASE) -> URL:
    return URL.create("postgresql", ROLE, database=database, port=PORT, query={"host": socket})


def _alone(use: int) -> bool:
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _postmaster(places: Places) -> list[str]:
    """The lines of postmaster.pid: pid, data directory, start, port, socket directory, …; none without a server."""
    try:
        return (places.cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _answering(places: Places) -> str | None:
    """The socket directory of a server that is up, if there is one."""
    lines = _postmaster(places)
    if len(lines) < 5:
        return None
    try:
        psycopg2.connect(host=lines[4], port=PORT, user=ROLE, dbname=DATABASE).close()
    except psycopg2.OperationalError:
        return None
    return lines[4]


def _start(places: Places, *, alone: bool) -> str:
    """One that runs and does not answer is restarted, but not under somebody else's feet."""
    if not places.cluster.exists():
        _create(places)
    if _is_running(places) and not alone:
        raise StoreUnavailable(f"the embedded PostgreSQL in {places.home} does not answer, and another process uses it")
    socket = _socket_folder(places)
    _write_settings(places, socket)
    started = _pg_ctl(places, "-l", "cluster/server.log", "-t", "60", "-o", "-c config_file=postgresql.conf", "restart")
    if started.returncode:
        said = _last_line(places.cluster / "server.log") or started.stderr.strip()
        raise StoreUnavailable(f"the embedded PostgreSQL in {places.home} does not start: {said}")
    return str(socket)


def _stop(places: Places, socket: Path) -> None:
    _pg_ctl(places, "stop")
    if socket.parent != places.home:
        with suppress(OSError):  # in use after all, if the server did not stop
            socket.rmdir()


def _create(places: Places) -> None:
    """A new cluster, under another name until it is whole."""
    unfinished = places.home / "cluster.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, places.server.pw_uid, places.server.pw_gid)
    words = ("--auth-local=peer", "--auth-host=reject", "--encoding=UTF8", "--locale=C")
    made = _run(places, "initdb", "-D", unfinished.name, "-U", ROLE, *words)
    if made.returncode:
        raise StoreUnavailable(f"the embedded PostgreSQL cannot be set up in {places.home}: {made.stderr.strip()}")
    unfinished.rename(places.cluster)


def _is_running(places: Places) -> bool:
    """Whether the noted pid is a server of this cluster: it works in its folder.

    After a crash, or in a new container, it may be another program's; then the note goes, so that nobody signals that.
    A note of one that is gone is left for PostgreSQL to judge, which also looks for what it left behind.
    """
    lines = _postmaster(places)
    try:
        if lines and Path(psutil.Process(int(lines[0])).cwd()) == places.cluster:
            return True
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        pass
    (places.cluster / "postmaster.pid").unlink(missing_ok=True)
    return False


def _socket_folder(places: Places) -> Path:
    folder = places.home / "socket"
    if len(bytes(folder / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET or "," in str(folder):  # libpq parts hosts at commas
        name = hashlib.sha256(bytes(places.home)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"agentrader-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid not in (places.client.pw_uid, places.server.pw_uid):
        raise StoreUnavailable(
            f"{folder} belongs to somebody else; the embedded PostgreSQL does not put its socket there"
        )
    os.chown(folder, places.server.pw_uid, places.server.pw_gid)
    folder.chmod(0o700)
    return folder


def _write_settings(places: Places, socket: Path) -> None:
    """Written at each start, outside of the cluster, so that it holds for the OS user and the folder of now."""
    home = places.home
    _write(places, home / "pg_hba.conf", "local all all peer map=owner\n")
    _write(places, home / "pg_ident.conf", f'owner "{places.client.pw_name}" {ROLE}\n')
    settings = SETTINGS | {
        "unix_socket_directories": '"' + str(socket).replace('"', '""') + '"',
        "hba_file": str(home / "pg_hba.conf"),
        "ident_file": str(home / "pg_ident.conf"),
    }
    lines = [f"{name} = '" + value.replace("\\", "\\\\").replace("'", "''") + "'\n" for name, value in settings.items()]
    _write(places, home / "postgresql.conf", "".join(lines))


def _write(places: Places, path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    os.chown(path, places.client.pw_uid, places.server.pw_gid)
    path.chmod(0o640)


def _pg_ctl(places: Places, *words: str) -> subprocess.CompletedProcess[str]:
    return _run(places, "pg_ctl", "-D", "cluster", "-w", "-m", "fast", *words)


def _run(places: Places, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs one of PostgreSQL's programs in our folder, as the server's user, with none of our environment.

    They hand paths on to a shell with little care, so they get short ones.
    """
    other = places.server.pw_uid != os.geteuid()
    # A server that stays would hold a pipe open for ever; a file it may keep.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        done = subprocess.run(  # noqa: S603  # our own programs, no shell
            [str(places.postgres / "bin" / program), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
            check=False,
            cwd=places.home,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            user=places.server.pw_uid if other else None,
            group=places.server.pw_gid if other else None,
            extra_groups=() if other else None,
        )
        errors.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, "", errors.read())


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else ""
