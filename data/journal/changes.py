"""The kinds of change that a signed run can show, each with where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What was done to a run's folder. The value is how people and programs are told."""

    # Records of the log against their signed leaves.
    EDITED = "edited"
    RE_ENCODED = "re-encoded"  # other bytes that parse to what was signed
    DELETED = "deleted"
    INSERTED = "inserted"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    APPENDED = "appended"  # behind the signed end of a finished run
    SPLICED = "spliced"  # a record of another run
    MALFORMED = "malformed"  # signed, but no record as the format asks for
    TOO_LONG = "line over 16 MiB"
    # Checkpoints.
    EDITED_CHECKPOINT = "edited checkpoint"
    RE_ENCODED_CHECKPOINT = "re-encoded checkpoint"
    FOREIGN_CHECKPOINT = "foreign checkpoint"  # of another run, or signed by a key that no certificate names
    DROPPED_CHECKPOINT = "dropped checkpoint"
    REPEATED_CHECKPOINT = "repeated checkpoint"
    FORK = "fork"  # two signed statements about the same records that cannot both be true
    # Who signed.
    FOREIGN_KEY = "foreign key"
    FORGED_CERTIFICATE = "forged certificate"
    MALFORMED_CERTIFICATE = "malformed certificate"
    FOREIGN_CERTIFICATE = "foreign certificate"
    # What was pinned outside.
    REWRITTEN = "rewritten"  # all of it agrees, but it is not what was pinned
    OTHER_RUN = "another run"
    FORGED_STAMP = "forged time stamp"
    # Files.
    NOT_A_FILE = "not a regular file"
    MISSING_FILE = "missing file"
    MISSING_BLOB = "missing blob"
    REPLACED_BLOB = "replaced blob"
    EDITED_RENDERING = "edited rendering"


@dataclass(frozen=True, slots=True)
class Fault:
    """One change. `record` is the number of the first record it touches, None if it touches none.

    `detail` is one line, and may quote the folder: untrusted text. `file` is a path inside the folder.
    """

    kind: Kind
    record: int | None
    detail: str
    file: str
