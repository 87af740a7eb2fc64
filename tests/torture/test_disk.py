"""A disk that fails at any moment: the run stops with one line, nobody takes it for the model, and it goes on later."""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ground import SEED, Ended, Ground, Patient
from witness import Witness, lines_of

ROUNDS = max(9, int(os.environ.get("TORTURE_ROUNDS") or 0) // 3)
ERRORS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "broken": errno.EIO}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_stopped_by_its_disk_goes_on_when_it_is_mended(ground: Ground, number: int, record_property: Any) -> None:
    chance = random.Random(f"{SEED}/disk/{number}")
    what = list(ERRORS)[number % len(ERRORS)]
    patient = ground.begin()
    witness = Witness(patient)
    for _ in range(chance.randint(1, 3)):
        before = patient.log
        first = chance.choice([chance.randint(1, 24), chance.randint(1, ground.steps)])
        only = "fsync" if what == "broken" else None
        ended = patient.play(*patient.next_words, fatal={"step": first, "error": ERRORS[what], "only": only})
        if ended.code == 0:
            break
        _require_one_line(patient, ended, before)
        witness.look()
        record_property(f"torture: stops by a disk that is {what}", 1)
    witness.judge(patient.play(*patient.next_words))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(ground: Ground, number: int, record_property: Any) -> None:
    chance = random.Random(f"{SEED}/full/{number}")
    patient = ground.begin()
    witness = Witness(patient)
    with _small_disk(patient.root, chance.randint(8, 1400)) as disk:
        for _ in range(2):
            before = patient.log
            ended = patient.play(*patient.next_words, longest=disk.longest)
            if ended.code == 0:
                break
            _require_one_line(patient, ended, before)
            witness.look()
            record_property(f"torture: stops on a full disk, {disk.kind}", 1)
            disk.grow(chance.randint(8, 900))
        disk.grow(100_000)
        witness.judge(patient.play(*patient.next_words))


@dataclass
class _Disk:
    """A file system of its own where we may mount one; else no file can grow beyond the size."""

    folder: Path
    kilobytes: int
    mounted: bool

    @property
    def kind(self) -> str:
        return "mounted" if self.mounted else "by a limit"

    @property
    def longest(self) -> int | None:
        return None if self.mounted else self.kilobytes * 512

    def grow(self, kilobytes: int) -> None:
        self.kilobytes += kilobytes
        if self.mounted:
            _mount("-o", f"remount,size={self.kilobytes}k", str(self.folder))


@contextmanager
def _small_disk(folder: Path, kilobytes: int) -> Iterator[_Disk]:
    disk = _Disk(folder, kilobytes, _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)))
    try:
        yield disk
    finally:
        if disk.mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], check=False, capture_output=True).returncode == 0


def _require_one_line(patient: Patient, ended: Ended, before: bytes) -> None:
    """Of the run's end, beside the lines that it begins with. A process that recorded nothing was used wrongly."""
    lines = ended.err.splitlines()
    told = [line for line in lines if not line.startswith(("run ", "watch "))]
    assert len(told) == 1, ended.err
    assert told[0].startswith("error: ")
    assert ended.out == ""
    log = patient.log
    added = lines_of(log[: log.rfind(b"\n") + 1])[before.count(b"\n") :]
    assert ended.code == 3 or (ended.code == 2 and not added), ended
    assert [record for record in added if record["kind"] == "decision" and record["body"]["failure"]] == []
    print(ended.code, told[0])
