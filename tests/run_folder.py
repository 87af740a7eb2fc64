"""A copy of a run's folder, to change: its records and checkpoints as lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.journal.checkpoints import read_checkpoints
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, SigningKey
from data.model.canonical import canonical_bytes


@dataclass
class RunFolder:
    """What is set is written at once."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def lines(self) -> list[bytes]:
        return self.path("log.jsonl").read_bytes().split(b"\n")[:-1]

    @lines.setter
    def lines(self, lines: Iterable[bytes]) -> None:
        self.path("log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))

    @property
    def notes(self) -> list[str]:
        return [note for _, note in read_checkpoints(self.folder)[0]]

    @notes.setter
    def notes(self, notes: Iterable[str]) -> None:
        self.path("checkpoints").write_text("".join(f"{note}\n" for note in notes), "utf-8", newline="")

    def change(self, place: int, how: Callable[[dict[str, Any]], object]) -> None:
        """Changes the values of one record, in the spelling of the journal."""
        lines = self.lines
        value = json.loads(lines[place])
        how(value)
        lines[place] = canonical_bytes(value)
        self.lines = lines

    def note(self, key: SigningKey, sizes: Sequence[int]) -> None:
        """Writes all checkpoints anew, of these sizes, for the log as it is."""
        lines, tree, notes, start = self.lines, Tree(), [], 0
        for size in sizes:
            leaves = tuple(leaf_hash(line) for line in lines[start:size])
            for leaf in leaves:
                tree.add(leaf)
            notes.append(key.sign(Checkpoint(key.public.name, size, tree.root(), leaves).text()))
            start = size
        self.notes = notes
