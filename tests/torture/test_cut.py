"""The log cut at every byte of its last 4 KiB, as a power cut may leave it: the run goes on to the same result.

Every second time the checkpoints are cut likewise; where they are not they cover more than the log holds, which is
written down. `make torture` cuts at every byte, `make test` around each line's end and at every 97th byte.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import fault_server as server
import pytest
from ground import ENVIRON
from main_job import Played, play
from witness import answered, lines_of

from backtesting.audit.verdict import RE_DERIVED, prove
from data.journal.examine import Verdict
from data.journal.notes import split_notes

LAST = 4096
STEP = int(os.environ.get("TORTURE_STEP") or 97)
PARTS = max(1, 48 // STEP)
EVERY = 8
WORDS = (
    *("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-01"),
    *("--decide_every", "12", "--model", "openai/gpt-4o-mini"),
)
ENDS = {"finished": "rendered", "decided": "equity"}
"""By name, the last record of the log that is cut."""


@dataclass(frozen=True)
class Scene:
    """A finished run with its model's server, and the part of its log that is cut."""

    played: Played
    model: server.FaultServer
    url: str
    log: bytes
    notes: tuple[tuple[int, str], ...]

    def cut(self, root: Path, length: int, *, notes_too: bool) -> Path:
        """The folder with so much of the log. The checkpoints are as the log was, or cut in the note that follows."""
        folder = root / "runs" / self.played.folder.name
        folder.mkdir(parents=True)
        shutil.copytree(self.played.folder / "blobs", folder / "blobs", copy_function=os.link)
        shutil.copytree(self.played.root / "data" / "keys", root / "data" / "keys")
        shutil.copy(self.played.folder / "run.pub", folder)
        (folder / "log.jsonl").write_bytes(self.log[:length])
        covered = self.log[:length].count(b"\n") if notes_too else self.log.count(b"\n")
        kept = [note for size, note in self.notes if size <= covered]
        torn = [note[: length % len(note)] for _, note in self.notes[len(kept) : len(kept) + 1] if notes_too]
        (folder / "checkpoints").write_text("".join(f"{note}\n" for note in kept) + "".join(torn))
        return folder

    def places(self) -> list[int]:
        """Where it is cut."""
        first = len(self.log) - LAST
        ends = [place for place in range(first, len(self.log)) if self.log[place : place + 1] == b"\n"]
        around = {place + beside for place in ends for beside in (0, 1, 2)}
        return sorted(place for place in {*range(first, len(self.log), STEP), *around} if place <= len(self.log))


@pytest.fixture(scope="module")
def finished(bars_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Played, server.FaultServer]]:
    server.Handler.disable_nagle_algorithm = True
    with server.FaultServer() as model:
        words = (*WORDS, "--base_url", model.base_url)
        yield play(tmp_path_factory.mktemp("finished"), bars_url, *words, environ=ENVIRON), model


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_log_cut_at_any_byte_goes_on_to_the_same_result(
    finished: tuple[Played, server.FaultServer],
    bars_url: str,
    tmp_path: Path,
    end: str,
    part: int,
    record_property: Any,
) -> None:
    scene = _scene(finished, bars_url, ENDS[end])
    places = scene.places()[part::PARTS]
    for number, length in enumerate(places):
        _cut_and_go_on(scene, tmp_path / str(length), length, notes_too=number % 2 == 1, proved=number % EVERY < 2)
        shutil.rmtree(tmp_path / str(length))
    record_property("torture: cuts of the log, checkpoints whole", (len(places) + 1) // 2)
    record_property("torture: cuts of the log, checkpoints cut", len(places) // 2)


def _cut_and_go_on(scene: Scene, root: Path, length: int, *, notes_too: bool, proved: bool) -> None:
    folder = scene.cut(root, length, notes_too=notes_too)
    kept = scene.log[:length]
    whole, torn = kept[: kept.rfind(b"\n") + 1], kept[kept.rfind(b"\n") + 1 :]
    before = len(scene.model.received)
    again = play(root, scene.url, "--resume", str(folder), environ=ENVIRON)
    assert (again.code, again.summary["result_digest"]) == (0, scene.played.summary["result_digest"])
    log = (folder / "log.jsonl").read_bytes()
    assert log.startswith(whole)
    asked = {sha256(each.body).hexdigest() for each in scene.model.received[before:]}
    assert asked & answered(lines_of(whole)) == set()
    if (again.summary["head"], log) == (scene.played.summary["head"], scene.log):
        return  # nothing was cut off
    (recovery,) = (record["body"] for record in lines_of(log[len(whole) :]) if record["kind"] == "recovery")
    assert (recovery["torn"] or {}).get("sha256") == (sha256(torn).hexdigest() if torn else None)
    _require_lost_told(scene, recovery, len(lines_of(whole)), notes_too=notes_too)
    if proved:
        proof = prove(folder, head=again.summary["head"])
        assert (proof.verdict, proof.result) == (Verdict.ANCHORED, RE_DERIVED), proof.examination.remarks


def _require_lost_told(scene: Scene, recovery: dict[str, Any], held: int, *, notes_too: bool) -> None:
    beyond = [note for size, note in scene.notes if held < size <= scene.log.count(b"\n")]
    if notes_too or not beyond:
        assert recovery["lost"] is None
        return
    size, root = beyond[-1].split("\n")[1:3]
    assert recovery["lost"]["notes"] == "\n".join(beyond)
    assert recovery["lost"]["head"].startswith(f"{size}-")
    assert root in recovery["lost"]["notes"]


def _scene(finished: tuple[Played, server.FaultServer], url: str, last: str) -> Scene:
    played, model = finished
    whole = (played.folder / "log.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    end = max(place for place, line in enumerate(lines) if line.endswith(f'"kind":"{last}"}}\n'.encode()))
    notes = [note for _, note in split_notes((played.folder / "checkpoints").read_bytes())]
    sized = tuple((int(note.split("\n")[1]), note) for note in notes)
    return Scene(played, model, url, b"".join(lines[: end + 1]), sized)
