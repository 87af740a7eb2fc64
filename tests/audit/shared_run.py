"""A finished run signed by keys of our own, shared, and the tools to change what was shared."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtesting.audit.packing import pack
from backtesting.audit.sharing import Handout, share
from data.door import SystemClock
from data.journal.checkpoints import origin_of, read_checkpoints
from data.journal.keyring import Keyring, RunKey
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint
from data.model.canonical import canonical_bytes

RELEASE = next(path for path in sorted((Path(__file__).parents[1] / "releases" / "0.1.0").iterdir()) if path.is_dir())


@dataclass
class Culprit:
    """A copy of the shared run's folder, to change; `key` is what its owner signs with, `stranger` somebody else's."""

    folder: Path
    key: RunKey
    stranger: RunKey

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def lines(self) -> list[bytes]:
        return self.path("log.jsonl").read_bytes().split(b"\n")[:-1]

    @lines.setter
    def lines(self, lines: Sequence[bytes]) -> None:
        self.path("log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))

    @property
    def notes(self) -> list[str]:
        return [note for _, note in read_checkpoints(self.folder)[0]]

    @notes.setter
    def notes(self, notes: Sequence[str]) -> None:
        self.path("checkpoints").write_text("".join(f"{note}\n" for note in notes), "utf-8", newline="")

    def change(self, place: int, how: Callable[[dict[str, Any]], object]) -> None:
        """Changes the values of one record, in the spelling of the journal."""
        lines = self.lines
        value = json.loads(lines[place])
        how(value)
        lines[place] = canonical_bytes(value)
        self.lines = lines

    def bend(self, name: str, at: int = 100) -> None:
        """Flips a bit of one byte."""
        data = bytearray(self.path(name).read_bytes())
        data[at] ^= 1
        self.path(name).write_bytes(data)

    def sign(self, held: RunKey) -> None:
        """Signs the log as it is, every ten records."""
        self.path("run.pub").write_text(held.certificates, "utf-8", newline="")
        lines, tree, notes, start = self.lines, Tree(), [], 0
        for size in (*range(10, len(lines), 10), len(lines)):
            leaves = tuple(leaf_hash(line) for line in lines[start:size])
            for leaf in leaves:
                tree.add(leaf)
            notes.append(held.key.sign(Checkpoint(origin_of(RELEASE.name), size, tree.root(), leaves).text()))
            start = size
        self.notes = notes

    @property
    def blob(self) -> str:
        """The one blob's name."""
        (found,) = (path for path in self.path("blobs").rglob("*") if path.is_file())
        return found.relative_to(self.folder).as_posix()

    def packed(self, target: Path) -> Path:
        """The folder as it is now, packed as a sender would."""
        target.mkdir(exist_ok=True)
        return target / pack(self.folder, RELEASE.name, target).name


@dataclass(frozen=True)
class Sent:
    """What a reader got: the handout, and the folder that it was made from."""

    handout: Handout
    culprit: Culprit

    @property
    def page(self) -> Path:
        return self.handout.certificate

    @property
    def bundle(self) -> Path:
        return self.page.parent / self.handout.bundle.name

    def copy(self, root: Path) -> Culprit:
        folder = root / RELEASE.name
        shutil.copytree(self.culprit.folder, folder)
        return Culprit(folder, self.culprit.key, self.culprit.stranger)


def send(root: Path) -> Sent:
    """Signs a real run with new keys and shares it."""
    return send_as(root, Keyring(root / "owner", SystemClock()))


def send_as(root: Path, owner: Keyring) -> Sent:
    """The same with the keys of `owner`."""
    folder = root / RELEASE.name
    shutil.copytree(RELEASE, folder)
    stranger = Keyring(root / "stranger", SystemClock())
    culprit = Culprit(folder, owner.issue(RELEASE.name), stranger.issue(RELEASE.name))
    culprit.sign(culprit.key)
    return Sent(share(folder, root / "sent", lambda _: ()), culprit)


def respelled(note: str) -> str:
    """The same signature with other unused bits in the last letter of its base64."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    head, last = note[: note.rindex("=") - 1], note[note.rindex("=") - 1]
    other = f"{head}{alphabet[alphabet.index(last) ^ 1]}=\n"
    one, same = (base64.b64decode(each.rpartition(" ")[2]) for each in (note, other))
    assert one == same
    return other


def rented(root: Path) -> Keyring:
    """A machine's keys, certified at home by a project key that replaced an earlier one."""
    home, machine = Keyring(root / "home", SystemClock()), Keyring(root / "machine", SystemClock())
    home.project()
    home.rotate()
    machine.accept(home.certify_host(machine.own()[0], "rented-1").encode())
    return machine
