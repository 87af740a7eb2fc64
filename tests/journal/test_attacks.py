"""Every change to a finished run is seen and named: by a reader who pinned key and head, and mostly by any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from attacks import ATTACKS, DIFFERS, INCOMPLETE, Attack, Outcome, Unseen
from crime_scene import Scene, Victim
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtesting.audit.verdict import Proof
from data.journal.changes import Kind
from data.journal.examine import Examination, examine


@pytest.mark.parametrize("stamped", [False, True])
def test_the_runs_are_intact(scene: Scene, tmp_path: Path, stamped: bool) -> None:
    victim = scene.victim(tmp_path, stamped=stamped)
    assert victim.pinned().verdict == "INTACT, ANCHORED"
    bare = victim.bare()
    assert (bare.verdict, bare.result, bare.exit_code) == ("INTACT, UNANCHORED", "RESULT RE-DERIVED", 0)
    assert (bare.examination.remarks, bare.differences) == ((), ())


def check(found: Proof, expected: Outcome, record: object) -> None:
    told = (found.verdict, found.result, [(f.kind, f.record, f.detail) for f in found.examination.faults[:3]])
    if isinstance(expected, Kind):
        assert found.verdict == "TAMPERED", told
        assert found.first_bad is not None
        assert found.first_bad.kind == expected, told
        assert record in (..., found.first_bad.record), told
        assert found.exit_code == 1
    elif isinstance(expected, Unseen):
        assert found.verdict in ("INTACT, UNANCHORED", "INTACT, ANCHORED"), told
        assert found.result == expected.says, (told, found.differences)
        remarks = found.examination.remarks
        assert any(expected.remark in each for each in remarks) if expected.remark else remarks == (), remarks
        assert found.exit_code == (1 if expected is DIFFERS else 0)
    else:
        assert (found.verdict, expected, found.exit_code) == ("INCOMPLETE", INCOMPLETE, 3), told


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_named(scene: Scene, tmp_path: Path, attack: Attack) -> None:
    victim = scene.victim(tmp_path, stamped=attack.stamped)
    record = attack.deed(victim)
    check(victim.pinned(), attack.pinned, record)
    check(victim.bare(), attack.bare, record)


FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
OPERATIONS = st.sampled_from(["flip", "set", "insert", "delete", "cut", "swap"])


def looked_at(victim: Victim, *, fast: bool = False) -> Examination:
    return examine(victim.folder, trusted=victim.scene.trusted, head=victim.head, fast=fast)


@FEW
@given(st.integers(0, 2**32), st.floats(0, 1, exclude_max=True), OPERATIONS, st.integers(1, 255))
def test_no_change_of_bytes_is_silent(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, which: int, part: float, operation: str, byte: int
) -> None:
    victim = _kept(scene, tmp_path_factory)
    files = sorted(path for path in victim.folder.rglob("*") if path.is_file())
    path = files[which % len(files)]
    before = path.read_bytes()
    path.write_bytes(_mutated(before, int(part * len(before)), operation, byte))
    try:
        found, quick = looked_at(victim), looked_at(victim, fast=True)
        if path.read_bytes() == before:
            assert found.verdict == "INTACT, ANCHORED"
        else:
            assert found.verdict == "TAMPERED", (path, operation)
            assert found.faults[0].file == path.relative_to(victim.folder).as_posix(), found.faults[:2]
            looked_past = path.name == "checkpoints" or "blobs" in path.parts
            assert quick.verdict == "TAMPERED" or looked_past
    finally:
        path.write_bytes(before)


@FEW
@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["delete", "repeat", "swap", "insert", "replace", "cut"]),
)
def test_no_change_of_records_is_silent(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, one: float, two: float, operation: str
) -> None:
    victim = _kept(scene, tmp_path_factory)
    lines = victim.lines
    first, second = sorted((int(one * len(lines)), int(two * len(lines))))
    last = first == len(lines) - 1
    made = lines[first].replace(b'"at":"20', b'"at":"19')
    changes = {
        "delete": ([*lines[:first], *lines[first + 1 :]], Kind.TRUNCATED if last else Kind.DELETED, first),
        "repeat": ([*lines[: second + 1], lines[first], *lines[second + 1 :]], Kind.DUPLICATED, second + 1),
        "swap": (_swapped(lines, first, second), Kind.REORDERED, first),
        "insert": ([*lines[:first], made, *lines[first:]], Kind.INSERTED, first),
        "replace": ([*lines[:first], made, *lines[first + 1 :]], Kind.EDITED, first),
        "cut": (lines[:first], Kind.TRUNCATED, first),
    }
    changed, kind, place = changes[operation]
    victim.lines = changed
    try:
        found = looked_at(victim)
        if changed == lines:
            assert found.verdict == "INTACT, ANCHORED"
        else:
            assert found.verdict == "TAMPERED"
            appended = operation == "repeat" and second == len(lines) - 1
            assert (found.faults[0].kind, found.faults[0].record) == (Kind.APPENDED if appended else kind, place)
            assert looked_at(victim, fast=True).faults[0] == found.faults[0]
    finally:
        victim.lines = lines


_VICTIMS: list[Victim] = []


def _kept(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """One copy for all examples: each puts back what it changed."""
    if not _VICTIMS:
        _VICTIMS.append(scene.victim(tmp_path_factory.mktemp("kept"), stamped=True))
    return _VICTIMS[0]


def _mutated(data: bytes, at: int, operation: str, byte: int) -> bytes:
    return {
        "flip": data[:at] + bytes([data[at] ^ byte]) + data[at + 1 :],
        "set": data[:at] + bytes([byte]) + data[at + 1 :],
        "insert": data[:at] + bytes([byte]) + data[at:],
        "delete": data[:at] + data[at + 1 :],
        "cut": data[:at],
        "swap": data[:at] + data[at : at + 2][::-1] + data[at + 2 :],
    }[operation]


def _swapped(lines: list[bytes], one: int, two: int) -> list[bytes]:
    changed = list(lines)
    changed[one], changed[two] = changed[two], changed[one]
    return changed
