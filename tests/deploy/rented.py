"""A rented machine for tests: an OpenSSH server of their own on loopback, with its own keys, and a folder behind it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import house

_WHERE = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin"
SSHD, USERADD = shutil.which("sshd", path=_WHERE), shutil.which("useradd", path=_WHERE)
SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment yes
"""


@dataclass(frozen=True)
class Told:
    """What a script printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Rented:
    """The machine at the other end; `place` holds its keys, `home` what an uploaded project may be put in."""

    user: str
    port: int
    place: Path
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Path:
        return self.place / "user"

    @property
    def known_hosts(self) -> Path:
        return self.place / "known_hosts"

    @property
    def folder(self) -> Path:
        return self.home / "agentrader"

    @property
    def machine(self) -> tuple[str, ...]:
        """The words that reach it."""
        return (f"{self.user}@127.0.0.1", str(self.key), str(self.folder))

    @property
    def how(self) -> tuple[str, ...]:
        """The flags that go with them."""
        return ("--port", str(self.port), "--known_hosts", str(self.known_hosts))

    def script(self, name: str, *words: str | Path, **environ: str) -> Told:
        """Runs scripts/NAME.sh against this machine."""
        return self.plain(name, *self.machine, *self.how, *map(str, words), **environ)

    def plain(
        self, name: str, *words: str, project: Path = house.ROOT, cwd: Path | None = None, **environ: str
    ) -> Told:
        done = subprocess.run(
            ["bash", str(project / "scripts" / f"{name}.sh"), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, **self.environ, **environ},
        )
        return Told(done.returncode, done.stdout, done.stderr)

    def become_strange(self) -> None:
        """Another host key is known under its address."""
        other = self.place / "other"
        _keygen(other)
        self._know(other)

    def know(self) -> None:
        self._know(self.place / "host")

    def _know(self, key: Path) -> None:
        kind, public, *_ = key.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {public}\n")


@contextmanager
def rented(user: str, place: Path, home: Path) -> Iterator[Rented]:
    """A server that lets `user` in with a key, for as long as the context lasts."""
    machine = Rented(user, _free_port(), place, home, {"AGENTRADER_KEYS": str(place / "keys")})
    for name in ("host", "user"):
        _keygen(place / name)
    machine.know()
    shutil.copy(place / "user.pub", place / "authorized")
    (place / "authorized").chmod(0o644)
    (place / "config").write_text(SERVER.format(port=machine.port, place=place))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (place / "sshd.log").open("wb") as log:
        server = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(place / "config")], stdout=log, stderr=log)
    try:
        _wait_for(machine.port, server)
        yield machine
    finally:
        server.terminate()
        server.wait(10)


def give_packages(folder: Path) -> None:
    """A set-up .venv in `folder`, made of links to this one's, so that a test installs nothing."""
    venv = folder / ".venv"
    venv.mkdir(parents=True)
    for each in (house.ROOT / ".venv").resolve().iterdir():
        if not each.name.startswith(("requirements", "made", "node")):
            (venv / each.name).symlink_to(each)
    shutil.copy(house.ROOT / "requirements.txt", venv)


def give_stub(folder: Path, python: str) -> None:
    """The far end's script in `folder`, and in the place of its Python a shell script."""
    for path, text in ((folder / ".venv" / "bin" / "python", python), (folder / "scripts" / "rented.sh", None)):
        path.parent.mkdir(parents=True)
        path.write_text((house.ROOT / "scripts" / path.name).read_text() if text is None else f"#!/bin/sh\n{text}")
        path.chmod(0o755)


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert server.poll() is None, "sshd did not start"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("sshd does not answer")
