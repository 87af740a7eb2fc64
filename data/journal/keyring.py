"""The keys of this machine: the project key, made at first use, and a key for each run that it certifies.

    data/keys/            0700; every file in it 0600
      project.key         the private key (PEM), and below it its certificates up to the project's first key
      project.pub         the public keys to give away, a line each: the current one first, earlier ones after it
      host.cert           on a rented machine: the certificate from home; its own project key then signs as a host's
      runs/<run_id>.key   the same for a run, until it is complete

Promise: processes that start at once agree on one project key, and no kill leaves half a file. Private keys are never
shown, and in no message. Limit: they are not encrypted; who can read the folder can sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.journal.certificates import PROJECT, CertificateError, Chain, Flaw, Subject, certify, key_name, read_chains
from data.journal.key_files import erase, locked_folder, read_private, read_public, write_private
from data.journal.notes import NoteError, PublicKey, SigningKey
from data.model.errors import UsageError
from data.model.protocols import Clock

_PEM_END = b"-----END PRIVATE KEY-----\n"


@dataclass(frozen=True, slots=True)
class RunKey:
    """A private key and what proves whose it is: for a run, what its `run.pub` is to hold."""

    key: SigningKey
    certificates: str

    @property
    def chain(self) -> Chain:
        return _only_chain(self.certificates.encode())


class Keyring:
    """A folder of keys. Every method raises UsageError in one line for a folder or file that cannot be used."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock

    def issue(self, run_id: str) -> RunKey:
        """The run's key, certified by this machine's; made unless it is here already."""
        with locked_folder(self.folder):
            return self._recall(run_id) or self._issue(run_id)

    def recall(self, run_id: str) -> RunKey | None:
        """The key of a run that was begun here and is not complete; None if there is none."""
        with locked_folder(self.folder):
            return self._recall(run_id)

    def retire(self, run_id: str) -> None:
        """Erases the run's private key: nobody signs for a complete run any more."""
        with locked_folder(self.folder):
            erase(self._run_path(run_id))

    def project(self) -> PublicKey:
        """The project key that answers for what is signed here; on a certified rented machine, the one at home."""
        return self.issuer().chain.signer

    def issuer(self) -> RunKey:
        """What this machine certifies runs and signs its project log with: the project key, or a host's."""
        with locked_folder(self.folder):
            return self._issuer()

    def own(self) -> tuple[PublicKey, ...]:
        """This machine's project key and, after it, the keys that were rotated away."""
        with locked_folder(self.folder):
            return _lines_of(self._own().chain)

    def rotate(self) -> PublicKey:
        """A new project key, certified by the one it replaces, which is erased."""
        with locked_folder(self.folder):
            if read_public(self._host_path) is not None:
                raise UsageError(
                    f"this machine signs as a host, and home vouches for its key; for a new one move {self.folder} "
                    "away and have the new key certified"
                )
            old, new = self._own(), SigningKey.new(PROJECT)
            at = self._clock.now()
            self._keep_own(
                RunKey(new, certify(Subject.PROJECT, PROJECT, new.public.raw, old.key, at) + old.certificates)
            )
            return new.public

    def certify_host(self, key: PublicKey, name: str) -> str:
        """At home: the certificate of a rented machine's key, for `accept` there."""
        with locked_folder(self.folder):
            issuer = self._issuer()
            if issuer.chain.host is not None:
                raise UsageError("this machine is a host itself; certify hosts where the project key is")
            if key.raw == issuer.key.public.raw:
                raise UsageError("this is the project key of this machine itself; give the rented machine's public key")
            try:
                certificate = certify(Subject.HOST, name, key.raw, issuer.key, self._clock.now())
            except ValueError as error:
                raise UsageError(f"{error}: use letters, digits and ._-") from None
            return certificate + issuer.certificates

    def accept(self, certificate: bytes) -> Chain:
        """On a rented machine: takes the certificate that home made for this machine's key."""
        with locked_folder(self.folder):
            chain = _read(certificate, "the certificate")
            own = self._own().key.public
            if chain.subject.subject is not Subject.HOST:
                raise UsageError("the certificate is not a host's; make it at home with `certify PUB --name HOST`")
            if chain.subject.key.raw != own.raw:
                raise UsageError(
                    f"the certificate is for the key {chain.subject.key.fingerprint}, and this machine's is "
                    f"{own.fingerprint}; have certified what `export` prints here"
                )
            write_private(self._host_path, certificate)
            return chain

    @property
    def _own_path(self) -> Path:
        return self.folder / "project.key"

    @property
    def _host_path(self) -> Path:
        return self.folder / "host.cert"

    def _run_path(self, run_id: str) -> Path:
        try:
            key_name(Subject.RUN, run_id)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return self.folder / "runs" / f"{run_id}.key"

    def _issue(self, run_id: str) -> RunKey:
        path, issuer = self._run_path(run_id), self._issuer()
        key = SigningKey.new(key_name(Subject.RUN, run_id))
        certificate = certify(Subject.RUN, run_id, key.public.raw, issuer.key, self._clock.now())
        made = RunKey(key, certificate + issuer.certificates)
        with locked_folder(path.parent):
            write_private(path, _bytes_of(made))
        return made

    def _recall(self, run_id: str) -> RunKey | None:
        return _load(self._run_path(run_id), Subject.RUN, run_id)

    def _issuer(self) -> RunKey:
        own = self._own()
        data = read_public(self._host_path)
        if data is None:
            return own
        subject = _read(data, str(self._host_path)).subject
        if (subject.subject, subject.key.raw) != (Subject.HOST, own.key.public.raw):
            raise UsageError(
                f"{self._host_path} is not for this machine's key; remove it, or have the key certified anew"
            )
        return RunKey(SigningKey.load(own.key.pem(), subject.key.name), data.decode())

    def _own(self) -> RunKey:
        held = _load(self._own_path, Subject.PROJECT, PROJECT)
        if held is None:
            key = SigningKey.new(PROJECT)
            held = RunKey(key, certify(Subject.PROJECT, PROJECT, key.public.raw, key, self._clock.now()))
            self._keep_own(held)
        else:
            self._show_own(held)
        return held

    def _keep_own(self, held: RunKey) -> None:
        write_private(self._own_path, _bytes_of(held))
        self._show_own(held)

    def _show_own(self, held: RunKey) -> None:
        """`project.pub` follows `project.key`, also when a kill came between the two."""
        path = self.folder / "project.pub"
        lines = "".join(f"{key.text}\n" for key in _lines_of(held.chain)).encode()
        if read_public(path) != lines:
            write_private(path, lines)


def _load(path: Path, subject: Subject, name: str) -> RunKey | None:
    data = read_private(path)
    if data is None:
        return None
    pem, end, certificates = data.partition(_PEM_END)
    chain = _read(certificates, str(path))
    try:
        key = SigningKey.load(pem + end, key_name(subject, name))
    except NoteError as error:
        raise UsageError(f"{path} holds no key of ours ({error}); bring back a copy of it, or move it away") from None
    if chain.subject.key != key.public:
        raise UsageError(f"the certificates in {path} are not for its key; bring back a copy of it, or move it away")
    return RunKey(key, certificates.decode())


def _read(data: bytes, where: str) -> Chain:
    try:
        return _only_chain(data)
    except CertificateError as error:
        raise UsageError(f"{where} is not whole ({error}); bring back a copy of it, or move it away") from None


def _only_chain(data: bytes) -> Chain:
    chains = tuple(read_chains(data))
    if len(chains) != 1:
        raise CertificateError("no certificate" if not chains else "more than one key is certified", Flaw.MALFORMED)
    return chains[0]


def _bytes_of(held: RunKey) -> bytes:
    return held.key.pem() + held.certificates.encode()


def _lines_of(chain: Chain) -> tuple[PublicKey, ...]:
    return tuple(each.key for each in chain.certificates)
