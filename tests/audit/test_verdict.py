"""Integrity and derivation come to one verdict: on runs that had trouble, that were resumed, and after a release."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from recordings import Recorder

from backtesting.audit import rendered_files
from backtesting.audit.verdict import Proof, prove
from data.journal.changes import Kind
from scripts.verify_report import for_people


def told(proof: Proof) -> str:
    return "\n".join(for_people(proof, (), frozenset()))


@pytest.mark.parametrize("kind", ["rules", "both", "split", "model", "resumed"])
def test_every_kind_of_run_verifies(recorder: Recorder, kind: str) -> None:
    proof = prove(getattr(recorder, kind)())
    assert (proof.verdict, proof.result, proof.exit_code) == ("INTACT, UNANCHORED", "RESULT RE-DERIVED", 0)
    found = proof.derivation
    assert found is not None
    assert found.traced == found.replies > 0
    assert ("UNVERIFIED SERVER" in proof.headline) == (kind == "model")
    assert [remark for remark in proof.examination.remarks if "the folder is called" not in remark] == []


def test_a_resumed_run_says_so(recorder: Recorder) -> None:
    proof = prove(recorder.resumed())
    assert len(proof.examination.facts.recoveries) == 1
    assert "resumed         once; 1 request without a known answer (possibly paid)" in told(proof)


@pytest.mark.parametrize(
    ("resumed", "orphans", "in_flight", "unused", "lines"),
    [
        (
            1,
            1,
            0,
            1,
            ["once; 1 request without a known answer (possibly paid)", "1 good answer that no reply rests on"],
        ),
        (2, 3, 0, 2, ["twice; 3 requests without a known answer", "2 good answers that no reply rests on"]),
        (3, 0, 0, 0, ["3 times"]),
        (1234, 0, 1, 0, ["1,234 times; 1 request on the way when the log ends"]),
        (0, 0, 2, 0, ["never; 2 requests on the way when the log ends"]),
    ],
)
def test_one_is_counted_as_one(
    recorder: Recorder, resumed: int, orphans: int, in_flight: int, unused: int, lines: list[str]
) -> None:
    proof = prove(recorder.rules())
    assert proof.derivation is not None
    counts = {"resumed": resumed, "orphans": orphans, "in_flight": in_flight, "unused_replies": unused}
    text = told(replace(proof, derivation=replace(proof.derivation, **counts)))
    assert f"resumed         {lines[0]}" in text
    assert [line for line in lines if line not in text] == []
    assert not re.search(r"\b1 \w+s\b(?! failed)", text)


def test_a_server_that_is_no_known_provider_is_named(recorder: Recorder) -> None:
    assert "answered by     UNVERIFIED SERVER 127.0.0.1" in told(prove(recorder.model()))


@pytest.fixture
def run(recorder: Recorder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorder.rules(), tmp_path / "run"))


def test_an_edited_file_is_an_edit_under_any_release(run: Path) -> None:
    path = run / "equity.csv"
    path.write_bytes(path.read_bytes().replace(b"10000", b"11000", 1))
    for files in ((), ("backtesting/audit/report.py (changed)",)):
        proof = prove(run, changed_files=lambda _, files=files: files)
        assert proof.first_bad is not None
        assert (proof.first_bad.kind, proof.first_bad.file) == (Kind.EDITED_RENDERING, "equity.csv")
        assert "equity.csv, line" in proof.first_bad.detail
        assert proof.differences == ()


def test_what_another_release_makes_is_no_change(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = rendered_files.render

    def theirs(folder: Path) -> object:
        made = ours(folder)
        files = {**made.files, "metrics.json": made.files["metrics.json"] + b"\n"}
        return type(made)(files, made.record)

    monkeypatch.setattr(rendered_files, "render", theirs)
    same = prove(run)
    assert (same.verdict, same.result, same.exit_code) == ("INTACT, UNANCHORED", "RESULT DIFFERS", 1)
    assert all("metrics.json" in str(each) for each in same.differences)
    code = ("backtesting/audit/renderings.py (changed)",)
    other = prove(run, changed_files=lambda _: code)
    assert (other.result, other.exit_code) == ("RESULT RE-DERIVED", 0)
    assert "metrics.json is as it was signed; this release makes it in another way" in other.examination.remarks
    (run / "metrics.json").write_bytes(theirs(run).files["metrics.json"])
    again = prove(run, changed_files=lambda _: code)
    assert again.examination.faults == ()
    assert any("made again by another release" in remark for remark in again.examination.remarks)
    assert prove(run).verdict == "TAMPERED"


def test_an_unsigned_tail_counts_for_nothing(run: Path) -> None:
    """Nor does a recovery in it, which would set signed records aside."""
    log, notes = run / "log.jsonl", run / "checkpoints"
    lines = log.read_bytes().splitlines(keepends=True)
    half = notes.read_text("utf-8").split("\n\n")[: 2 * 200]
    notes.write_text("\n\n".join(half) + "\n\n", "utf-8")
    size = int(half[-2].split("\n")[1])
    cut = b'"body":{"asked_again":[],"cut":1,"environment":{},"lost":null,"torn":null},"kind":"recovery"}\n'
    head = b'{"at":"2025-04-01T00:00:00Z","audit.caused_by":[],"audit.seq":%d,"audit.slot":null,' % size
    log.write_bytes(b"".join(lines[:size]))
    before = prove(run)
    log.write_bytes(b"".join(lines[:size]) + head + cut)
    after = prove(run)
    assert (before.verdict, after.verdict) == ("INCOMPLETE", "INCOMPLETE")
    assert before.derivation == after.derivation
    assert before.derivation is not None
    assert before.derivation.replies > 10
    assert any("unsigned tail: 1 records" in remark for remark in after.examination.remarks)
