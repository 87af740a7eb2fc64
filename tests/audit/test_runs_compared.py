"""`scripts.runs compare`: runs are paired on the same bars, and what differs there is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_run import Plan, spot, write_run
from recordings import Recorder, live

from backtesting.audit.story_reader import read_story
from scripts import runs


def compared(capsys: pytest.CaptureFixture[str], *folders: Path) -> dict[str, Any]:
    assert runs.main(["compare", *map(str, folders), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["comparisons"]
    return found


@pytest.fixture
def one_and_other(recorder: Recorder) -> tuple[Path, Path]:
    """The rules at every bar, and a model at every third of the same bars."""
    return recorder.rules(), recorder.model()


def test_a_run_differs_from_itself_in_nothing(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capsys, recorder.rules(), recorder.rules())
    assert (found["bars"], found["paired_decisions"], found["differing"]) == (48, 48, [])
    assert found["difference"] == {"value": 0, "low": 0, "high": 0, "level": 0.95}
    assert (found["asked_otherwise"], found["restated_bars"], found["resized"]) == ([], 0, 0)
    assert found["first"] == found["second"]


def test_returns_are_those_that_the_runs_recorded(
    one_and_other: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(capsys, *one_and_other)
    for name, folder in zip(("first", "second"), one_and_other, strict=True):
        summary = json.loads((folder / "metrics.json").read_text())["summary"]
        assert found[name]["total_return"] == pytest.approx(summary["total_return"])
        assert found[name]["cost_usd"] == pytest.approx(float(summary["cost_usd"]))
        assert (found[name]["decisions"], found[name]["failed"]) == (summary["decisions"], summary["failed"])
        assert found[name]["wall_s"] == summary["wall_s"]
    gain = found["difference"]
    assert gain["value"] == pytest.approx(found["second"]["total_return"] - found["first"]["total_return"])
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_every_decision_that_differs_is_told_with_its_words(
    one_and_other: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(capsys, *one_and_other)
    stories = [read_story(live(folder)) for folder in one_and_other]
    outcomes = [
        {
            s.bar_open_time: (s.decision.value.action or s.decision.value.status).value
            for s in story.sessions
            if s.decision
        }
        for story in stories
    ]
    apart = [at for at in outcomes[1] if outcomes[0][at] != outcomes[1][at]]
    assert found["paired_decisions"] == 16
    assert len(found["differing"]) == len(apart) > 0
    for each in found["differing"]:
        replies = {
            record.body["agent"]: record.body["text"]
            for record in live(one_and_other[0])
            if record.kind == "agent.reply" and f"/{each['bar_open_time']}/" in (record.slot or "")
        }
        assert each["first"]["said"] == replies
    asked = {each["name"]: (each["first"], each["second"]) for each in found["asked_otherwise"]}
    assert asked["decide_every"] == ("1", "3")
    assert asked["agents.decision.model"] == ("rules", "openai/gpt-4o")


def test_people_are_told_the_same(one_and_other: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capsys, *one_and_other)
    assert runs.main(["compare", *map(str, one_and_other), "--show", "1"]) == 0
    text = capsys.readouterr().out
    assert (
        f"the second made {found['difference']['value'] * 100:+.2f} percentage points more over 48 common bars" in text
    )
    assert f"and {len(found['differing']) - 1} more: --show {len(found['differing'])} shows all" in text
    assert "asked otherwise  decide_every: 1 | 3\n" in text


def test_only_common_bars_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A longer run of the same rule is, over the shorter one's bars, the shorter one."""
    folders = []
    for bars in (48, 80):
        folders.append(tmp_path / str(bars))
        write_run(folders[-1], Plan({"BTCUSDT": spot("BTCUSDT")}, bars=bars))
    found = compared(capsys, *folders)
    assert (found["bars"], found["first"]["bars"], found["second"]["bars"]) == (48, 48, 80)
    assert found["difference"]["value"] == 0
    assert found["first"]["total_return"] == found["second"]["total_return"]

    log = folders[1] / "log.jsonl"  # made runs have one digest; the longer one of two real ones has another
    log.write_bytes(log.read_bytes().replace(b"01" * 32, b"02" * 32))
    assert runs.main(["compare", *map(str, folders)]) == 0
    assert "difference       none: the same return at each of 48 common bars\n" in capsys.readouterr().out


def test_corrected_prices_are_warned_of(recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(recorder.rules(), tmp_path / "other"))
    log = (other / "log.jsonl").read_bytes()
    bar = log.index(b'"kind":"bar"}')
    start = log.rindex(b'"volume":"', 0, bar)
    (other / "log.jsonl").write_bytes(log[: start + 10] + b"1" + log[start + 10 :])
    assert compared(capsys, recorder.rules(), other)["restated_bars"] == 1


def test_bars_that_one_run_alone_has_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=30))
    other = Path(shutil.copytree(one, tmp_path / "other"))
    log = (other / "log.jsonl").read_bytes().splitlines(keepends=True)
    equity = [place for place, line in enumerate(log) if line.endswith(b'"kind":"equity"}\n')]
    (other / "log.jsonl").write_bytes(b"".join(log[: equity[9]] + log[equity[9] + 1 :]))
    found = compared(capsys, one, other)
    assert (found["bars"], found["unpaired_bars"]) == (29, 1)
    assert runs.main(["compare", str(one), str(other)]) == 0
    text = capsys.readouterr().out
    assert "warning: of the bars between the first and the last common one 1 are in one run alone\n" in text
    assert "only the return is over the 29 common bars; decisions, calls, cost and time are whole runs'\n" in text


def test_a_run_without_a_bar_is_called_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_run(tmp_path / "one", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=30))
    other = Path(shutil.copytree(one, tmp_path / "other"))
    (other / "log.jsonl").write_bytes((one / "log.jsonl").read_bytes().splitlines(keepends=True)[0])
    assert runs.main(["compare", str(one), str(other)]) == 2
    assert "has no bar on record: there is nothing to compare yet" in capsys.readouterr().err


def test_equal_returns_are_not_called_luck(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        write_run(tmp_path / str(bars), Plan({"BTCUSDT": spot("BTCUSDT")}, bars=bars, complete=False))
        for bars in (30, 40)
    ]
    assert runs.main(["compare", *map(str, folders)]) == 0
    text = capsys.readouterr().out
    assert "difference       none: the same return at each of 30 common bars\n" in text
    assert "luck" not in text


def test_other_symbols_are_not_compared(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main(["compare", str(recorder.rules()), str(recorder.both())]) == 2
    assert capsys.readouterr().err == (
        "error: runs over the same symbols and interval can be compared, not BTCUSDT 1h and BTCUSDT, ETHUSDT 1h\n"
    )


def test_one_run_is_too_few(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main(["compare", str(recorder.rules())]) == 2
    assert "takes two runs or more" in capsys.readouterr().err


def test_hostile_words_stay_words(hostile_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"<b>BTC</b>": spot("BTCUSDT"), "ETHUSDT": spot("ETHUSDT")}
    other = write_run(tmp_path / "other", Plan(files, bars=30, fail_at=(2, 5)))
    assert runs.main(["compare", str(hostile_dir), str(other), "--show", "99"]) == 0
    assert not set(capsys.readouterr().out) & set("\x1b\u202e\u2066\u2028")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b'"benchmark":"', b'"benchmark":"x', "(equity) does not read"),
        (b'"wall_s":', b'"other":', None),
    ],
)
def test_a_changed_log_is_one_line_or_none(
    recorder: Recorder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: bytes,
    after: bytes,
    said: str | None,
) -> None:
    other = Path(shutil.copytree(recorder.rules(), tmp_path / "other"))
    log = (other / "log.jsonl").read_bytes()
    (other / "log.jsonl").write_bytes(log.replace(before, after, 1))
    code = runs.main(["compare", str(recorder.rules()), str(other)])
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == ((0, 0) if said is None else (2, 1))
    assert (said or "") in err
