"""The file of checkpoints, read as a stream: each note judged by itself, in order.

A note that does not open is looked at once more, leniently, to tell a change of its spelling from one of its words.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from data.journal.changes import Kind
from data.journal.notes import DASH, Checkpoint, NoteError, PublicKey, open_note

LONGEST_NOTE = 16 * 1024 * 1024
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Note:
    """The bytes of one note, from byte `at` on. A `torn` one is what follows the last whole note."""

    at: int
    data: bytes
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A checkpoint that a known key signed, or what is wrong with the note."""

    note: Note
    checkpoint: Checkpoint | None
    kind: Kind | None = None
    detail: str = ""


def notes_of(file: BinaryIO, length: int) -> Iterator[Note]:
    """The notes in the first `length` bytes, the torn rest last. What is too long for a note counts as torn."""
    held, at = b"", 0
    while True:
        chunk = file.read(min(_CHUNK, length - at - len(held)))
        held += chunk
        start = 0
        while (end := _end(held, start)) >= 0:
            yield Note(at + start, held[start : end + 1])
            start = end + 2
        held, at = held[start:], at + start
        if not chunk or len(held) > LONGEST_NOTE:
            break
    if held:
        yield Note(at, held, torn=True)


@dataclass(frozen=True)
class Judge:
    """Opens notes with a run's keys. With none, because nobody can say which they are, signatures are not looked at."""

    origin: str
    keys: Sequence[PublicKey]

    def judge(self, note: Note) -> Judged:
        """Raises nothing: a note may hold anything."""
        try:
            text = self._open(note.data.decode())
            found = Checkpoint.parse(text)
        except (NoteError, UnicodeDecodeError) as error:
            return Judged(note, None, self._kind(note), str(error))
        if found.origin != self.origin:
            return Judged(note, None, Kind.FOREIGN_CHECKPOINT, f"it is of {found.origin[:200]!a}")
        return Judged(note, found)

    def _open(self, note: str) -> str:
        if self.keys:
            return open_note(note, self.keys)[0]
        return note.rpartition("\n\n")[0] + "\n"

    def _kind(self, note: Note) -> Kind:
        """What was done to a note that does not open."""
        text, name, signature = _leniently(note.data)
        for key in self.keys:
            try:
                key.verify(signature[4:], text)
            except NoteError:
                continue
            same = name == key.name and signature[:4] == key.id
            return Kind.RE_ENCODED_CHECKPOINT if same else Kind.EDITED_CHECKPOINT
        foreign = self.keys and len(signature) == 68 and not any(_alike(signature, key.id) for key in self.keys)
        return Kind.FOREIGN_CHECKPOINT if foreign else Kind.EDITED_CHECKPOINT


def _end(held: bytes, start: int) -> int:
    """Where the note that begins there ends, before its empty line; -1 if it is not whole."""
    blank = held.find(b"\n\n", start)
    return held.find(b"\n\n", blank + 2) if blank >= 0 else -1


def _leniently(data: bytes) -> tuple[str, str, bytes]:
    """The text, the signer's name and the signature, whatever their spelling."""
    whole = data.decode(errors="replace").removeprefix("\ufeff").replace("\r", "")
    lines = [line.strip() for line in whole.split("\n")]
    head = [line for line in lines if line and not line.startswith(DASH)]
    signed = next((line for line in lines if line.startswith(DASH)), "")
    _, name, coded, *_ = [*signed.split(), "", "", ""]
    text = "".join(f"{_respelled(line) if place > 1 else line}\n" for place, line in enumerate(head))
    return text, name, _decoded(coded)


def _alike(signature: bytes, key_id: bytes) -> bool:
    """Whether it was begun by this key, even if a bit of the key's id was changed."""
    return sum(one == other for one, other in zip(signature, key_id, strict=False)) >= 2


def _respelled(coded: str) -> str:
    return base64.b64encode(_decoded(coded)).decode("ascii")


def _decoded(coded: str) -> bytes:
    bare = coded.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    except ValueError:
        return b""
