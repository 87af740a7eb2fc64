"""Certificates: who vouches for the key that signs a run's checkpoints.

    agentrader/certificate
    run 20250401-…                     for exactly this run; or `host <name>`, or `project agentrader/project`
    agentrader/run/20250401-…+…+…      the certified key
    2025-04-01T09:30:00Z               issued at

    — agentrader/project q1Zn…=

A project key vouches for hosts, runs and its successor, a host key for runs, a run key for nothing. A file of them
holds chains: each certificate is followed by that of the key that signed it, up to a project key that signed itself.
So every byte is under a signature and has one place, and the file tells who signed it to those who know nobody.
Limits: nothing is revoked and nothing expires; a certificate says whose key it is, not when the key was used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from data.journal.notes import NoteError, PublicKey, SigningKey, open_note, sign_note, split_notes
from data.model.instants import iso, parse_instant

TITLE = "agentrader/certificate"
PROJECT = "agentrader/project"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)


class Flaw(StrEnum):
    """What kind of change a bad file of certificates shows."""

    MALFORMED = "malformed"  # not what the format asks for, or cut off
    FORGED = "forged"  # the signature is not by the key of the certificate that follows
    FORBIDDEN = "forbidden"  # signed by a key that may not vouch for this
    FOREIGN = "foreign"  # for another run


class CertificateError(ValueError):
    """A file of certificates that proves nothing; one line says why, `flaw` what kind of change it is."""

    def __init__(self, message: str, flaw: Flaw) -> None:
        super().__init__(message)
        self.flaw = flaw


class Subject(StrEnum):
    """What a key is for. The value is how a certificate spells it."""

    RUN = "run"
    HOST = "host"
    PROJECT = "project"


_MAY_CERTIFY = {
    Subject.PROJECT: frozenset(Subject),
    Subject.HOST: frozenset({Subject.RUN}),
    Subject.RUN: frozenset[Subject](),
}


def key_name(subject: Subject, name: str) -> str:
    """The name that such a key signs with. Raises ValueError for a name with other than letters, digits and `._-`."""
    is_project = subject is Subject.PROJECT
    if not (name == PROJECT if is_project else _NAME.fullmatch(name)):
        raise ValueError(f"{name!a} is no name for a {subject}'s key")
    return PROJECT if is_project else f"agentrader/{subject}/{name}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """`key` is the key of the `subject` of that `name`."""

    subject: Subject
    name: str
    key: PublicKey
    issued_at: datetime

    def text(self) -> str:
        """What is signed."""
        return f"{TITLE}\n{self.subject} {self.name}\n{self.key.text}\n{iso(self.issued_at)}\n"

    @classmethod
    def parse(cls, text: str) -> Certificate:
        """Raises CertificateError for any other spelling than `text`'s."""
        try:
            title, whose, key, issued_at, _ = text.split("\n")
            subject, _, name = whose.partition(" ")
            found = cls(Subject(subject), name, PublicKey.parse(key), parse_instant(issued_at))
            fits = title == TITLE and found.text() == text and found.key.name == key_name(found.subject, name)
        except ValueError as error:
            raise CertificateError(f"not a certificate: {error}", Flaw.MALFORMED) from None
        if not fits:
            raise CertificateError(f"not a certificate: {text[:200]!a}", Flaw.MALFORMED)
        return found


@dataclass(frozen=True, slots=True)
class Chain:
    """A certificate and those above it: the last is of a project key that signed itself."""

    certificates: tuple[Certificate, ...]

    @property
    def subject(self) -> Certificate:
        return self.certificates[0]

    @property
    def signer(self) -> PublicKey:
        """The project key that answers for the subject, itself or through a host."""
        return next(each.key for each in self.certificates if each.subject is Subject.PROJECT)

    @property
    def host(self) -> str | None:
        """The name of the certified machine that a key is of, or that issued it."""
        return next((each.name for each in self.certificates if each.subject is Subject.HOST), None)

    def leads_to(self, trusted: Iterable[PublicKey]) -> bool:
        """Whether one of these keys vouches for the subject: as its issuer, above a host, or before a rotation."""
        known = {key.raw for key in trusted}
        return any(each.key.raw in known for each in self.certificates if each.subject is not Subject.RUN)


@dataclass(frozen=True, slots=True)
class RunCertificates:
    """A run's keys in order; a run that went on elsewhere has several. `known`: trusted keys vouch for each."""

    chains: tuple[Chain, ...]
    signer: PublicKey
    known: bool

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        return tuple(chain.subject.key for chain in self.chains)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The certified machines that the run was on."""
        return tuple(dict.fromkeys(chain.host for chain in self.chains if chain.host is not None))


def certify(subject: Subject, name: str, raw: bytes, issuer: SigningKey, at: datetime) -> str:
    """A certificate for the key of these 32 bytes, as a file holds it: the note and an empty line."""
    return sign_note(Certificate(subject, name, PublicKey(key_name(subject, name), raw), at).text(), issuer) + "\n"


def read_certificates(run_pub: bytes, run_id: str, trusted: Sequence[PublicKey]) -> RunCertificates:
    """What `run.pub` says about a run's keys. Raises CertificateError.

    `signer` is the project key to name to people: the first one that nobody trusts, else the first one.
    """
    chains = tuple(read_chains(run_pub))
    for chain in chains:
        if (chain.subject.subject, chain.subject.name) != (Subject.RUN, run_id):
            raise CertificateError(
                f"a certificate for the {chain.subject.subject} {chain.subject.name}, not for the run {run_id}",
                Flaw.FOREIGN,
            )
    if not chains:
        raise CertificateError("no certificate", Flaw.MALFORMED)
    if len({chain.subject.key for chain in chains}) != len(chains):
        raise CertificateError("the same key is certified twice", Flaw.MALFORMED)
    strangers = [chain for chain in chains if not chain.leads_to(trusted)]
    return RunCertificates(chains, (strangers or chains)[0].signer, not strangers)


def read_chains(data: bytes) -> Iterator[Chain]:
    """The chains of a file, each signature checked. Raises CertificateError at the first flaw."""
    links: list[_Link] = []
    try:
        for _, note in split_notes(data):
            links.append(_Link(Certificate.parse(note.rpartition("\n\n")[0] + "\n"), note))
            if links[-1].certificate.subject is Subject.PROJECT and links[-1].is_signed_by(links[-1].certificate):
                yield _chain(links)
                links = []
    except NoteError as error:
        raise CertificateError(str(error), Flaw.MALFORMED) from None
    if links:
        raise CertificateError(f"nobody vouches for the key {links[-1].certificate.key.name}", Flaw.FORGED)


def with_certificates(run_pub: bytes, certificates: str) -> bytes:
    """What `run.pub` is to hold when a key is added; the same bytes if it is there already."""
    added = certificates.encode()
    return run_pub if added in run_pub else run_pub + added


@dataclass(frozen=True, slots=True)
class _Link:
    certificate: Certificate
    note: str

    def is_signed_by(self, issuer: Certificate) -> bool:
        try:
            open_note(self.note, [issuer.key])
        except NoteError:
            return False
        return True


def _chain(links: Sequence[_Link]) -> Chain:
    for link, above in pairwise(links):
        certificate, issuer = link.certificate, above.certificate
        if not link.is_signed_by(issuer):
            raise CertificateError(f"{certificate.key.name} is not certified by {issuer.key.name}", Flaw.FORGED)
        if certificate.subject not in _MAY_CERTIFY[issuer.subject]:
            raise CertificateError(
                f"the key of a {issuer.subject} cannot vouch for that of a {certificate.subject}", Flaw.FORBIDDEN
            )
    return Chain(tuple(link.certificate for link in links))
