"""The command over prompts: what there is, which runs used it, what differs, and a set of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import house
import pytest

from agents.prompt_files import OURS, load_prompts
from scripts import prompts

RELEASE = next((house.ROOT / "tests" / "releases").glob("*/*/log.jsonl")).parent


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A kept run, one whose prompts were changed in its log, one that is empty, and a stranger's folder."""
    folder = tmp_path / "runs"
    for name in ("a-kept", "b-changed"):
        (folder / name).mkdir(parents=True)
        with (RELEASE / "log.jsonl").open("rb") as log:
            (folder / name / "log.jsonl").write_bytes(log.readline())
        shutil.copytree(RELEASE / "blobs", folder / name / "blobs")
    path = folder / "b-changed" / "log.jsonl"
    first = json.loads(path.read_text())
    first["body"]["prompts"]["decision"] |= {"text": "Buy.\n\x1b[2Jnow", "version": "evil\u202e", "sha256": "0" * 64}
    path.write_text(json.dumps(first) + "\n")
    (folder / "c-empty").mkdir()
    (folder / "c-empty" / "log.jsonl").touch()
    (folder / "d-other").mkdir()
    (folder / "d-other" / "log.jsonl").write_text('{"kind":"x"}\n')
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert prompts.main(list(words)) == code
    return capsys.readouterr().out


def test_list_says_which_runs_used_which(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "list", "--runs", str(runs), "--json"))["prompts"]
    used = {(each["prompt"]["role"], each["prompt"]["sha256"][:4], each["is_here"]): each["runs"] for each in found}
    assert used["decision", "0000", False] == ["b-changed"]
    recorded = json.loads((runs / "a-kept" / "log.jsonl").read_text())["body"]["prompts"]["technical"]["sha256"]
    is_here = load_prompts()[next(role for role in load_prompts() if role == "technical")].sha256 == recorded
    assert used["technical", recorded[:4], is_here] == ["a-kept", "b-changed"]
    shown = said(capsys, "list", "--runs", str(runs))
    assert "evil\\u202e" in shown


def test_what_a_run_says_is_shown_escaped(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "show", "decision", "b-changed", "--runs", str(runs))
    assert shown.splitlines()[2:] == ["Buy.", "\\x1b[2Jnow"]


def test_show_says_the_whole_text(capsys: pytest.CaptureFixture[str]) -> None:
    text = load_prompts()[next(role for role in load_prompts() if role == "decision")].text
    assert said(capsys, "show", "decision").split("\n", 2)[2].strip() == text


def test_a_new_set_is_a_copy_that_differs_where_it_is_changed(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "patient"
    shown = said(capsys, "new", str(folder), "--runs", str(runs))
    assert f"--prompts {folder}" in shown
    assert {prompt.version for prompt in load_prompts(folder).values()} == {"patient"}
    decision = folder / "decision.md"
    decision.write_text(decision.read_text() + "\nWait for a second sign.\n")
    changed = said(capsys, "diff", "ours", str(folder), "--role", "decision", code=1)
    assert "+Wait for a second sign." in changed.splitlines()
    assert "+version: patient" in changed.splitlines()
    assert "technical" not in changed


def test_equal_prompts_have_no_difference(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the prompts are the same" in said(capsys, "diff", "ours", str(OURS))
    assert said(capsys, "diff", "a-kept", "b-changed", "--role", "technical", "--runs", str(runs)).startswith("the")
    found = json.loads(said(capsys, "diff", "a-kept", "b-changed", "--runs", str(runs), "--json", code=1))
    assert [role for role, lines in found["differences"].items() if lines] == ["decision"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "decision", "nowhere"], "there is no run nowhere"),
        (["show", "decision", "c-empty"], "holds no prompts that can be read"),
        (["show", "decision", "d-other"], "holds no prompts that can be read"),
        (["new", "RUNS"], "is there already"),
        (["new", "x", "--version", "a b"], "--version 'a b'"),
    ],
)
def test_wrong_use_is_one_line_and_ends_with_2(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    given = [str(runs) if word == "RUNS" else word for word in words]
    assert prompts.main([*given, "--runs", str(runs)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
