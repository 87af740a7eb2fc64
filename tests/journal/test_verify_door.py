"""`python -m scripts.verify`: what it says, what it exits with, and what it never touches."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import house
import pytest
from crime_scene import Scene, Victim
from main_job import bring

from data.door import ROOT
from data.model.instants import Interval
from data.store.store import Store
from scripts import verify

PROMISED = {
    *("verdict", "result", "exit_code", "run_id", "status", "head", "records", "signed", "anchored", "signer"),
    *("first_bad", "faults", "replies", "servers", "result_digest", "differences", "resumed", "orphans", "trial"),
    *("stamps", "compared", "warnings", "fast", "unused_replies", "in_flight", "decisions", "fills", "trades"),
}


class Door:
    """The command, on one victim."""

    def __init__(self, victim: Victim, capfd: pytest.CaptureFixture[str]) -> None:
        self.victim, self._capfd = victim, capfd

    def run(self, *words: str | Path, code: int = 0) -> str:
        assert verify.main([str(self.victim.folder), *map(str, words)]) == code
        told = self._capfd.readouterr()
        assert told.err.count("\n") == (code == 2)
        return told.err if code == 2 else told.out

    def json(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        found = json.loads(self.run(*words, "--json", code=code))
        assert found["exit_code"] == code
        return found

    @property
    def key(self) -> str:
        return self.victim.scene.owner.project().text


@pytest.fixture
def door(scene: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Door:
    """A copied folder, on a machine without keys and without a network."""
    monkeypatch.setenv("AGENTRADER_KEYS", str(tmp_path / "no keys"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    return Door(scene.victim(tmp_path), capfd)


def test_a_good_run(door: Door) -> None:
    text = door.run("--key", door.key, "--head", door.victim.head)
    fingerprint = door.victim.scene.owner.project().fingerprint
    assert text.startswith("INTACT, ANCHORED · RESULT RE-DERIVED\n")
    for said in (
        "32 of 32 replies trace to a recorded provider response",
        "built-in rules, not a language model",
        f"{fingerprint}, for which a given key answers",
        door.victim.head,
        "run 1 of its project",
        "follows from the record: 8 decisions, 0 failed",
    ):
        assert said in text


def test_what_programs_are_told(door: Door) -> None:
    found = door.json()
    assert set(found) >= PROMISED
    assert (found["verdict"], found["result"]) == ("INTACT, UNANCHORED", "RESULT RE-DERIVED")
    assert found["replies"] == {"total": 32, "traced": 32, "built_in": 32}
    assert (found["head"], found["first_bad"], found["differences"]) == (door.victim.head, None, [])
    assert found["signer"]["known"] is False
    assert found["result_digest"] == found["recorded_result_digest"]
    assert set(door.json("--fast")) == set(found)


def test_an_unknown_signer_is_named_by_fingerprint(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = door.victim.scene.owner.project().fingerprint
    assert f"unknown signer {fingerprint}" in door.run()
    monkeypatch.setenv("AGENTRADER_KEYS", str(door.victim.scene.owner.folder))
    assert f"{fingerprint}, this machine's own key" in door.run()


def test_keys_come_as_lines_or_files(door: Door, tmp_path: Path) -> None:
    stranger = door.victim.scene.attacker.project().text
    both, one = tmp_path / "both.pub", tmp_path / "one.pub"
    both.write_text(f"{stranger}\n{door.key}\n")
    one.write_text(f"{stranger}\n")
    assert door.json("--key", both)["signer"]["known"] is True
    assert door.json("--key", stranger, "--key", door.key)["signer"]["known"] is True
    assert door.json("--key", one, code=1)["first_bad"]["kind"] == "foreign key"
    for wrong in (tmp_path / "nothing.pub", "agentrader/project+0000+AAAA", door.victim.path("metrics.json")):
        assert "error: " in door.run("--key", wrong, code=2)


def test_what_lies_in_the_folder_proves_nothing(door: Door) -> None:
    for words in (("--key", "run.pub"), ("--head", "checkpoints"), ("--authority", "run.pub")):
        said = door.run(words[0], door.victim.path(words[1]), code=2)
        assert "lies in the run's own folder" in said


def test_a_head_comes_as_text_or_as_a_file(door: Door, tmp_path: Path) -> None:
    kept = tmp_path / "head"
    for text in (door.victim.head, f"{door.victim.head}\n", door.victim.notes[-1], "\n".join(door.victim.notes[-3:])):
        kept.write_text(text)
        assert door.json("--head", kept)["verdict"] == "INTACT, ANCHORED"
    assert "--head" in door.run("--head", "6493", code=2)
    wrong = door.victim.head[:-1] + ("0" if door.victim.head[-1] != "0" else "1")
    assert door.json("--head", wrong, code=1)["first_bad"]["kind"] == "rewritten"


def test_a_trusted_authority_anchors(scene: Scene, door: Door, tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    root.write_bytes(scene.authority.root)
    stamped = Door(scene.victim(tmp_path / "stamped", stamped=True), door._capfd)
    found = stamped.json("--authority", root)
    assert (found["verdict"], [stamp["trusted"] for stamp in found["stamps"]]) == ("INTACT, ANCHORED", [True, True])
    assert "2025-04-01 10:00 UTC by CN=Test Authority" in stamped.run()


def test_a_changed_run(door: Door) -> None:
    place = door.victim.place("agent.reply")
    door.victim.change(place, lambda record: record["body"].update(text="Sell."))
    first = door.json(code=1)["first_bad"]
    assert (first["record"], first["kind"], first["file"]) == (place, "edited", "log.jsonl")
    assert f"agent.reply of {door.victim.name}/2025-04-01" in first["detail"]
    text = door.run(code=1)
    assert text.startswith("TAMPERED · RESULT NOT DERIVED\n")
    assert f"record {place}" in text


def test_an_edited_table_is_told_by_its_line(door: Door) -> None:
    path = door.victim.path("decisions.csv")
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"BTCUSDT", b"ETHUSDT")
    path.write_bytes(b"\n".join(lines))
    found = door.json(code=1)
    assert (found["first_bad"]["kind"], found["result"]) == ("edited rendering", "RESULT RE-DERIVED")
    assert "decisions.csv, line 3" in found["first_bad"]["detail"]


def test_an_incomplete_run(door: Door) -> None:
    points, notes = door.victim.points, door.victim.notes
    door.victim.lines = door.victim.lines[: points[40].size]
    door.victim.notes = notes[:41]
    found = door.json(code=3)
    assert (found["verdict"], found["status"], found["result"]) == ("INCOMPLETE", None, "RESULT RE-DERIVED")
    assert "no end on record" in door.run(code=3)


def test_text_of_the_folder_is_shown_escaped(door: Door) -> None:
    door.victim.path("stray \x1b[2J\u202e.txt").write_text("")
    place = door.victim.place("chat.begin")
    door.victim.change(place, lambda record: record.update(kind="\x1b]0;owned\x07"))
    text = door.run(code=1)
    assert "\\x1b[2J\\u202e" in text
    assert "\\x1b]0;owned\\x07" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


def test_bars_of_a_file(door: Door, bitcoin_csv: Path, tmp_path: Path) -> None:
    same = door.run("--against", bitcoin_csv)
    assert "297 recorded bars are those of BTCUSDT_1h" in same
    changed = tmp_path / "changed.csv"
    lines = raised(bitcoin_csv, "2025-04-01")
    place = next(number for number, line in enumerate(lines) if "2025-04-01" in line)
    changed.write_text("\n".join([*lines[: place + 1], *lines[place + 2 :]]) + "\n")
    (compared,) = door.json("--against", changed, code=1)["compared"]
    assert (compared["bars"], compared["differing"]) == (297, 2)
    assert [each["found"] is None for each in compared["first"]] == [False, True]
    assert list(compared["first"][0]["recorded"]) == ["high"]
    assert "2 of 297 bars differ" in door.run("--against", changed, code=1)
    assert "ETHUSDT is not in the run" in door.run("--against", bitcoin_csv, "--symbol", "ETHUSDT", code=2)
    assert "nothing.csv" in door.run("--against", tmp_path / "nothing.csv", code=2)


def test_bars_of_the_database(
    door: Door, store: Store, bitcoin_csv: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    bring(store, bitcoin_csv, "BTCUSDT", Interval.H1)
    assert door.json("--database", database_url)["compared"][0]["bars"] == 48
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert door.json("--database")["compared"][0]["differing"] == 0
    later = tmp_path / "later.csv"
    later.write_text("\n".join(raised(bitcoin_csv, "2025-03-20")) + "\n")
    bring(store, later, "BTCUSDT", Interval.H1)
    (compared,) = door.json("--database")["compared"]
    assert (compared["differing"], compared["notes"]) == (0, []), "what became known afterwards is no difference"


def test_other_bars_in_the_database(
    door: Door, store: Store, bitcoin_csv: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    other = tmp_path / "other.csv"
    other.write_text("\n".join(raised(bitcoin_csv, "2025-04-01")) + "\n")
    bring(store, other, "BTCUSDT", Interval.H1)
    (compared,) = door.json("--database", database_url, code=1)["compared"]
    assert compared["differing"] == 1
    assert "the digest of the rows" in compared["notes"][0]


def raised(csv: Path, day: str) -> list[str]:
    """The file's lines, with the high of that day's first bar raised by 100."""
    header, *lines = csv.read_text().splitlines()
    column = header.split(",").index("high")
    place = next(number for number, line in enumerate(lines) if day in line)
    cells = lines[place].split(",")
    cells[column] = str(float(cells[column]) + 100)
    lines[place] = ",".join(cells)
    return [header, *lines]


def test_nothing_is_written(door: Door) -> None:
    before = state(door.victim.folder)
    for path in (door.victim.folder, *door.victim.folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    door.run()
    door.run("--fast")
    assert state(door.victim.folder) == before


def state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.stat() for path in (folder, *folder.rglob("*"))}
    return {str(path): (status.st_mtime_ns, status.st_size) for path, status in found.items()}


ALONE = """
import sys
from scripts.verify import main
code = main(sys.argv[1:])
loaded = {"sqlalchemy", "psycopg2", "httpx", "autogen", "openai", "exchange_calendars"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else code)
"""


def test_neither_database_nor_network_is_loaded(door: Door) -> None:
    command = [sys.executable, "-c", ALONE, str(door.victim.folder), "--json"]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        begun = time.monotonic()
        command = [sys.executable, "-m", "scripts.verify", "--help"]
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "python -m scripts.verify RUN --key project.pub --head" in text
        return time.monotonic() - begun

    assert min(seconds() for _ in range(3)) <= 0.4


@pytest.mark.parametrize("words", [["no such run"], [], ["x", "--no_such_flag"]])
def test_wrong_use(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    def call(words: list[str]) -> int:
        try:
            return verify.main(words)
        except SystemExit as stop:
            return int(str(stop.code))

    run: Callable[[list[str]], int] = call
    assert run(words) == 2
    assert capfd.readouterr().out == ""
