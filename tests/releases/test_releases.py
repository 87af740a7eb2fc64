"""A run of every release verifies for ever after, with this version of the program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scripts import verify

RELEASES = sorted(path.parent for path in Path(__file__).parent.glob("*/head"))


@pytest.fixture(params=RELEASES, ids=[path.name for path in RELEASES])
def release(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def verified(release: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    head = (release / "head").read_text().strip()
    code = verify.main([str(run), "--key", str(release / "project.pub"), "--head", head, "--json"])
    return code, json.loads(capsys.readouterr().out)


def run_of(release: Path) -> Path:
    (run,) = (path for path in release.iterdir() if path.is_dir())
    return run


def test_it_verifies(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verified(release, run_of(release), capsys)
    assert code == 0
    assert (said["verdict"], said["result"]) == ("INTACT, ANCHORED", "RESULT RE-DERIVED")
    assert said["differences"] == []


def test_it_no_longer_does_once_it_is_changed(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / run_of(release).name
    shutil.copytree(run_of(release), copy)
    log = (copy / "log.jsonl").read_bytes()
    (copy / "log.jsonl").write_bytes(log.replace(b'"traced":true', b'"traced":1   ', 1))
    code, said = verified(release, copy, capsys)
    assert (code, said["verdict"]) == (1, "TAMPERED")


def test_there_is_a_release() -> None:
    assert RELEASES
