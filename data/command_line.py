"""How a command reads its words, and how it speaks on any terminal; of the standard library alone."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

WRONG_USE = 2


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        near = [like for word in message.split() for like in get_close_matches(word, _names(self), 1) if like != word]
        hint = f"; did you mean {near[0]}?" if near and message.startswith("unrecognized") else ""
        self.exit(WRONG_USE, f"error: {message}{hint} ({self.prog} --help shows what there is)\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        spell_out()
        super()._print_message(message, file)


def _names(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Of all flags, those of its words included."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        yield from action.option_strings
        for way in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from _names(way)


def flags(words: Sequence[str]) -> list[str]:
    """Hyphens and underscores are both taken in the names of flags."""
    return [_underscored(word) for word in words]


def spell_out() -> None:
    """What a terminal has no letter for is spelled out, `\\u2026`: no output is worth a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Unread:
    """A stream for lines that nobody has to read: a pipe without reader, a full disk, a lost terminal stop no work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._heedless():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._heedless():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _heedless(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            to_nowhere(self._stream)


def to_nowhere(stream: TextIO) -> None:
    """What a stream still holds in its buffer is dropped, and all that comes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_closed() -> None:
    """In the place of an output closed before the process began: else a file of the run would get its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - it stays open to the end


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("-", "_").replace("__", "--", 1) + equals + value if word.startswith("--") else word
