"""Whose run a folder is of, and who signed it: what `run.pub` says, and whether it fits the log and its checkpoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.journal.certificates import CertificateError, Flaw, RunCertificates, read_certificates
from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME, origin_of
from data.journal.examine_files import open_regular
from data.journal.examine_json import read_strict
from data.journal.examine_record import run_of
from data.journal.line import LONGEST_LINE
from data.journal.notes import PublicKey
from data.journal.opened import PUBLIC_KEY_NAME
from data.journal.reading import LOG_NAME

LARGEST_PUB = 1 << 20
_CERTIFIED = re.compile(r"^agentrader/certificate\nrun (\S{1,200})$", re.MULTILINE)
_KINDS = {
    Flaw.MALFORMED: Kind.MALFORMED_CERTIFICATE,
    Flaw.FORGED: Kind.FORGED_CERTIFICATE,
    Flaw.FORBIDDEN: Kind.FORGED_CERTIFICATE,
    Flaw.FOREIGN: Kind.FOREIGN_CERTIFICATE,
}


@dataclass(frozen=True)
class Signers:
    """The run's name and the keys that may sign for it; with a fault there are none that anybody vouches for."""

    run_id: str
    certificates: RunCertificates | None
    fault: Fault | None = None

    @property
    def keys(self) -> Sequence[PublicKey]:
        return () if self.certificates is None else self.certificates.keys

    @property
    def projects(self) -> tuple[PublicKey, ...]:
        """The project keys that answer for the run, each once."""
        chains = () if self.certificates is None else self.certificates.chains
        return tuple(dict.fromkeys(chain.signer for chain in chains))


def read_signers(folder: Path, trusted: Sequence[PublicKey]) -> Signers:
    """Raises NotRegular and OSError, but for a `run.pub` that is not there."""
    try:
        with open_regular(folder, PUBLIC_KEY_NAME) as file:
            public = file.read(LARGEST_PUB + 1)
    except FileNotFoundError:
        fault = Fault(
            Kind.MISSING_FILE, None, f"{PUBLIC_KEY_NAME} is missing: nobody vouches for a key", PUBLIC_KEY_NAME
        )
        return Signers(_run_id(folder, b""), None, fault)
    run_id = _run_id(folder, public)
    try:
        found = read_certificates(public[:LARGEST_PUB], run_id, trusted)
    except CertificateError as error:
        return Signers(run_id, None, Fault(_KINDS[error.flaw], None, f"{PUBLIC_KEY_NAME}: {error}", PUBLIC_KEY_NAME))
    if trusted and not found.known:
        detail = f"signed for by the key {found.signer.fingerprint}, for which none of the given keys vouches"
        return Signers(run_id, found, Fault(Kind.FOREIGN_KEY, None, detail, PUBLIC_KEY_NAME))
    return Signers(run_id, found)


def _run_id(folder: Path, public: bytes) -> str:
    """What most of the three say: the log's first record, the certificate, the first checkpoint."""
    certified = _CERTIFIED.search(public.decode(errors="replace"))
    origin = _first_line(folder, FILE_NAME, 1000).decode(errors="replace")
    said = (
        _begun(_first_line(folder, LOG_NAME, LONGEST_LINE)),
        certified[1] if certified else None,
        origin.removeprefix(origin_of("")) if origin.startswith(origin_of("")) else None,
    )
    counted = Counter(name for name in said if name)
    return counted.most_common(1)[0][0] if counted else ""


def _begun(line: bytes) -> str | None:
    try:
        return run_of(read_strict(line))
    except ValueError:
        return None


def _first_line(folder: Path, name: str, most: int) -> bytes:
    try:
        with open_regular(folder, name) as file:
            return file.readline(most).removesuffix(b"\n")
    except FileNotFoundError:
        return b""
