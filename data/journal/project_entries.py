"""What the project's log says: read whole, held against its checkpoints, and counted.

Numbers come from a log that is what was signed, or not at all. Limit: the log is held in memory; a line is some 400
bytes, and there is one when a run begins and one when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.journal.certificates import CertificateError, Chain, read_chains
from data.journal.checkpoints import FILE_NAME, read_checkpoints
from data.journal.line import decode
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, NoteError, PublicKey, open_note
from data.journal.reading import LOG_NAME
from data.model.canonical import Json
from data.model.errors import DataError
from data.model.protocols import Record

ORIGIN = "agentrader/project"
PUBLIC_NAME = "project.pub"
BEGUN, ENDED, RECOVERY = "project.run_begun", "project.run_ended", "recovery"
COMPLETE = "complete"
_FIELDS = {BEGUN: {"first_leaf", "question_digest", "run_id"}, ENDED: {"head", "run_id", "status"}}


@dataclass(frozen=True, slots=True)
class Trial:
    """Where a run stands: the `number`-th of the project, the `of_question`-th that asked the same, and how many before
    it have not ended complete. `size` and `root` (hex) are the log's with the run's entry as its last record."""

    number: int
    of_question: int
    unfinished: int
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A run's entry as the log proves it, and the project as of the log's last checkpoint.

    `status` is how the run ended, None if it never did. `signer` is the project key that answers for the log; `known`
    says whether trusted keys vouch for all who signed it.
    """

    trial: Trial
    question_digest: str
    status: str | None
    runs: int
    unfinished: int
    signer: PublicKey
    known: bool


@dataclass(frozen=True)
class Entries:
    """What was read: `length` bytes of whole records, then `torn`; `points` are the checkpoints with their notes."""

    records: list[Record]
    leaves: list[bytes]
    points: list[tuple[Checkpoint, str]]
    length: int
    torn: bytes

    @property
    def covered(self) -> int:
        """How many records are signed."""
        return self.points[-1][0].size if self.points else 0

    @property
    def root(self) -> bytes:
        return _root(self.leaves)

    def trial(self, seq: int) -> Trial:
        """Where the run stands that record `seq` enters."""
        before, own = self.records[:seq], self.records[seq].body
        begun = [each.body for each in before if each.kind == BEGUN]
        same = sum(body["question_digest"] == own["question_digest"] for body in begun)
        left = _unfinished(before) - {own["run_id"]}
        return Trial(len(begun) + 1, same + 1, len(left), seq + 1, _root(self.leaves[: seq + 1]).hex())


def check(folder: Path, run_id: str, first_leaf: str, trusted: tuple[PublicKey, ...] = ()) -> Standing:
    """What the log proves about the run that begins with this leaf. Raises DataError in one line if it proves nothing.

    Every checkpoint is checked; records after the last one are nobody's word and do not count.
    """
    for path in (folder / name for name in (LOG_NAME, FILE_NAME, PUBLIC_NAME)):
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{path} is not a regular file: not a project log")
    log = read_entries(folder)
    chains = _chains(folder)
    signers = [_signer(folder, point, note, chains) for point, note in log.points]
    signed = log.records[: log.covered]
    entry = next((each for each in signed if _is_entry(each, run_id, first_leaf)), None)
    if entry is None:
        raise DataError(f"the project log in {folder} has no signed entry of a run {run_id} that begins so")
    ends = [each for each in signed if each.kind == ENDED and each.body["run_id"] == run_id]
    covering = next(place for place, (point, _) in enumerate(log.points) if point.size > entry.seq)
    return Standing(
        trial=log.trial(entry.seq),
        question_digest=str(entry.body["question_digest"]),
        status=str(ends[-1].body["status"]) if ends else None,
        runs=sum(each.kind == BEGUN for each in signed),
        unfinished=len(_unfinished(signed)),
        signer=signers[covering].signer,
        known=all(chain.leads_to(trusted) for chain in signers),
    )


def read_entries(folder: Path) -> Entries:
    """The log of a folder. Raises DataError if it is not what was signed."""
    path = folder / LOG_NAME
    try:
        data = path.read_bytes()
        points, _ = read_checkpoints(folder)
    except (OSError, NoteError) as error:
        raise DataError(f"the project log in {folder} cannot be read: {error}") from None
    length = data.rfind(b"\n") + 1
    lines = data[:length].split(b"\n")[:-1]
    try:
        records = [decode(line, folder) for line in lines]
        fits = all(record.seq == place for place, record in enumerate(records))
        fits = fits and all(_FIELDS.get(record.kind, set()) <= record.body.keys() for record in records)
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        fits = False
    leaves = [leaf_hash(line) for line in lines]
    if not fits or not _as_signed(leaves, [point for point, _ in points]):
        raise DataError(
            f"the project log {path} is not what was signed, so it counts nothing; bring back a copy of the folder, "
            "or move it away to count from 1 again"
        )
    return Entries(records, leaves, points, length, data[length:])


def _as_signed(leaves: list[bytes], points: list[Checkpoint]) -> bool:
    tree, before = Tree(), 0
    for point in points:
        fresh = leaves[before : point.size]
        if point.origin != ORIGIN or not before < point.size <= len(leaves) or list(point.leaves) != fresh:
            return False
        for leaf in fresh:
            tree.add(leaf)
        if tree.root() != point.root:
            return False
        before = point.size
    return True


def _chains(folder: Path) -> list[Chain]:
    try:
        return list(read_chains((folder / PUBLIC_NAME).read_bytes()))
    except (OSError, CertificateError) as error:
        raise DataError(f"{folder / PUBLIC_NAME}: {error}") from None


def _signer(folder: Path, point: Checkpoint, note: str, chains: list[Chain]) -> Chain:
    try:
        _, key = open_note(note, [chain.subject.key for chain in chains])
    except NoteError as error:
        raise DataError(f"the project log's checkpoint of {point.size} records in {folder}: {error}") from None
    return next(chain for chain in chains if chain.subject.key == key)


def _unfinished(records: list[Record]) -> set[Json]:
    begun = {str(each.body["run_id"]) for each in records if each.kind == BEGUN}
    done = {str(each.body["run_id"]) for each in records if each.kind == ENDED and each.body.get("status") == COMPLETE}
    return set(begun - done)


def _is_entry(record: Record, run_id: str, first_leaf: str) -> bool:
    body = record.body
    return record.kind == BEGUN and (body["run_id"], body["first_leaf"]) == (run_id, first_leaf)


def _root(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()
