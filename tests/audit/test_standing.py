"""A log that grows gives, at every length, what it would give if it were read from the beginning."""

from __future__ import annotations

import fcntl
import os
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import Recorder, live

from backtesting.audit.standing import Lookout, Standing
from backtesting.audit.story_reader import read_story
from data.journal.following import Follower, is_held
from data.model.errors import DataError


def at_length(folder: Path, whole: bytes, length: int) -> Standing | None:
    (folder / "log.jsonl").write_bytes(whole[:length])
    return Lookout(folder).look()


@pytest.fixture
def copy(recorder: Recorder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorder.resumed(), tmp_path / "run"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.floats(0, 1), max_size=5))
def test_looking_twice_is_looking_once(copy: Path, recorder: Recorder, parts: list[float]) -> None:
    whole = (recorder.resumed() / "log.jsonl").read_bytes()
    log, lookout = copy / "log.jsonl", Lookout(copy)
    for part in (*sorted(parts), 1.0):
        length = int(part * len(whole))
        log.write_bytes(whole[:length])
        assert lookout.look() == at_length(copy, whole, length)


@pytest.mark.parametrize("name", ["rules", "resumed", "refused_and_resumed", "model", "both"])
def test_the_end_is_what_the_run_recorded(recorder: Recorder, name: str) -> None:
    folder = getattr(recorder, name)()
    found, story = Lookout(folder).look(), read_story(live(folder))
    assert found is not None
    assert story.end is not None
    summary = story.end.body["summary"]
    assert isinstance(summary, dict)
    assert (found.bars, found.decisions, found.failed) == (summary["bars"], summary["decisions"], summary["failed"])
    assert found.cost_usd == Decimal(str(summary["cost_usd"]))
    assert found.total_return == pytest.approx(summary["total_return"])
    assert found.last is not None
    assert found.last.equity == Decimal(str(summary["final_equity"]))
    assert (found.status, found.is_over, found.resumed) == ("complete", True, len(story.recoveries))


def test_a_log_that_became_shorter_is_read_again(recorder: Recorder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(recorder.rules(), tmp_path / "run"))
    whole, lookout = (folder / "log.jsonl").read_bytes(), Lookout(folder)
    before = lookout.look()
    half = whole[: whole.index(b"\n", len(whole) // 2) + 1]
    (folder / "log.jsonl").write_bytes(half)
    after = lookout.look()
    assert before is not None
    assert after is not None
    assert 0 < after.decisions < before.decisions
    assert after == Lookout(folder).look()


def test_before_the_first_record_there_is_nothing(tmp_path: Path) -> None:
    assert Lookout(tmp_path).look() is None
    (tmp_path / "log.jsonl").write_bytes(b'{"at":')
    assert Lookout(tmp_path).look() is None


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{}\n{"kind":"bar"}\n')
    with pytest.raises(DataError, match=r"log\.jsonl, line 2: not a readable record"):
        list(Follower(tmp_path, {"bar"}).more())


def test_a_log_is_held_as_long_as_somebody_writes_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    path = tmp_path / "log.jsonl"
    path.touch()
    assert not is_held(tmp_path)
    with path.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        Lookout(tmp_path).look()
