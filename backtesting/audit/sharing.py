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
from data.model.canonical import Json, sha256_hex
from data.model.errors import AgentraderError, RunIncomplete, UsageError
from data.model.escape import escape_line

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

    def for_people(self) -> list[str]:
        """A line each: where things are, what to compare, and what to send."""
        bundle = self.bundle
        lines = [
            ("certificate", str(self.certificate)),
            ("packed run", f"{self._packed}  ({bundle.size:,} bytes, {len(bundle.files)} files)"),
            ("sha256", bundle.sha256),
            ("head", self.head),
            ("verdict", self.verdict),
        ]
        told = [f"{name:15} {escape_line(value)}" for name, value in lines]
        return [*told, "Send both files, and the head by another way: a page alone proves nothing about its sender."]

    def for_programs(self) -> dict[str, Json]:
        """The same as one object; sizes in bytes."""
        bundle = self.bundle
        return {
            "run_id": self.run_id,
            "verdict": self.verdict,
            "head": self.head,
            "certificate": str(self.certificate),
            "certificate_sha256": self.certificate_sha256,
            "bundle": str(self._packed),
            "bundle_bytes": bundle.size,
            "bundle_sha256": bundle.sha256,
            "tar_bytes": bundle.tar_size,
            "tar_sha256": bundle.tar_sha256,
            "files": list(bundle.files),
        }

    @property
    def _packed(self) -> Path:
        return self.certificate.parent / self.bundle.name


def share(folder: Path, target: Path, changed_files: ChangedFiles) -> Handout:
    """Verifies the run, packs it into the folder `target` and writes the certificate there.

    Raises AgentraderError for a run that does not hold, RunIncomplete for one without an end, DataError for what
    cannot be packed, UsageError for what cannot be read or written, or a target inside the run's own folder.
    """
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target} lies in the run's own folder, which stays as it is; give another --output")
    try:
        return _share(folder, target, changed_files)
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror or error}") from None


def _share(folder: Path, target: Path, changed_files: ChangedFiles) -> Handout:
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
    return Handout(found.run_id, path, sha256_hex(page), bundle, found.head, proof.headline)


def _require_sound(folder: Path, proof: Proof) -> None:
    see = f"see: python -m scripts.verify {folder}"
    if proof.first_bad is not None:
        raise AgentraderError(f"{folder} is not what was signed ({proof.first_bad.kind}), and is not shared; {see}")
    if proof.differences:
        raise AgentraderError(f"the result of {folder} does not follow from its record, and is not shared; {see}")
    if proof.verdict is Verdict.INCOMPLETE:
        run = proof.examination.run_id
        raise RunIncomplete(f"{folder} has no end yet; go on with it first: --resume {run}")
