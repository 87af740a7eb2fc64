"""Hands a finished run on: the packed folder, and a certificate beside it. What does not hold is not shared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backtesting.audit.certificate import Shared, certificate_html
from backtesting.audit.packing import Bundle, pack
from backtesting.audit.story_reader import read_story
from backtesting.audit.verdict import ChangedFiles, Proof, prove
from data.journal.examine import Verdict
from data.journal.reading import read_live
from data.model.canonical import sha256_hex
from data.model.errors import AgentraderError, RunIncomplete

FILE_NAME = "certificate.html"


@dataclass(frozen=True, slots=True)
class Handout:
    """What was written. `verdict` is what the folder came to just before."""

    run_id: str
    certificate: Path
    certificate_sha256: str
    bundle: Bundle
    head: str
    verdict: str


def share(folder: Path, target: Path, changed_files: ChangedFiles) -> Handout:
    """Verifies the run, packs it into the folder `target` and writes the certificate there.

    Raises AgentraderError for a run that does not hold, RunIncomplete for one without an end, DataError for what
    cannot be packed, OSError for what cannot be read or written.
    """
    proof = prove(folder, changed_files=changed_files)
    _require_sound(folder, proof)
    found, story = proof.examination, read_story(read_live(folder))
    assert found.head is not None
    target.mkdir(parents=True, exist_ok=True)
    bundle = pack(folder, found.run_id, target)
    page = certificate_html(Shared(story, proof, bundle)).encode()
    path = target / FILE_NAME
    part = path.with_name(path.name + ".part")
    part.write_bytes(page)
    part.replace(path)
    verdict = f"{proof.verdict.value} · {proof.result}"
    return Handout(found.run_id, path, sha256_hex(page), bundle, found.head, verdict)


def _require_sound(folder: Path, proof: Proof) -> None:
    see = f"see: python -m scripts.verify {folder}"
    if proof.first_bad is not None:
        raise AgentraderError(f"{folder} is not what was signed ({proof.first_bad.kind}), and is not shared; {see}")
    if proof.differences:
        raise AgentraderError(f"the result of {folder} does not follow from its record, and is not shared; {see}")
    if proof.verdict is Verdict.INCOMPLETE:
        run = proof.examination.run_id
        raise RunIncomplete(f"{folder} has no end yet; go on with it first: --resume {run}")
