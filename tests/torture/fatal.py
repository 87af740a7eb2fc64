"""Kills this process, as `kill -9` does, at a chosen one of its steps on the disk: before it, half-way in, or after it.

Or lets the disk fail from there on. A step is a write, an fsync, a truncation or a renaming.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count as counting
from pathlib import Path
from typing import Any

STEPS = ("write", "fsync", "ftruncate", "rename", "replace")

_taken = counting(1)
_tell: Path | None = None


def arm(
    step: int = 0, part: float = 1.0, only: str | None = None, tell: str | None = None, error: int | None = None
) -> None:
    """Dies in the step of that number, of a write after that part of its bytes; a `part` of 1 is after the step.

    With an `error`, an errno, it does not die: from that step on every step fails so. `only` steps of that name are
    counted. With `tell` their number is written there at the end; nothing happens at step 0.
    """
    global _tell  # noqa: PLW0603 - one process, one end
    _tell = Path(tell) if tell else None
    for name in STEPS if only is None else [only]:
        whole = getattr(os, name)
        is_write = name == "write"
        setattr(os, name, _failing(whole, step, error) if error else _deadly(whole, step, part, is_write=is_write))


def count() -> None:
    """Writes down how many steps were taken."""
    if _tell is not None:
        _tell.write_text(str(next(_taken) - 1))


def _deadly(whole: Callable[..., Any], fatal: int, part: float, *, is_write: bool) -> Callable[..., Any]:
    def step(*arguments: Any, **named: Any) -> Any:
        if next(_taken) != fatal:
            return whole(*arguments, **named)
        if is_write:
            descriptor, data = arguments
            whole(descriptor, data[: int(len(data) * part)])
        elif part >= 0.5:
            whole(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")

    return step


def _failing(whole: Callable[..., Any], first: int, error: int) -> Callable[..., Any]:
    def step(*arguments: Any, **named: Any) -> Any:
        if not 0 < first <= next(_taken):
            return whole(*arguments, **named)
        raise OSError(error, os.strerror(error))

    return step
