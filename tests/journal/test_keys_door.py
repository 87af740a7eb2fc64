"""`python -m scripts.keys`: keys are shown, given away, certified and rotated, and nothing private is ever printed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import house
import pytest

from data.journal.certificates import read_certificates
from data.journal.keyring import Keyring
from data.journal.notes import PublicKey
from scripts import keys
from scripts.keys import SystemClock


class Machine:
    """One machine's folder of keys, and what the command says on it."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capfd = folder, capfd

    def run(self, *words: str | Path, code: int = 0) -> str:
        assert keys.main([*map(str, words), "--keys", str(self.folder)]) == code
        told = self._capfd.readouterr()
        assert "PRIVATE" not in told.out + told.err
        assert (told.out == "") == (code != 0)
        assert told.err.count("\n") == (1 if code else 0)
        return told.err if code else told.out

    def json(self, *words: str | Path) -> dict:
        return json.loads(self.run(*words, "--json"))

    @property
    def ring(self) -> Keyring:
        return Keyring(self.folder, SystemClock())


@pytest.fixture
def home(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "home", capfd)


@pytest.fixture
def away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Machine:
    return Machine(tmp_path / "away", capfd)


def test_show_tells_the_key_that_signs(home: Machine) -> None:
    found = home.json("show")
    key = home.ring.project()
    assert (found["name"], found["fingerprint"], found["vkey"]) == (key.name, key.fingerprint, key.text)
    assert (found["host"], found["earlier"], found["folder"]) == (None, [], str(home.folder))
    text = home.run("show")
    for each in (key.fingerprint, key.text, str(home.folder), "this is the project key"):
        assert each in text


def test_a_rented_machine_runs_while_the_project_key_stays_at_home(
    home: Machine, away: Machine, tmp_path: Path
) -> None:
    pub, certificate = tmp_path / "rented.pub", tmp_path / "rented.cert"
    away.run("export", pub)
    certificate.write_text(home.run("certify", pub, "--name", "rented-1"), encoding="utf-8")
    project = home.ring.project()
    assert project.fingerprint in away.run("certify", "--accept", certificate)
    run_pub = away.ring.issue("r1").certificates.encode()
    trusted = [PublicKey.parse(line) for line in home.run("export").splitlines()]
    assert read_certificates(run_pub, "r1", trusted).known
    found = away.json("show")
    assert found["name"] == "agentrader/host/rented-1"
    assert found["host"]["certified_by"]["fingerprint"] == project.fingerprint
    assert "agentrader/host/rented-1" in away.run("show")
    assert "signs as a host" in away.run("rotate", code=2)


def test_the_line_itself_can_be_certified(home: Machine, away: Machine) -> None:
    line = away.run("export").strip()
    found = home.json("certify", line, "--name", "h")
    assert (found["host"], found["fingerprint"]) == ("h", PublicKey.parse(line).fingerprint)
    assert away.ring.accept(found["certificate"].encode()).host == "h"


def test_a_rotated_key_is_kept_as_a_public_line(home: Machine) -> None:
    before = home.json("show")
    found = home.json("rotate")
    assert found["replaces"]["fingerprint"] == before["fingerprint"] != found["fingerprint"]
    assert home.run("export").splitlines() == [found["vkey"], before["vkey"]]
    assert [key["vkey"] for key in home.json("show")["earlier"]] == [before["vkey"]]
    assert before["fingerprint"] in home.run("show")
    assert "which is erased" in home.run("rotate")


def test_export_writes_no_file_twice(home: Machine, tmp_path: Path) -> None:
    file = tmp_path / "project.pub"
    assert home.json("export", file)["file"] == str(file)
    assert file.read_text() == home.run("export")
    assert "exists already" in home.run("export", file, code=2)
    key = home.folder / "project.key"
    held = key.read_bytes()
    home.run("export", key, code=2)
    assert key.read_bytes() == held
    assert "cannot be written" in home.run("export", tmp_path / "no" / "where", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("certify",), "say whose key"),
        (("certify", "x.pub"), "say whose key"),
        (("certify", "--name", "h"), "say whose key"),
        (("certify", "nowhere.pub", "--name", "h"), "cannot be read"),
        (("certify", "a+b+c", "--name", "h"), "is no public key"),
        (("certify", "a+b+c", "--accept", "x"), "takes neither"),
        (("certify", "--accept", "nowhere.cert"), "cannot be read"),
        (("certify", "--accept", __file__), "is not whole"),
    ],
)
def test_wrong_use_is_one_line(away: Machine, words: tuple[str, ...], said: str) -> None:
    assert said in away.run(*words, code=2)


def test_a_key_that_others_can_read_is_refused(home: Machine) -> None:
    home.run("show")
    (home.folder / "project.key").chmod(0o644)
    assert "run: chmod 600" in home.run("show", code=2)


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTRADER_KEYS", str(tmp_path / "elsewhere"))
    assert keys.main(["show"]) == 0
    assert (tmp_path / "elsewhere" / "project.key").is_file()


def test_help_answers_at_once_with_an_example() -> None:
    took = []
    for _ in range(3):
        began = time.monotonic()
        told = subprocess.run(
            [sys.executable, "-m", "scripts.keys", "--help"], cwd=house.ROOT, capture_output=True, text=True, check=True
        )
        took.append(time.monotonic() - began)
    assert "certify rented.pub --name rented-1" in told.stdout
    assert min(took) < 0.4
