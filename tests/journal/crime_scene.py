"""A finished real run to change, with what its owner, an attacker and the reader have in their hands."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / "core")]
from main_job import RULES, play
from run_folder import RunFolder
from timestamps import Authority, serving

from backtesting.audit.verdict import Proof, prove
from data.door import SystemClock
from data.journal.checkpoints import origin_of, read_checkpoints
from data.journal.keyring import Keyring, RunKey
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, PublicKey, SigningKey
from data.model.canonical import canonical_bytes

SHORT = (*RULES, "--mini", "--decide_every", "6")
Json = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """Two finished runs of one project with their heads and keys; `stamped` has time stamps of `authority`."""

    plain: Path
    stamped: Path
    heads: dict[Path, str]
    run_keys: dict[Path, SigningKey]
    owner: Keyring
    attacker: Keyring
    authority: Authority

    @property
    def trusted(self) -> tuple[PublicKey, ...]:
        return (self.owner.project(),)

    def victim(self, root: Path, *, stamped: bool = False) -> Victim:
        """A copy of a run to change."""
        one, other = (self.stamped, self.plain) if stamped else (self.plain, self.stamped)
        folder = root / one.name
        shutil.copytree(one, folder)
        return Victim(folder, self, one, other)


def make_scene(root: Path, url: str, monkeypatch: Any) -> Scene:
    """Plays the runs. The run's own key is kept, as an owner could."""
    owner = Keyring(root / "data" / "keys", SystemClock())
    attacker = Keyring(root / "attacker", SystemClock())
    authority = Authority()
    with monkeypatch.context() as patch, serving(authority) as (stamps, _):
        patch.setattr(Keyring, "retire", lambda *_: None)
        plain = play(root, url, *SHORT)
        stamped = play(root, url, *SHORT, "--commission_bps", "11", "--timestamp_url", stamps)
    heads = {played.folder: played.summary["head"] for played in (plain, stamped)}
    keys = {folder: _recalled(owner, folder.name) for folder in heads}
    return Scene(plain.folder, stamped.folder, heads, keys, owner, attacker, authority)


def _recalled(owner: Keyring, run_id: str) -> SigningKey:
    held = owner.recall(run_id)
    assert held is not None
    return held.key


@dataclass
class Victim(RunFolder):
    """A copy of the run `of`, the tools to change it with, and another run to take from."""

    scene: Scene
    of: Path
    other_run: Path

    @property
    def name(self) -> str:
        return self.of.name

    @property
    def head(self) -> str:
        return self.scene.heads[self.of]

    @property
    def run_key(self) -> SigningKey:
        return self.scene.run_keys[self.of]

    @property
    def other(self) -> Victim:
        """The other run as it is."""
        return Victim(self.other_run, self.scene, self.other_run, self.of)

    def pinned(self) -> Proof:
        """What a reader finds who kept key and head elsewhere."""
        return prove(self.folder, trusted=self.scene.trusted, head=self.head)

    def bare(self) -> Proof:
        """What a reader finds who has the folder alone."""
        return prove(self.folder)

    @property
    def points(self) -> list[Checkpoint]:
        return [point for point, _ in read_checkpoints(self.folder)[0]]

    def place(self, kind: str, number: int = 3) -> int:
        """Where the record of that kind stands in the log."""
        ending = f'"kind":"{kind}"}}'.encode()
        return [place for place, line in enumerate(self.lines) if line.endswith(ending)][number]

    def rewrite(self, place: int, how: Callable[[bytes], bytes]) -> None:
        """Changes the bytes of one line."""
        lines = self.lines
        lines[place] = how(lines[place])
        self.lines = lines

    def renumber(self, start: int) -> None:
        """Numbers the records from `start` on by their place, as if none had been added or taken."""
        lines = self.lines
        shift = start - json.loads(lines[start])["audit.seq"]
        for place, line in enumerate(lines[start:], start):
            value = json.loads(line)
            value["audit.seq"] = place
            value["audit.caused_by"] = [
                c + shift if c >= start - max(shift, 0) else c for c in value["audit.caused_by"]
            ]
            lines[place] = canonical_bytes(value)
        self.lines = lines

    def flip(self, name: str, at: float = 0.5, bit: int = 1) -> None:
        """Flips one bit, at this part of the file."""
        data = bytearray(self.path(name).read_bytes())
        data[min(int(len(data) * at), len(data) - 1)] ^= bit
        self.path(name).write_bytes(bytes(data))

    def sign(self, key: SigningKey, sizes: Sequence[int] = ()) -> None:
        """Writes all checkpoints anew for the log as it is, of the sizes that there were."""
        whole = len(self.lines)
        self.note(key, sizes or [*(point.size for point in self.points if point.size < whole), whole])

    def sign_as(self, keyring: Keyring) -> None:
        """The same with a new key that this keyring's owner certifies."""
        issued = issue(keyring, self.name)
        self.path("run.pub").write_text(issued.certificates, "utf-8", newline="")
        self.sign(issued.key)

    def checkpoint(self, size: int, lines: Sequence[bytes], start: int, key: SigningKey | None = None) -> str:
        """A signed note over the first `size` of some lines."""
        tree = Tree()
        for line in lines[:size]:
            tree.add(leaf_hash(line))
        leaves = tuple(leaf_hash(line) for line in lines[start:size])
        return (key or self.run_key).sign(Checkpoint(origin_of(self.name), size, tree.root(), leaves).text())


def issue(keyring: Keyring, run_id: str) -> RunKey:
    """A new key of that run."""
    keyring.retire(run_id)
    return keyring.issue(run_id)
