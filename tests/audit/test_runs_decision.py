"""`scripts.runs show RUN --bar T`: everything on record about a decision is shown, and nothing of another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recordings import Recorder, live
from shared_run import RELEASE

from data.model.canonical import to_json
from data.model.escape import escape_block
from scripts import runs


def told(folder: Path, when: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[dict[str, Any]]]:
    """The same for people and for programs."""
    assert runs.main(["show", str(folder), "--bar", when]) == 0
    text = capsys.readouterr().out
    assert runs.main(["show", str(folder), "--bar", when, "--json"]) == 0
    return text, json.loads(capsys.readouterr().out)["decisions"]


def of_slot(folder: Path, bar: str, symbol: str, kind: str) -> list[Any]:
    place = f"/{bar}/{symbol}/chat/"
    return [record for record in live(folder) if record.kind == kind and place in (record.slot or "")]


@pytest.mark.parametrize("number", [1, 2, 4, 7, 16])
def test_every_word_and_every_call_is_there(
    recorder: Recorder, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorder.model()
    text, (found,) = told(folder, str(number), capsys)
    bar = found["bar_open_time"]
    replies = of_slot(folder, bar, "BTCUSDT", "agent.reply")
    requests = of_slot(folder, bar, "BTCUSDT", "llm.request")
    assert [one["text"] for one in found["events"] if one["kind"] == "reply"] == [one.body["text"] for one in replies]
    assert [one["seq"] for one in found["requests"]] == [one.seq for one in requests]
    for record in replies:
        assert escape_block(str(record.body["text"])) in text
    for record in requests:
        assert f"[record {record.seq}]" in text
    (decision,) = [r for r in live(folder) if r.kind == "decision" and r.body["number"] == number]
    wanted = {name: decision.body[name] for name in ("status", "action", "reasons", "failure", "orders", "clamps")}
    assert {name: found["decision"][name] for name in wanted} == to_json(wanted)


def test_a_call_that_failed_and_an_answer_that_fitted_nothing_are_told(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [told(recorder.model(), str(number), capsys)[0] for number in range(1, 17)]
    assert sum("failed, rate_limited: " in text for text in texts) == 1
    assert sum("; asked again\n" in text or "; asked again   [" in text for text in texts) >= 1
    assert any("failure         refused: " in text for text in texts)


def test_an_order_is_told_with_its_fill(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorder.rules()
    fills = [record for record in live(folder) if record.kind == "fill"]
    assert fills
    for fill in fills:
        ordered_at = str(fill.body["order_id"]).partition("@")[2].partition("#")[0]
        (decision,) = [r for r in live(folder) if r.kind == "decision" and r.body["as_of"] == ordered_at]
        text, (found,) = told(folder, str(decision.body["bar_open_time"]), capsys)
        assert [one["record"] for one in found["fills"]] == [fill.seq]
        assert f"[record {fill.seq}]" in text


def test_the_account_is_the_one_the_manager_was_shown(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 12, 30, 48):
        _, (found,) = told(recorder.rules(), str(number), capsys)
        shown = [each["text"] for one in found["requests"] for each in one["messages"] if '"book":' in each["text"]]
        book = json.loads(shown[0].split("```json\n")[1].split("\n```")[0])["book"]
        assert book["cash"] == pytest.approx(float(found["account"]["row"]["cash"]), rel=1e-5)


def test_both_symbols_of_a_bar_are_told(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    text, found = told(recorder.both(), "2025-04-01T03:00", capsys)
    assert [one["symbol"] for one in found] == ["BTCUSDT", "ETHUSDT"]
    assert text.count("decision        ") == 2


def test_instructions_are_shown_if_asked_for(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main(["show", str(recorder.rules()), "--bar", "3", "--prompts"]) == 0
    assert capsys.readouterr().out.count("# Who you are") == 4


def test_hostile_words_stay_words(hostile_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 61):
        assert runs.main(["show", str(hostile_dir), "--bar", str(number)]) == 0
    out = capsys.readouterr().out
    assert "owned" in out
    assert not set(out) & set("\x1b\u202e\u2066\u2028\x07\r")


@pytest.mark.parametrize("when", ["2018-07-11", "20180711", "2018-07-11T13:30", "2018-07-11T15:30+02:00", "2"])
def test_a_daily_bar_is_found_by_its_day(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An exchange's daily bar opens with its session, not at midnight."""
    _, (found,) = told(RELEASE, when, capsys)
    assert (found["number"], found["bar_open_time"]) == (2, "2018-07-11T13:30:00Z")


@pytest.mark.parametrize("when", ["2025-04-01", "2025-04-01T00:00Z", "2025-04-01 00:00 UTC", "2025-03-31T20:00-04:00"])
def test_of_shorter_bars_a_day_is_midnight(recorder: Recorder, when: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, (found,) = told(recorder.rules(), when, capsys)
    assert found["bar_open_time"] == "2025-04-01T00:00:00Z"


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("0001-01-01T00:00+14:00", "is no instant; write it as"),
        ("2025-03-01", "the nearest decisions: 2025-04-01 00:00 UTC"),
        ("2025-04-01T00:30", "2025-04-01 00:00 UTC and 2025-04-01 01:00 UTC"),
        ("49", "there is no decision 49: the run has 48"),
        ("noon", "is no instant; write it as"),
    ],
)
def test_where_nothing_was_decided_it_says_where(
    recorder: Recorder, when: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main(["show", str(recorder.rules()), "--bar", when]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
