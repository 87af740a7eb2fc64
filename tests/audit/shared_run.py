"""A finished run signed by keys of our own, shared, and the tools to change what was shared."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path

from run_folder import RunFolder

from backtesting.audit.packing import pack
from backtesting.audit.sharing import Handout, share
from backtesting.core.environment import changed_files
from data.door import SystemClock
from data.journal.keyring import Keyring, RunKey

RELEASE = next(path for path in sorted((Path(__file__).parents[1] / "releases" / "0.1.0").iterdir()) if path.is_dir())


@dataclass
class Culprit(RunFolder):
    """A copy of the shared run's folder, to change; `key` is what its owner signs with, `stranger` somebody else's."""

    key: RunKey
    stranger: RunKey

    def bend(self, name: str, at: int = 100) -> None:
        """Flips a bit of one byte."""
        data = bytearray(self.path(name).read_bytes())
        data[at] ^= 1
        self.path(name).write_bytes(data)

    def sign(self, held: RunKey) -> None:
        """Signs the log as it is, every ten records."""
        self.path("run.pub").write_text(held.certificates, "utf-8", newline="")
        size = len(self.lines)
        self.note(held.key, (*range(10, size, 10), size))

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
    return Sent(share(folder, root / "sent", changed_files), culprit)


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
