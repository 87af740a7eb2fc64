"""How a command reads its words, and how it speaks on any terminal; of the standard library alone."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

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


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("-", "_").replace("__", "--", 1) + equals + value if word.startswith("--") else word
