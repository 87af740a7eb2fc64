"""Sees what a killed run left behind, and whether all of it is kept and nothing of it is paid for twice."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ground import CANARY, Ended, Patient

from backtesting.audit.verdict import RE_DERIVED, prove
from data.journal.examine import Verdict
from data.journal.merkle import leaf_hash
from data.journal.notes import PublicKey
from data.journal.project_log import check


@dataclass
class Witness:
    """Looks at one run after each kill, and judges it when it is complete."""

    patient: Patient
    kept: bytes = b""
    torn: list[bytes] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)

    def look(self) -> str:
        """After a kill. Returns in a few words where it hit."""
        log = self.patient.log
        whole = log[: log.rfind(b"\n") + 1]
        self._require_kept(whole)
        self.kept = whole
        if whole and whole != log:
            self.torn.append(log[len(whole) :])
        records = lines_of(whole)
        asked = self.patient.asked()
        self.settled |= {digest: asked[digest] for digest in answered(records)}
        return _where(records, is_torn=whole != log)

    def judge(self, ended: Ended) -> list[dict[str, Any]]:
        """The complete run's records."""
        folder = self.patient.folder
        assert folder is not None
        assert ended.code == 0, ended.err
        assert ended.summary["result_digest"] == self.patient.ground.digest
        log = self.patient.log
        assert log.endswith(b"\n")
        self._require_kept(log)
        records = lines_of(log)
        assert [record["audit.seq"] for record in records] == list(range(len(records)))
        _require_each_attempt_answered_once(records, in_flight=self.patient.in_flight)
        self._require_torn_set_aside(records)
        self._require_proof(ended.summary, log)
        assert [path for path in self.patient.root.rglob("*") if path.is_file() and holds(path, CANARY)] == []
        return records

    def _require_kept(self, log: bytes) -> None:
        assert log.startswith(self.kept), "what was recorded is no longer there"
        asked = self.patient.asked()
        again = {digest for digest, times in self.settled.items() if asked[digest] != times}
        assert not again, f"a journaled reply was asked again: {again}"

    def _require_torn_set_aside(self, records: list[dict[str, Any]]) -> None:
        told = [r["body"]["torn"]["base64"] for r in records if r["kind"] == "recovery" and r["body"]["torn"]]
        named = [b64decode(each) for each in told]
        assert all(any(torn in each for each in named) for torn in self.torn), "a torn tail is gone"
        assert all(any(torn in each for torn in self.torn) for each in named)
        assert list(self.patient.root.rglob("set_aside*")) == []

    def _require_proof(self, summary: dict[str, Any], log: bytes) -> None:
        keys = self.patient.root / "data" / "keys"
        trusted = tuple(PublicKey.parse(line) for line in (keys / "project.pub").read_text().splitlines())
        assert self.patient.folder is not None
        proof = prove(self.patient.folder, trusted=trusted, head=summary["head"])
        found = (proof.verdict, proof.result, proof.exit_code)
        assert found == (Verdict.ANCHORED, RE_DERIVED, 0), (proof.examination.remarks, proof.differences)
        first = leaf_hash(log[: log.index(b"\n")]).hex()
        standing = check(self.patient.root / "data" / "project", summary["run_id"], first, trusted)
        assert (standing.status, standing.unfinished, standing.known) == ("complete", 0, True)
        assert not (keys / "runs" / f"{summary['run_id']}.key").exists(), "the key of a complete run is still there"


def lines_of(whole: bytes) -> list[dict[str, Any]]:
    """The records of a log, as JSON."""
    return [json.loads(line) for line in whole.splitlines()]


def answered(records: list[dict[str, Any]]) -> set[str]:
    """The digests of the requests that have a recorded answer that counts."""
    digests = {r["audit.seq"]: r["body"]["audit.request_sha256"] for r in records if r["kind"] == "llm.request"}
    good = (r for r in records if r["kind"] == "llm.response" and r["body"]["fault"] is None)
    return {digests[record["audit.caused_by"][0]] for record in good}


def holds(path: Any, secret: str) -> bool:
    return secret.encode() in path.read_bytes()


def _require_each_attempt_answered_once(records: list[dict[str, Any]], *, in_flight: int) -> None:
    """Requests are answered once, or orphans that are named once and were asked again.

    Ahead of its bar a slot may ask more than one thing, and an orphan of what came out otherwise is not asked again.
    """
    requests, answers, orphans = (
        {r["audit.seq"]: r for r in records if r["kind"] == "llm.request"},
        Counter(r["audit.caused_by"][0] for r in records if r["kind"] == "llm.response"),
        Counter(r["audit.caused_by"][0] for r in records if r["kind"] == "orphan"),
    )
    assert answers + orphans == Counter(requests.keys())
    attempts = Counter(_attempt(requests[seq]) for seq in answers)
    assert set(attempts.values()) == {1}
    again = {_attempt(requests[seq]) for seq in orphans}
    if in_flight == 1:
        assert again <= attempts.keys()
    else:
        assert {slot for slot, *_ in again} <= {slot for slot, *_ in attempts}


def _attempt(request: dict[str, Any]) -> tuple[str, int, str]:
    body = request["body"]
    return request["audit.slot"], body["audit.attempt"], body["audit.request_sha256"]


def _where(records: list[dict[str, Any]], *, is_torn: bool) -> str:
    if is_torn:
        return "in the middle of a record"
    last = records[-1]["kind"] if records else ""
    known = {
        "": "before the first record",
        "run.begin": "while the run began",
        "project.entry": "while the run began",
        "llm.request": "between request and response",
        "recovery": "in a resume, before anything new",
        "orphan": "in a resume, before anything new",
        "run.end": "during the renderings",
        "rendered": "after the last record",
    }
    return known.get(last, "between two records")
