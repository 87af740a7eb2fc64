"""The keyring: one project key whoever comes first, private files that stay private, and no kill that blocks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.journal import key_files
from data.journal.certificates import Subject, read_certificates
from data.journal.keyring import Keyring
from data.journal.notes import PublicKey, SigningKey, open_note, sign_note
from data.model.errors import UsageError

AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")


class StandingClock:
    def now(self) -> datetime:
        return AT


def keyring(folder: Path) -> Keyring:
    return Keyring(folder, StandingClock())


def complaint(work: object, *arguments: object) -> str:
    assert callable(work)
    with pytest.raises(UsageError) as caught:
        work(*arguments)
    assert "\n" not in str(caught.value)
    assert "PRIVATE" not in str(caught.value)
    return str(caught.value)


def modes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder.parent).as_posix(): oct(stat.S_IMODE(path.stat().st_mode))
        for path in [folder, *folder.rglob("*")]
    }


def rented(home: Keyring, folder: Path, name: str = "rented-1") -> Keyring:
    """A machine that home vouches for."""
    machine = keyring(folder)
    machine.accept(home.certify_host(machine.own()[0], name).encode())
    return machine


def test_a_run_key_signs_and_leads_to_the_project(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    made = keys.issue("r1")
    found = read_certificates(made.certificates.encode(), "r1", [keys.project()])
    assert found.known
    assert found.keys == (made.key.public,)
    assert made.key.public.name == "agentrader/run/r1"
    assert open_note(sign_note("text\n", made.key), found.keys)[0] == "text\n"


def test_files_are_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keyring(tmp_path / "keys").issue("r1")
    finally:
        os.umask(before)
    assert modes(tmp_path / "keys") == {
        "keys": "0o700",
        "keys/project.key": "0o600",
        "keys/project.pub": "0o600",
        "keys/runs": "0o700",
        "keys/runs/r1.key": "0o600",
    }


def test_the_keys_are_there_again(tmp_path: Path) -> None:
    made = keyring(tmp_path / "keys").issue("r1")
    again = keyring(tmp_path / "keys")
    for held in (again.recall("r1"), again.issue("r1")):
        assert held is not None
        assert (held.key.public, held.certificates) == (made.key.public, made.certificates)
    assert again.recall("r2") is None
    assert again.project() == keyring(tmp_path / "keys").project()
    assert (tmp_path / "keys" / "project.pub").read_text() == again.project().text + "\n"


def test_a_complete_run_has_no_private_key_any_more(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    keys.issue("r1")
    path = tmp_path / "keys" / "runs" / "r1.key"
    kept = path.open("rb")
    with kept:
        keys.retire("r1")
        assert set(kept.read()) == {0}
    assert not path.exists()
    assert keys.recall("r1") is None
    keys.retire("r1")


def test_a_rotated_key_vouches_for_its_successor_and_is_erased(tmp_path: Path) -> None:
    keys = keyring(tmp_path / "keys")
    first, earlier = keys.project(), keys.issue("r1")
    with (tmp_path / "keys" / "project.key").open("rb") as kept:
        second = keys.rotate()
        assert set(kept.read()) == {0}
    third = keys.rotate()
    assert len({first, second, third}) == 3
    assert keys.own() == (third, second, first)
    lines = (tmp_path / "keys" / "project.pub").read_text().splitlines()
    assert [PublicKey.parse(line) for line in lines] == [third, second, first]
    later = keys.issue("r2").certificates.encode()
    for trusted in (first, second, third):
        assert read_certificates(later, "r2", [trusted]).known
    assert read_certificates(later, "r2", []).signer == third
    held = keys.recall("r1")
    assert held is not None
    assert held.certificates == earlier.certificates


def test_a_rented_machine_signs_and_the_project_key_stays_at_home(tmp_path: Path) -> None:
    home, machine = keyring(tmp_path / "home"), keyring(tmp_path / "away")
    before = machine.project()
    rented(home, tmp_path / "away")
    home.rotate()
    rented(home, tmp_path / "away")
    made = machine.issue("r1")
    found = read_certificates(made.certificates.encode(), "r1", [home.project()])
    assert (found.known, found.hosts, found.signer) == (True, ("rented-1",), home.project())
    assert machine.project() == home.project()
    assert machine.issuer().key.public.name == "agentrader/host/rented-1"
    assert machine.own() == (before,)
    assert not read_certificates(made.certificates.encode(), "r1", [keyring(tmp_path / "other").project()]).known


def test_a_certificate_for_another_machine_is_not_taken(tmp_path: Path) -> None:
    home, machine, other = (keyring(tmp_path / name) for name in ("home", "away", "other"))
    for_other = home.certify_host(other.own()[0], "other").encode()
    assert "have certified what `export` prints here" in complaint(machine.accept, for_other)
    assert "is not whole" in complaint(machine.accept, for_other[:-3])
    assert "is not whole" in complaint(machine.accept, b"")
    assert "is not a host's" in complaint(machine.accept, machine.issue("r1").certificates.encode())
    assert machine.issuer().key.public == machine.own()[0]


def test_a_machine_that_home_vouches_for_neither_rotates_nor_certifies(tmp_path: Path) -> None:
    home = keyring(tmp_path / "home")
    machine = rented(home, tmp_path / "away")
    assert "signs as a host" in complaint(machine.rotate)
    assert "is a host itself" in complaint(machine.certify_host, home.project(), "x")
    assert "of this machine itself" in complaint(home.certify_host, home.project(), "x")
    assert "is no name" in complaint(home.certify_host, machine.own()[0], "a b")


def test_a_host_certificate_of_a_key_that_is_gone_is_named(tmp_path: Path) -> None:
    machine = rented(keyring(tmp_path / "home"), tmp_path / "away")
    (tmp_path / "away" / "project.key").unlink()
    assert "host.cert is not for this machine's key" in complaint(machine.issue, "r1")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    keys = keyring(tmp_path / "keys")
    keys.issue("r1")
    for name in ("project.key", "runs/r1.key"):
        path = tmp_path / "keys" / name
        path.chmod(mode)
        assert f"chmod 600 {path}" in complaint(keys.issue, "r2" if name == "project.key" else "r1")
        path.chmod(0o600)
    keys.issue("r2")


@pytest.mark.parametrize("name", ["keys", "keys/runs"])
def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, name: str) -> None:
    keys = keyring(tmp_path / "keys")
    keys.issue("r1")
    (tmp_path / name).chmod(0o755)
    assert f"chmod 700 {tmp_path / name}" in complaint(keys.issue, "r2")


def test_what_is_public_may_be_read(tmp_path: Path) -> None:
    machine = rented(keyring(tmp_path / "home"), tmp_path / "away")
    for name in ("project.pub", "host.cert"):
        (tmp_path / "away" / name).chmod(0o644)
    assert machine.issue("r1").chain.host == "rented-1"


PEM = SigningKey.new("x").pem()
FOREIGN = {
    "nothing": b"",
    "zeros": b"\x00" * 200,
    "text": b"secret\n",
    "a key alone": PEM,
    "half a key": PEM[:60],
    "much": b"x" * (2 << 20),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("name", ["project.key", "runs/r1.key"])
def test_a_foreign_or_half_written_file_is_refused(tmp_path: Path, name: str, what: str) -> None:
    content, keys = FOREIGN[what], keyring(tmp_path / "keys")
    keys.issue("r1")
    path = tmp_path / "keys" / name
    path.write_bytes(content)
    said = complaint(keys.issue, "r1" if "r1" in name else "r2")
    assert str(path) in said
    assert path.read_bytes() == content


def test_a_key_under_certificates_of_another_is_refused(tmp_path: Path) -> None:
    one, other = keyring(tmp_path / "one"), keyring(tmp_path / "other")
    one.project()
    mixed = other.issuer().key.pem() + one.issuer().certificates.encode()
    (tmp_path / "one" / "project.key").write_bytes(mixed)
    assert "are not for its key" in complaint(one.issue, "r1")


def test_a_pipe_in_place_of_a_key_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "keys" / "project.key", 0o600)
    assert "not a regular file" in complaint(keyring(tmp_path / "keys").project)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "AGENTRADER_KEYS" in complaint(keyring(tmp_path / "file" / "keys").project)

    def read_only(path: Path, data: bytes) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(key_files, "_write_new", read_only)
    said = complaint(keyring(tmp_path / "keys").project)
    assert "Read-only file system" in said
    assert str(tmp_path / "keys") in said


@pytest.mark.parametrize("run_id", ["", "../project", "a/b", "a b", ".."])
def test_a_run_id_names_no_other_file(tmp_path: Path, run_id: str) -> None:
    for work in (
        keyring(tmp_path / "keys").issue,
        keyring(tmp_path / "keys").recall,
        keyring(tmp_path / "keys").retire,
    ):
        assert "is no name" in complaint(work, run_id)


def test_processes_that_start_at_once_agree_on_one_project_key(tmp_path: Path) -> None:
    barrier, queue = FORK.Barrier(8), FORK.Queue()

    def begin(number: int) -> None:
        barrier.wait()
        made = keyring(tmp_path / "keys").issue(f"r{number}")
        queue.put((made.chain.signer.text, made.key.public.text))

    children = [FORK.Process(target=begin, args=(number,)) for number in range(8)]
    for child in children:
        child.start()
    told = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert {project for project, _ in told} == {keyring(tmp_path / "keys").project().text}
    assert len({run for _, run in told}) == 8


@pytest.mark.parametrize("call", range(12))
def test_a_stop_between_any_two_steps_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Everything that is written before the n-th fsync stays; what comes after never happens."""
    keys, left = keyring(tmp_path / "keys"), call

    class Stop(BaseException):
        pass

    def stopping(_: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stop

    def work() -> None:
        for number in range(9):
            keys.issue(f"r{number}")
            keys.rotate()

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stopping)
        with pytest.raises(Stop):
            work()
    project = keys.project()
    assert keys.own()[0] == project
    assert read_certificates(keys.issue("next").certificates.encode(), "next", [keys.own()[-1]]).known
    assert (tmp_path / "keys" / "project.pub").read_text().splitlines()[0] == project.text


@pytest.mark.parametrize("wait", [0.0, 0.003, 0.01, 0.02, 0.05])
def test_a_killed_process_blocks_nothing(tmp_path: Path, wait: float) -> None:
    def work() -> None:
        keys = keyring(tmp_path / "keys")
        while True:
            keys.issue("r1")
            keys.rotate()
            keys.retire("r1")

    child = FORK.Process(target=work)
    child.start()
    time.sleep(wait)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    keys = keyring(tmp_path / "keys")
    assert keys.issue("r2").chain.signer == keys.project()
    assert keys.issuer().chain.subject.subject is Subject.PROJECT
