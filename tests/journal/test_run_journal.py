"""The journal keeps what it was given, in order, or says that it cannot."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing import KEY

from data.journal.line import blob_path
from data.journal.memory_journal import MemoryJournal
from data.journal.opened import create
from data.journal.reading import LOG_NAME, read_records
from data.journal.run_journal import RunJournal
from data.model.canonical import canonical_bytes, sha256_hex
from data.model.errors import DataError, JournalBroken, UsageError


class Ticks:
    """A clock that moves one second a look."""

    def __init__(self) -> None:
        self.at = datetime(2025, 4, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


def test_reads_back_what_was_written(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("fill", {"price": Decimal("82550.00"), "at": datetime(2025, 4, 1, tzinfo=UTC)}, slot="a/b")
    journal.append("end", {"said": "zwölf\n\u202e"}, caused_by=[0])
    journal.sync()
    first, second = read_records(tmp_path / "run")
    assert (first.seq, first.slot, first.body) == (0, "a/b", {"price": "82550", "at": "2025-04-01T00:00:00Z"})
    assert (second.seq, second.caused_by, second.body["said"]) == (1, (0,), "zwölf\n\u202e")


def test_every_line_is_canonical(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("x", {"b": 1, "a": [1.0, None, True]})
    line = (tmp_path / "run" / LOG_NAME).read_bytes()
    assert line == canonical_bytes(json.loads(line)) + b"\n"


def test_large_values_leave_for_a_blob_and_come_back(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    text, rows = "ä" * 40_000, [{"n": n} for n in range(10_000)]
    journal.append("llm.request", {"body": text, "rows": rows, "small": "s"})
    raw = json.loads((tmp_path / "run" / LOG_NAME).read_bytes())["body"]
    assert raw["body"] == {"blob": sha256_hex(text.encode()), "media": "text"}
    assert raw["small"] == "s"
    (record,) = read_records(tmp_path / "run")
    assert record.body == {"body": text, "rows": rows, "small": "s"}


def test_a_changed_blob_is_named(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("x", {"body": "y" * 60_000})
    blob_path(tmp_path / "run", sha256_hex(b"y" * 60_000)).write_bytes(b"z")
    with pytest.raises(DataError, match="line 1"):
        list(read_records(tmp_path / "run"))


def test_a_torn_tail_is_no_record_and_hides_none(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("x", {"n": 1})
    journal.append("x", {"n": 2})
    log = tmp_path / "run" / LOG_NAME
    whole = log.read_bytes()
    for cut in range(len(whole)):
        log.write_bytes(whole[:cut])
        assert len(list(read_records(tmp_path / "run"))) == whole[:cut].count(b"\n")


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("x", {})
    with (tmp_path / "run" / LOG_NAME).open("ab") as log:
        log.write(b'{"seq": 1}\n')
    with pytest.raises(DataError, match="line 2"):
        list(read_records(tmp_path / "run"))


def test_a_run_is_never_written_twice(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    journal.append("x", {})
    with pytest.raises(UsageError, match="another process"):
        create(tmp_path / "run")
    journal.close()
    with pytest.raises(UsageError, match="holds a run already"):
        create(tmp_path / "run")


def test_a_full_disk_latches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(JournalBroken, match="No space left"):
            journal.append("x", {})
    with pytest.raises(JournalBroken, match="No space left"):
        journal.append("x", {})
    with pytest.raises(JournalBroken):
        journal.sync()


def test_a_failed_fsync_is_never_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    calls = []

    def broken(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    journal.append("x", {})
    monkeypatch.setattr(os, "fsync", broken)
    for _ in range(2):
        with pytest.raises(JournalBroken):
            journal.sync()
    assert len(calls) == 1


def test_not_a_number_is_refused(tmp_path: Path) -> None:
    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY)
    with pytest.raises(ValueError, match="no JSON form"):
        journal.append("x", {"price": float("nan")})
    journal.append("x", {})
    assert [record.seq for record in read_records(tmp_path / "run")] == [0]


def test_listeners_hear_the_whole_record_after_it_was_written(tmp_path: Path) -> None:
    heard = []

    def listen(record: object) -> None:
        heard.append((record, len((tmp_path / "run" / LOG_NAME).read_bytes().splitlines())))

    journal = RunJournal(create(tmp_path / "run"), Ticks(), KEY, [listen])
    journal.append("x", {"body": "y" * 60_000})
    ((record, written),) = heard
    assert record.body["body"] == "y" * 60_000
    assert written == 1


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "A" * 64, ""])
def test_a_blob_name_is_a_digest(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        blob_path(tmp_path, name)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_memory_and_file_agree(tmp_path_factory: pytest.TempPathFactory, body: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("journal") / "run"
    on_disk, in_memory = RunJournal(create(folder), Ticks(), KEY), MemoryJournal(Ticks())
    on_disk.append("x", body)
    in_memory.append("x", body)
    (record,) = read_records(folder)
    assert record == in_memory.records[0]
    on_disk.close()
