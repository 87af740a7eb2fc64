"""Time stamps (RFC 3161) over a run's checkpoints: an authority says that this state of the log was there by then.

    anchors/begin.tsr    over the text of the first checkpoint
    anchors/head.tsr     over the text of the last one when the run ended

Who owns the key can write a run anew, but not with a stamp of the day. A stamp is checked against the roots of
authorities that the reader trusts, offline, and its certificate must have been valid when it stamped; other tools read
it too: `openssl ts -verify`. Limits: no revocation list is asked for, and a few bytes of a stamp are under no
signature: the run's `anchor` record holds the file's digest. Asking for stamps is `stamping`'s.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256, sha384, sha512
from pathlib import Path
from typing import Final

from cryptography import x509
from rfc3161_client import TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

from data.journal.checkpoints import read_checkpoints
from data.journal.notes import Checkpoint, NoteError

FOLDER = "anchors"
MAX_BYTES = 64 * 1024
_DIGESTS: Final = {
    "2.16.840.1.101.3.4.2.1": sha256,
    "2.16.840.1.101.3.4.2.2": sha384,
    "2.16.840.1.101.3.4.2.3": sha512,
}
_UNTRUSTED = re.compile(r"certificate verify error.*?Verify error: ([^\"]*)", re.DOTALL)


class Moment(StrEnum):
    """Which checkpoint is stamped."""

    BEGIN = "begin"
    HEAD = "head"

    def path(self, folder: Path) -> Path:
        return folder / FOLDER / f"{self}.tsr"


class AnchorError(ValueError):
    """A time stamp that is none, or not of what it should be of; one line says why."""


class UntrustedAuthority(AnchorError):
    """Stamped by somebody whom no given root vouches for, or whose certificate was not valid then."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a time stamp says of itself. `authority` is its certificate's subject: untrusted text."""

    stamped_at: datetime
    authority: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A stamp in a run's folder and the checkpoint it is of. `doubt` is None if a trusted authority gave it."""

    moment: Moment
    stamp: Stamp
    checkpoint: Checkpoint
    doubt: str | None


def check_anchors(folder: Path, roots: Sequence[bytes]) -> tuple[Anchor, ...]:
    """The stamps of a run's folder; none if it has none. `roots` are certificates in PEM, trusted by the reader.

    The stamp of the beginning must be of the first checkpoint; that of the head may be of an earlier one than the last,
    if the run went on. Raises AnchorError for a forged stamp, and for one of something else; OSError if it cannot read.
    """
    found = [(moment, data) for moment in Moment if (data := _bytes_of(moment.path(folder))) is not None]
    if not found:
        return ()
    try:
        points = [point for point, _ in read_checkpoints(folder)[0]]
    except NoteError as error:
        raise AnchorError(str(error)) from None
    return tuple(_anchor(moment, data, points, roots) for moment, data in found)


def verify_stamp(stamp: bytes, data: bytes, roots: Sequence[bytes]) -> datetime:
    """When the data was stamped, as an authority under one of the roots (PEM) says. Raises AnchorError.

    The authority's certificate must be for time stamps, and valid at that instant.
    """
    response = read_response(stamp)
    certificates = _certificates(roots)
    if not certificates:
        raise UntrustedAuthority("no authority is trusted: name a file with its root certificate")
    try:
        VerifierBuilder(roots=certificates).build().verify_message(response, data)
    except (VerificationError, ValueError) as error:
        if untrusted := _UNTRUSTED.search(str(error)):
            raise UntrustedAuthority(f"no trusted authority vouches for it: {untrusted.group(1)}") from None
        raise AnchorError(f"not a valid time stamp of this: {_first_words(error)}") from None
    return response.tst_info.gen_time


def read_stamp(stamp: bytes) -> Stamp:
    """What it says, unchecked. Raises AnchorError."""
    response = read_response(stamp)
    try:
        signers = {(signer.issuer, signer.serial_number) for signer in response.signed_data.signer_infos}
        held = [x509.load_der_x509_certificate(each) for each in response.signed_data.certificates]
        named = [each.subject.rfc4514_string() for each in held if (each.issuer, each.serial_number) in signers]
        return Stamp(response.tst_info.gen_time, named[0] if named else "unnamed", sha256(stamp).hexdigest())
    except ValueError as error:
        raise AnchorError(f"not a readable time stamp: {_first_words(error)}") from None


def read_response(stamp: bytes) -> TimeStampResponse:
    """The decoded answer of an authority that granted one. Raises AnchorError."""
    if len(stamp) > MAX_BYTES:
        raise AnchorError(f"not a time stamp: larger than {MAX_BYTES} bytes")
    try:
        response = decode_timestamp_response(stamp)
        granted = response.status == 0
        if granted:
            _ = response.tst_info.gen_time, response.signed_data.version
    except ValueError as error:
        raise AnchorError(f"not a readable time stamp: {_first_words(error)}") from None
    if not granted:
        raise AnchorError(f"the authority granted no time stamp (status {response.status})")
    return response


def is_of(response: TimeStampResponse, data: bytes) -> bool:
    """Whether the response stamps this data."""
    imprint = response.tst_info.message_imprint
    digest = _DIGESTS.get(imprint.hash_algorithm.dotted_string)
    return digest is not None and digest(data).digest() == imprint.message


def _anchor(moment: Moment, data: bytes, points: Sequence[Checkpoint], roots: Sequence[bytes]) -> Anchor:
    response = read_response(data)
    eligible: Iterable[Checkpoint] = points[:1] if moment is Moment.BEGIN else reversed(points)
    point = next((each for each in eligible if is_of(response, each.text().encode())), None)
    if point is None:
        first = "the first checkpoint" if moment is Moment.BEGIN else "any checkpoint"
        raise AnchorError(f"{FOLDER}/{moment}.tsr is not a time stamp of {first} of this run")
    try:
        verify_stamp(data, point.text().encode(), roots)
    except UntrustedAuthority as doubt:
        return Anchor(moment, read_stamp(data), point, str(doubt))
    except AnchorError as error:
        raise AnchorError(f"{FOLDER}/{moment}.tsr is forged: {error}") from None
    return Anchor(moment, read_stamp(data), point, None)


def _certificates(roots: Sequence[bytes]) -> list[x509.Certificate]:
    try:
        found = [certificate for each in roots for certificate in x509.load_pem_x509_certificates(each)]
    except ValueError:
        raise AnchorError("a root of the trusted authorities is not a certificate in PEM") from None
    return list(dict.fromkeys(found))


def _bytes_of(path: Path) -> bytes | None:
    """A regular file's bytes, never through a link; None if there is none. Raises AnchorError and OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise AnchorError(f"{path.name} is not a regular file")
        return file.read(MAX_BYTES + 1)


def _first_words(error: Exception) -> str:
    return str(error).split(": ErrorStack", maxsplit=1)[0].replace("\n", " ")[:200]
