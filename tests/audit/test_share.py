"""`python -m scripts.share` and the page as text: what is shared, what is not, and what stands in it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from recordings import Recorder
from shared_run import RELEASE, Culprit, Sent, send
from test_report_text import Elements

from backtesting.audit.certificate import Shared, certificate_html
from backtesting.audit.story_reader import read_story
from backtesting.audit.verdict import Proof, prove
from data.journal.reading import read_live
from scripts import share, verify


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return send(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def culprit(sent: Sent, tmp_path: Path) -> Culprit:
    return sent.copy(tmp_path)


def door(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    assert share.main([str(word) for word in words]) == code
    told = capsys.readouterr()
    assert told.err.count("\n") == (code != 0)
    return told.err if code else told.out


def test_it_says_what_to_send(sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = door(capsys, sent.culprit.folder, "--output", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"certificate.html", sent.bundle.name}
    for said in (sent.handout.head, sent.handout.bundle.sha256, "INTACT, UNANCHORED · RESULT RE-DERIVED"):
        assert said in text


def test_whom_nobody_knows_is_named_where_it_is_handed_over(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = door(capsys, recorder.model(), "--output", tmp_path / "out")
    assert "verdict         INTACT, UNANCHORED · RESULT RE-DERIVED · UNVERIFIED SERVER\n" in text
    assert "RESULT RE-DERIVED · UNVERIFIED SERVER" in (tmp_path / "out" / "certificate.html").read_text()


def test_equal_runs_are_shared_as_equal_bytes(sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(door(capsys, sent.culprit.folder, "--output", tmp_path / "out", "--json"))
    for name in ("certificate.html", sent.bundle.name):
        assert (tmp_path / "out" / name).read_bytes() == (sent.page.parent / name).read_bytes()
    assert found["certificate_sha256"] == sent.handout.certificate_sha256
    assert found["bundle_sha256"] == sent.handout.bundle.sha256
    assert found["tar_sha256"] == sent.handout.bundle.tar_sha256
    assert (found["run_id"], found["head"]) == (RELEASE.name, sent.handout.head)


def test_what_was_shared_verifies_where_it_was_unpacked(
    sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["tar", "-xf", _tar(sent, tmp_path), "-C", tmp_path], check=True)
    assert verify.main([str(tmp_path / RELEASE.name), "--head", sent.handout.head, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "INTACT, ANCHORED"


def _tar(sent: Sent, target: Path) -> Path:
    path = target / "run.tar"
    path.write_bytes(pa.input_stream(str(sent.bundle), compression="zstd").read())
    return path


def test_a_changed_run_is_not_shared(culprit: Culprit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    culprit.change(20, lambda record: record["body"].update(said="x"))
    assert "is not what was signed (edited)" in door(capsys, culprit.folder, "--output", tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_a_result_that_does_not_follow_is_not_shared(
    culprit: Culprit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    culprit.change(168, lambda record: record["body"].update(result_digest="0" * 64))
    culprit.sign(culprit.key)
    assert "does not follow from its record" in door(capsys, culprit.folder, "--output", tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_not_shared(culprit: Culprit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    culprit.lines = culprit.lines[:168]
    culprit.sign(culprit.key)
    for name in ("report.html", "metrics.json", "decisions.csv", "trades.csv", "equity.csv", "spec.json"):
        culprit.path(name).unlink()
    error = door(capsys, culprit.folder, "--output", tmp_path / "out", code=3)
    assert f"--resume {RELEASE.name}" in error


def test_nothing_is_written_into_the_run(culprit: Culprit, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(culprit.folder.rglob("*"))
    for target in (culprit.folder, culprit.path("blobs/out")):
        assert "the run's own folder" in door(capsys, culprit.folder, "--output", target, code=2)
    assert sorted(culprit.folder.rglob("*")) == before


def test_a_place_that_cannot_be_written_is_one_line(
    sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert str(tmp_path / "out") in door(capsys, sent.culprit.folder, "--output", tmp_path / "out", code=2)


def test_the_page_names_everything_that_stands_behind_the_run(sent: Sent) -> None:
    text = sent.page.read_text("utf-8")
    for said in (
        *("10,000.00 became 10,039.65 USD", "2018-07-02 to 2018-07-31, both included"),
        *(sent.handout.head, sent.handout.bundle.sha256, sent.handout.bundle.tar_sha256),
        *("built-in rules, not a language model", "run 1 of the project, 1st of this question, 0 unfinished"),
        *("16 of 16 replies trace", "95% interval", f"scripts.verify {RELEASE.name} --key project.pub --head"),
    ):
        assert said in text
    (signer,) = prove(sent.culprit.folder).examination.signers
    assert signer.fingerprint in text


def test_the_policy_allows_nothing_but_the_page(sent: Sent) -> None:
    elements = Elements(sent.page.read_text("utf-8"))
    (policy,) = [
        found["content"] for tag, found in elements.found if tag == "meta" and "Content-Security" in str(found)
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert len(re.findall("'sha256-", policy)) == 3
    named = [found for tag, found in elements.found if "src" in found or tag in ("link", "iframe", "img", "object")]
    assert named == []


def test_hostile_text_stays_text(sent: Sent, hostile_dir: Path) -> None:
    proof = prove(sent.culprit.folder)
    examination = replace(proof.examination, hosts=("</td><script>window.owned = 1</script>",))
    shared = Shared(read_story(read_live(hostile_dir)), Proof(examination, proof.derivation), sent.handout.bundle)
    text = certificate_html(shared)
    elements = Elements(text)
    assert [found.get("type") for tag, found in elements.found if tag == "script"] == ["application/json", None, None]
    assert "&lt;b&gt;BTC&lt;/b&gt;" in text
    assert "\\u202ereversed" in text
    assert "\u202e" not in text


def test_what_is_shown_escaped_is_the_same_list_in_the_page(sent: Sent) -> None:
    claims: dict[str, Any] = json.loads(
        re.findall(r'id="claims">(.*?)</script>', sent.page.read_text("utf-8"), re.DOTALL)[0]
    )
    spelled = re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), claims["unseen"])
    for letter in ("\x1b", "\u202e", "\u2066", "\U000e0001", "\n"):
        assert re.fullmatch(spelled, letter)
    for letter in ("a", "é", "-", "["):
        assert not re.fullmatch(spelled, letter)


def test_a_number_without_end_that_was_signed_is_told_and_crashes_nothing(
    culprit: Culprit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    culprit.change(2, lambda record: record["body"]["bar"].update(close="1e999999999"))
    culprit.sign(culprit.key)
    assert verify.main([str(culprit.folder)]) == 1
    assert "does not read: 1.000000E+999999999 is out of all range" in capsys.readouterr().out
    assert "is not shared" in door(capsys, culprit.folder, "--output", tmp_path / "out", code=1)
