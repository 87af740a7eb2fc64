"""What a run's folder proves: whether it is what was signed, and whether its result follows from its records.

The two are told apart. A log that is not what was signed is not derived from: nothing would follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from backtesting.audit.derivation import Derivation, rederive
from backtesting.audit.findings import Difference
from backtesting.audit.rendered_files import compare_renderings
from data.journal.changes import Fault, Kind
from data.journal.examine import Examination, Verdict, examine
from data.journal.examine_look import Watch
from data.journal.notes import PublicKey
from data.journal.reading import read_cuts, read_records
from data.model.canonical import Json
from data.model.errors import DataError
from data.model.protocols import Record

RE_DERIVED, DIFFERS, NOT_DERIVED = "RESULT RE-DERIVED", "RESULT DIFFERS", "RESULT NOT DERIVED"
_RENDERS = ("backtesting/audit/", "backtesting/accounting/", "data/journal/", "data/model/")

ChangedFiles = Callable[[Json], Sequence[str]]


@dataclass(frozen=True)
class Proof:
    """What a folder came to. `derivation` is None if nothing was derived: `underived` says why.

    `differences` are where the records, the result and the renderings do not follow from each other.
    """

    examination: Examination
    derivation: Derivation | None = None
    underived: str | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.examination.verdict

    @property
    def result(self) -> str:
        """Whether the result follows, in the words of the documentation."""
        if self.differences:
            return DIFFERS
        return NOT_DERIVED if self.derivation is None else RE_DERIVED

    @property
    def headline(self) -> str:
        """Verdict, result, and whether somebody answered who is no known provider."""
        servers = () if self.derivation is None else self.derivation.servers
        stranger = ["UNVERIFIED SERVER"] if any(each.is_stranger for each in servers) else []
        return " · ".join([self.verdict, self.result, *stranger])

    @property
    def first_bad(self) -> Fault | None:
        """The first bad record."""
        return self.examination.faults[0] if self.examination.faults else None

    @property
    def exit_code(self) -> int:
        """0 good; 1 tampered, or something differs; 3 incomplete."""
        if self.verdict is Verdict.TAMPERED or self.differences:
            return 1
        return 3 if self.verdict is Verdict.INCOMPLETE else 0


def prove(
    folder: Path,
    *,
    trusted: Sequence[PublicKey] = (),
    head: str | None = None,
    authorities: Sequence[bytes] = (),
    fast: bool = False,
    changed_files: ChangedFiles = lambda _: (),
    watch: Watch = lambda _done, _of: None,
) -> Proof:
    """Examines the folder and derives its result again; with `fast`, examines it quickly and derives nothing.

    `changed_files` names the files of the house that are not as a recorded environment has them: what renders in
    another way since then proves nothing. The rest as `examine`, with what it raises.
    """
    found = examine(folder, trusted=trusted, head=head, authorities=authorities, fast=fast, watch=watch)
    if fast:
        return Proof(found, underived="a fast look derives nothing")
    if not found.readable or found.signed == 0:
        why = "no record is signed" if found.signed == 0 else "the log is not what was signed"
        return Proof(found, underived=why)
    try:
        derivation = rederive(_heard(folder, found.signed, watch))
        rendered = compare_renderings(folder)
    except DataError as error:
        return Proof(found, underived="the log does not read", differences=(Difference(None, str(error)),))
    other = [name for name in changed_files(_environment(found)) if name.startswith(_RENDERS)]
    examination, differing = _renderings(found, rendered, same_code=not other)
    return Proof(examination, derivation, differences=(*derivation.differences, *differing))


def _heard(folder: Path, records: int, watch: Watch) -> Iterator[Record]:
    """The first `records` of them that count. What is under no checkpoint does not, nor what it would set aside."""
    cuts = [cut for cut in read_cuts(folder) if cut.seq < records]
    for record in islice(read_records(folder), records):
        if record.seq % 1000 == 0:
            watch(record.seq, records)
        if not any(cut.sets_aside(record.seq, record.kind) for cut in cuts):
            yield record


def _environment(found: Examination) -> Json:
    """What the files were made by: the last process that was at work on the run."""
    bodies = [body for _, body in found.facts.recoveries[-1:]] or [found.facts.begin or {}]
    return bodies[0].get("environment")


def _renderings(
    found: Examination, differences: Sequence[Difference], *, same_code: bool
) -> tuple[Examination, tuple[Difference, ...]]:
    """Which renderings were edited, which were only made by another release, and which do not follow.

    The first are faults and told with the line that differs. A file that is as it was signed, or as it is made today,
    is no change by anybody, if the code that makes it has changed since.
    """
    faults, remarks, left = list[Fault](), list(found.remarks), list(differences)
    edited = {fault.file for fault in found.faults if fault.kind is Kind.EDITED_RENDERING}
    for fault in found.faults:
        about = [each for each in left if fault.file in each.what]
        in_lines = [each for each in about if each.what.startswith(f"{fault.file}, line")]
        if fault.file in edited and not in_lines and not same_code:
            remarks.append(f"{fault.file} was made again by another release than the one that signed it")
        else:
            faults.append(replace(fault, detail=f"{fault.detail}; {in_lines[0]}") if in_lines else fault)
        if fault.file in edited or fault.kind is Kind.MISSING_FILE:
            left = [each for each in left if each not in about]
    if not same_code and left:
        names = sorted({name for each in left for name in _names(found) if name in each.what})
        remarks += [f"{name} is as it was signed; this release makes it in another way" for name in names]
        left = []
    return replace(found, faults=tuple(faults), remarks=tuple(remarks)), tuple(left)


def _names(found: Examination) -> list[str]:
    files = (found.facts.rendered or {}).get("files")
    return list(files) if isinstance(files, dict) else []
