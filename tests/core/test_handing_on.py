"""`--share`: a complete run is handed on as `scripts.share` does it, and a run that is not is none the worse."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest
from main_job import RULES, WINDOW, play, recall

sys.path.append(str(Path(__file__).parents[1] / "llm"))
from fault_server import FaultServer, ok, refusal

from backtesting.core.arguments import read_arguments
from backtesting.core.job import Job
from data.door import SystemClock
from data.model.errors import UsageError
from scripts import share

KEY = {"OPENAI_API_KEY": "sk-canary-4f1c0ffee"}
MODEL = (*WINDOW, "--model", "openai/gpt-4o", "--mini", "--decide_every", "6")


def shared(root: Path) -> dict[str, bytes]:
    """What lies below `data/shared`, by its name there."""
    place = root / "data" / "shared"
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_complete_run_is_shared_in_the_same_bytes_as_by_the_command(
    tmp_path: Path, bitcoin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    played = play(tmp_path, bitcoin, *RULES, "--mini", "--share")
    assert played.code == 0
    run, told = played.folder.name, played.summary["shared"]
    assert shared(tmp_path).keys() == {f"{run}/certificate.html", f"{run}/run-{run}.tar.zst"}
    assert share.main([str(played.folder), "--output", str(tmp_path / "again"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for name in ("head", "verdict", "certificate_sha256", "bundle_sha256", "tar_sha256", "files"):
        assert told[name] == again[name]
    for word in ("certificate", "bundle"):
        assert told[word] in played.err
        assert Path(told[word]).parent == tmp_path / "data" / "shared" / run
    assert told["head"] == played.summary["head"]


def test_a_run_is_not_shared_unasked(tmp_path: Path, bitcoin: str) -> None:
    played = play(tmp_path, bitcoin, *RULES, "--mini")
    assert "shared" not in played.summary
    assert shared(tmp_path) == {}


def test_a_stopped_run_is_not_shared_until_it_was_gone_on_with(tmp_path: Path, bitcoin: str) -> None:
    with FaultServer([ok] * 6 + [refusal], then=ok) as server:
        words = ("--base_url", server.base_url, "--max_failures", "1", "--share")
        stopped = play(tmp_path, bitcoin, *MODEL, *words, environ=KEY)
        assert (stopped.code, stopped.summary["shared"]) == (3, None)
        assert "not shared      the run is incomplete" in stopped.err
        assert shared(tmp_path) == {}
        again = play(tmp_path, bitcoin, "--resume", str(stopped.folder), "--share", environ=KEY)
    assert again.code == 0
    assert again.summary["shared"]["run_id"] == stopped.folder.name


def test_a_run_that_was_complete_before_is_shared(tmp_path: Path, bitcoin: str) -> None:
    played = play(tmp_path, bitcoin, *RULES, "--mini")
    again = play(tmp_path, bitcoin, "--resume", str(played.folder), "--share")
    assert again.code == 0
    assert again.summary["shared"]["head"] == played.summary["head"]


def test_an_estimate_shares_nothing(tmp_path: Path, bitcoin: str) -> None:
    told = play(tmp_path, bitcoin, *RULES, "--mini", "--estimate", "--share")
    assert (told.code, shared(tmp_path)) == (0, {})


def test_a_run_that_cannot_be_shared_is_told_whole_all_the_same(tmp_path: Path, bitcoin: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shared").touch()
    words = (*RULES, "--mini", "--share", "--json", "--database", bitcoin, "--output_dir", str(tmp_path / "runs"))
    out, err = io.StringIO(), io.StringIO()
    job = Job(read_arguments(words, {}, recall), {}, "run", tmp_path, time.monotonic, time.sleep, SystemClock())
    with pytest.raises(UsageError, match="shared"):
        job.run(out, err)
    told = json.loads(out.getvalue())
    assert (told["status"], told["shared"]) == ("complete", None)
    assert "result digest" in err.getvalue()
