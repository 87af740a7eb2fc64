"""Signed notes and checkpoints: C2SP `signed-note` and `tlog-checkpoint`, with Ed25519 keys.

    agentrader/run/20250401-…          the log
    6543                               how many records it holds
    8mGT…=                             the root of their tree
    q2Wn…=                             a leaf for each record since the checkpoint before

    — agentrader/run/20250401-… wH1…=

Reading is strict: one spelling for each note, so nothing can be changed in it unseen, not even the padding of a
signature. Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint. Limit: a note has one signature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

ED25519 = b"\x01"
DASH = "\u2014"
_NAME = re.compile(r"[!-*,-~]+", re.ASCII)


class NoteError(ValueError):
    """A note, a key or a checkpoint that is not what the format asks for; one line says what is wrong."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key of 32 `raw` bytes under the name it signs with. The name has no blank and no plus."""

    name: str
    raw: bytes

    @property
    def id(self) -> bytes:
        """The 4 bytes that a signature begins with."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.raw).digest()[:4]

    @property
    def text(self) -> str:
        """One line to give away: `name+id+key`, a C2SP verifier key."""
        return f"{self.name}+{self.id.hex()}+{encode(ED25519 + self.raw)}"

    @property
    def fingerprint(self) -> str:
        """Lower-case hex SHA-256 of the key."""
        return sha256(self.raw).hexdigest()

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Reads `text`'s one line. Raises NoteError."""
        name, _, rest = text.strip().partition("+")
        key_id, _, coded = rest.partition("+")
        raw = decode(coded)
        if not _NAME.fullmatch(name) or len(raw) != 33 or raw[:1] != ED25519:
            raise NoteError("not a public key of the form name+id+key with an Ed25519 key")
        key = cls(name, raw[1:])
        if key.id.hex() != key_id:
            raise NoteError(f"the id of the key {name} does not fit it")
        return key

    def verify(self, signature: bytes, text: str) -> None:
        """Raises NoteError unless the 64 bytes sign the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text.encode())
        except InvalidSignature:
            raise NoteError(f"the signature of {self.name} does not fit what it signs") from None


class SigningKey:
    """An Ed25519 private key under the name it signs with. Never shown, never in a message."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        if not _NAME.fullmatch(name):
            raise NoteError("a key's name is printable ASCII without blank and plus")
        self._key = key
        self.public = PublicKey(name, key.public_key().public_bytes_raw())
        self._id = self.public.id
        self._prefix = f"\n{DASH} {name} "

    @classmethod
    def new(cls, name: str) -> SigningKey:
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, pem: bytes, name: str) -> SigningKey:
        """Reads what `pem` gave. Raises NoteError."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            raise NoteError("not a private key in PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise NoteError("not an Ed25519 key")
        return cls(name, key)

    def pem(self) -> bytes:
        """PKCS8, not encrypted: for a file that only its owner can read."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, text: str) -> str:
        """The whole note. `text` ends with a new line."""
        signature = self._key.sign(text.encode())
        return f"{text}{self._prefix}{encode(self._id + signature)}\n"

    def __repr__(self) -> str:
        return f"SigningKey({self.public.name})"


def sign_note(text: str, key: SigningKey) -> str:
    """The text, an empty line, and the signature's line."""
    return key.sign(text)


def open_note(note: str, keys: Iterable[PublicKey]) -> tuple[str, PublicKey]:
    """The text of a note and the one of `keys` that signed it. Raises NoteError."""
    text, blank, last = note.rpartition("\n\n")
    dash, _, rest = last.partition(" ")
    name, _, coded = rest.partition(" ")
    if not (blank and text and dash == DASH and coded.endswith("\n")):
        raise NoteError("not a note: a text, an empty line, and one line with a signature")
    signature = decode(coded[:-1])
    if len(signature) != 68:
        raise NoteError(f"the signature of {name!a} has {len(signature)} bytes instead of 68")
    for key in keys:
        if key.name == name and key.id == signature[:4]:
            key.verify(signature[4:], text + "\n")
            return text + "\n", key
    raise NoteError(f"signed by {name!a} with a key that nobody vouches for")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's state: its first `size` records have the root `root`; `leaves` are those since the last checkpoint."""

    origin: str
    size: int
    root: bytes
    leaves: tuple[bytes, ...] = ()

    @property
    def head(self) -> str:
        """For people to keep elsewhere: `<size>-<root in hex>`."""
        return f"{self.size}-{self.root.hex()}"

    def text(self) -> str:
        """What is signed."""
        lines = (self.origin, str(self.size), encode(self.root), *(encode(leaf) for leaf in self.leaves))
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Raises NoteError for any other spelling than `text`'s."""
        origin, *rest = text.split("\n")
        if len(rest) < 3 or rest[-1] != "" or not origin:
            raise NoteError("not a checkpoint: origin, size and root, a line each")
        size, root, *leaves = rest[:-1]
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", size, re.ASCII):
            raise NoteError("the checkpoint's size is not a number")
        hashes = [decode(word) for word in (root, *leaves)]
        if any(len(word) != 32 for word in hashes):
            raise NoteError("a hash in the checkpoint has not 32 bytes")
        return cls(origin, int(size), hashes[0], tuple(hashes[1:]))


def split_notes(data: bytes) -> Iterator[tuple[int, str]]:
    """The notes of a file with their byte offsets, each followed by an empty line.

    Raises NoteError at the first one that is cut off or not UTF-8, after all before it were given.
    """
    at = 0
    while at < len(data):
        blank = data.find(b"\n\n", at)
        end = data.find(b"\n\n", blank + 2) if blank >= 0 else -1
        if end < 0:
            raise NoteError(f"the last note, from byte {at} on, is cut off")
        try:
            yield at, data[at : end + 1].decode()
        except UnicodeDecodeError:
            raise NoteError(f"the note at byte {at} is not UTF-8") from None
        at = end + 2


def encode(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def decode(text: str) -> bytes:
    """Standard base64 in its one canonical spelling. Raises NoteError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError("not base64") from None
    if encode(data) != text:
        raise NoteError("base64 that is not canonical")
    return data
