"""`scripts.runs list` and `show`: what they say of runs in every state is what the runs recorded."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fault_server import ok, refusal
from recordings import Recorder

from backtesting.audit.cards import card
from scripts import runs, runs_work, verify
from scripts.runs_cards import listing


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def put(shelf: Path, folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, shelf / name))


def listed(shelf: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    code = runs.main(["list", "--runs", str(shelf), "--json", *words])
    found = json.loads(capsys.readouterr().out)["runs"]
    return code, {Path(each["run_dir"]).name: each for each in found}


def cut(folder: Path, kind: str) -> None:
    """As if the process had been killed before the first record of that kind."""
    log = folder / "log.jsonl"
    data = log.read_bytes()
    end = data.index(f'"kind":"{kind}"}}\n'.encode())
    log.write_bytes(data[: data.rindex(b"\n", 0, end) + 1])


def test_a_finished_run_is_listed_with_its_numbers(
    recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(shelf, recorder.model(), "whole")
    metrics = json.loads((folder / "metrics.json").read_text())
    code, found = listed(shelf, capsys)
    assert code == 0
    one, summary = found["whole"], metrics["summary"]
    assert (one["status"], one["result_digest"]) == ("complete", metrics["result_digest"])
    for name in ("total_return", "decisions", "failed", "calls", "retries", "input_tokens", "fills"):
        assert one[name] == summary[name]
    assert (one["report"], one["communications_log"]) == (
        f"{one['run_dir']}/report.html",
        f"{one['run_dir']}/agent_comms.log",
    )
    assert one["cost_usd"] == pytest.approx(float(summary["cost_usd"]))
    assert one["interval"] == metrics["significance"]["total_return"]
    assert one["verdict"] == "INTACT, UNANCHORED (fast look)"


def test_the_newest_is_first(recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shelf, recorder.rules(), "z-older")
    put(shelf, recorder.both(), "a-newer")
    begun = {name: one["begun_at"] for name, one in listed(shelf, capsys)[1].items()}
    assert list(begun.values()) == sorted(begun.values(), reverse=True)
    _, last = listed(shelf, capsys, "--last", "1")
    assert list(last) == [max(begun, key=lambda name: begun[name])]


def test_what_does_not_say_when_it_began_comes_last(
    recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "c"):
        (shelf / name).mkdir()
        (shelf / name / "log.jsonl").write_text("nothing that reads\n")
    put(shelf, recorder.rules(), "b")
    assert list(listed(shelf, capsys)[1]) == ["b", "c", "a"]


@pytest.mark.parametrize(("width", "lines"), [(None, 3), (250, 3), (100, 8)])
def test_a_narrow_screen_gets_a_few_lines_a_run(recorder: Recorder, width: int | None, lines: int) -> None:
    cards = [card(recorder.rules()), card(recorder.both())]
    told = list(listing(cards, {}, width))
    assert len(told) == lines
    assert width is None or max(map(len, told)) <= width
    for each in cards:
        for shown in (each.run_id, each.window, "INTACT", str(each.digest)[:12], f"{each.total_return:+.2%}"):
            assert any(shown in line for line in told)


def test_only_the_runs_that_are_shown_are_read(
    recorder: Recorder, shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shelf, recorder.rules(), "older")
    newer = put(shelf, recorder.both(), "newer")
    read: list[Path] = []
    monkeypatch.setattr(runs_work, "card", lambda folder: read.append(folder) or card(folder))
    listed(shelf, capsys, "--last", "1")
    assert read == [newer]


def test_each_state_has_its_name(recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(put(shelf, recorder.rules(), "killed"), "run.end")
    cut(held := put(shelf, recorder.rules(), "going-on"), "run.end")
    put(shelf, recorder.rules_until_failure("refused-once"), "whole")
    (shelf / "torn").mkdir()
    (shelf / "torn" / "log.jsonl").write_text('{"no record"')
    (shelf / "no-run").mkdir()
    with (held / "log.jsonl").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        _, found = listed(shelf, capsys)
    assert {name: one["status"] for name, one in found.items()} == {
        "killed": "cut off",
        "going-on": "running",
        "whole": "complete",
        "torn": "unreadable",
    }
    assert found["going-on"]["progress"].startswith("48 of 48 decisions, at 2025-04-02 23:00 UTC")
    assert found["going-on"]["verdict"] == "-"


def test_a_stopped_run_says_why(recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shelf, recorder.served("stopped-at-the-third", [ok] * 9 + [refusal], "--max_failures", "1"), "stopped")
    put(shelf, recorder.refused_and_resumed(), "resumed")
    _, found = listed(shelf, capsys)
    assert [(found[name]["status"], found[name]["failed"]) for name in ("stopped", "resumed")] == [
        ("incomplete", 1),
        ("complete", 0),
    ]
    assert "decisions in a row failed" in found["stopped"]["reason"]
    assert found["stopped"]["verdict"] == "INCOMPLETE (fast look)"


def test_a_changed_run_is_seen_at_a_fast_look(
    recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(shelf, recorder.rules(), "changed")
    log = (folder / "log.jsonl").read_bytes()
    (folder / "log.jsonl").write_bytes(log.replace(b'"confidence":"0.85"', b'"confidence":"0.95"', 1))
    code, found = listed(shelf, capsys)
    assert (code, found["changed"]["verdict"]) == (0, "TAMPERED (fast look)")
    assert listed(shelf, capsys, "--verify")[0] == 1
    assert runs.main(["show", str(folder)]) == 1
    assert "TAMPERED" in capsys.readouterr().out


def test_show_says_what_the_run_printed(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorder.rules()
    assert runs.main(["show", str(folder)]) == 0
    out = capsys.readouterr().out
    metrics = json.loads((folder / "metrics.json").read_text())
    drawn = metrics["significance"]["total_return"]
    assert "checked         INTACT, UNANCHORED · RESULT RE-DERIVED\n" in out
    assert f"return          {drawn['value']:+.2%}  ({drawn['low']:+.2%} to {drawn['high']:+.2%} by" in out
    assert f"result digest   {metrics['result_digest']}\n" in out
    assert "answered by     built-in rules, not a language model (192 answers)\n" in out


def test_show_ends_as_verify_does(recorder: Recorder, shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = put(shelf, recorder.rules(), "whole")
    stopped = put(
        shelf, recorder.served("stopped-at-the-third", [ok] * 9 + [refusal], "--max_failures", "1"), "stopped"
    )
    changed = put(shelf, recorder.rules(), "changed")
    log = (changed / "log.jsonl").read_bytes()
    (changed / "log.jsonl").write_bytes(log.replace(b'"confidence":"0.85"', b'"confidence":"0.95"', 1))
    ends = {whole: 0, stopped: 3, changed: 1}
    for folder, code in ends.items():
        assert runs.main(["show", str(folder)]) == code
        assert runs.main(["show", str(folder), "--fast"]) == code
        assert verify.main([str(folder)]) == code
    assert runs.main(["show", str(shelf)]) == 2


def test_what_a_run_calls_itself_moves_no_cursor(
    hostile_dir: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shelf, hostile_dir, "\x1b[2Jname")
    runs.main(["list", "--runs", str(shelf)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def test_no_runs_are_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main(["list", "--runs", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.startswith("no runs in ")


@pytest.mark.parametrize("words", [("show", "nothing-there"), ("list", "--last", "0")])
def test_wrong_use_is_one_line(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main([*words, "--runs", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
