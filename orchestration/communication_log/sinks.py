"""Who hears: the sinks of all patches of this process, and what each of them was told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Flag, auto

from data.model.protocols import Journal


class Part(Flag):
    """What is patched: AutoGen's agents and chats, or decision sessions."""

    AGENTS = auto()
    SESSIONS = auto()


class Patch:
    """Call it to undo the patch. It knows how many replies its sink was told of, in all and chat by chat.

    `run` narrows it to that run's chats (the first part of their slots); without, it hears every chat of the process.
    """

    def __init__(self, sink: Journal, parts: Part, run: str | None, undo: Callable[[Patch], None]) -> None:
        self.sink, self.parts, self.run = sink, parts, run
        self._undo = undo
        self._heard: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self) -> None:
        self._undo(self)

    @property
    def replies(self) -> int:
        """Replies of agents that the sink was told of."""
        return self._heard.total()

    def heard(self, slot_prefix: str) -> int:
        """How many of them were said in the chat of that slot prefix."""
        return self._heard[f"{slot_prefix}/chat"]

    def count(self, slot: str | None) -> None:
        with self._lock:
            self._heard[chat_of(slot) or ""] += 1


def chat_of(slot: str | None) -> str | None:
    """`<prefix>/chat` of `<prefix>/chat/<agent>/<turn>`."""
    return None if slot is None else slot.rsplit("/", 2)[0]


_lock = threading.RLock()
_patches: tuple[Patch, ...] = ()


def present() -> tuple[Patch, ...]:
    """All patches that are on."""
    return _patches


def enter(patch: Patch) -> None:
    global _patches  # noqa: PLW0603  # class-level patches are the process's own state
    with _lock:
        _patches = (*_patches, patch)


def leave(patch: Patch) -> None:
    global _patches  # noqa: PLW0603
    with _lock:
        _patches = tuple(other for other in _patches if other is not patch)


def tell(
    part: Part,
    kind: str,
    body: Mapping[str, object],
    slot: str | None,
    *,
    caused_by: Sequence[int] = (),
    but: Iterable[Journal] = (),
) -> tuple[Journal, ...]:
    """Appends a record to each sink once; returns those that were told. `but` names sinks that know already.

    `caused_by` are numbers of the run's own journal, so only a patch of that run is given them.
    """
    run = None if slot is None else slot.split("/", 1)[0]
    told: list[Journal] = []
    known = list(but)
    for patch in _patches:
        if part not in patch.parts or patch.run not in (None, run):
            continue
        if not any(sink is patch.sink for sink in known):
            patch.sink.append(kind, body, slot=slot, caused_by=caused_by if patch.run else ())
            told.append(patch.sink)
            known.append(patch.sink)
        if kind == "agent.reply":
            patch.count(slot)
    return tuple(told)
