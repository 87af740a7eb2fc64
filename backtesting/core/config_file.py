"""Flags out of a TOML file: what the user says on the command line, or in the environment, counts before it."""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from data.model.errors import UsageError

IN_ENVIRONMENT = {
    "model": "AGENTRADER_MODEL",
    "database": "DATABASE_URL",
    "timestamp_url": "AGENTRADER_TIMESTAMP_URL",
    "notify": "AGENTRADER_NOTIFY",
}
"""Flags that the environment may say, too."""
_NOT_IN_A_FILE = frozenset({"help", "config"})
_KINDS = {bool: "true or false", list: "a list", dict: "a table"}
_BY_NAME = frozenset({"agent_model", "price"})
"""What the command line says of one name leaves the file's word about another one."""


def flag_actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Every flag that a file may hold, by its name without hyphens."""
    actions = {action.dest: action for action in parser._actions}  # noqa: SLF001 - argparse has no other way to list them
    return {name: action for name, action in actions.items() if name not in _NOT_IN_A_FILE}


def with_config(parser: argparse.ArgumentParser, words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """The words of the command line behind those of its `--config`. Raises UsageError naming file and line or flag."""
    path = parser.parse_args(words).config
    if path is None:
        return list(words)
    said = {name for name, variable in IN_ENVIRONMENT.items() if environ.get(variable)} | _said(parser, words)
    found: list[str] = []
    for name, value in _read(path).items():
        if (flag := _flag(path, parser, name)) not in said:
            found += _words(path, flag_actions(parser)[flag], value)
    return [*found, *words]


def _said(parser: argparse.ArgumentParser, words: Sequence[str]) -> set[str]:
    nothing = argparse.Namespace(**dict.fromkeys(flag_actions(parser)))
    return {name for name, value in vars(parser.parse_args(words, nothing)).items() if value is not None} - _BY_NAME


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"), parse_float=str)
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from None


def _flag(path: Path, parser: argparse.ArgumentParser, name: str) -> str:
    known, flag = flag_actions(parser), name.replace("-", "_")
    if flag in known:
        return flag
    near = get_close_matches(flag, known, 1)
    hint = f"; did you mean {near[0]}?" if near else "; config.example.toml names every one"
    raise UsageError(f"{path}: there is no flag --{name}{hint}")


def _words(path: Path, action: argparse.Action, value: Any) -> list[str]:
    flag = f"--{action.dest}"
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {action.dest} is true or false")
        return [flag] if value else []
    if action.nargs == "+":
        items = list(_items(path, action.dest, value))
        return [flag, *items] if items else []
    text = _text(path, action.dest, value)
    if action.type is Path:
        text = os.path.expanduser(text)  # noqa: PTH111 - in a file no shell does it, and who is unknown stays as written
    return [f"{flag}={text}"]


def _items(path: Path, name: str, value: Any) -> Iterator[str]:
    """A list, one text, or a table of `name = value`, whose value may be a list itself."""
    if isinstance(value, dict):
        for key, held in value.items():
            inner = held if isinstance(held, list) else [held]
            yield f"{key}={','.join(_text(path, name, each) for each in inner)}"
        return
    for each in value if isinstance(value, list) else [value]:
        yield _text(path, name, each)


def _text(path: Path, name: str, value: Any) -> str:
    """The message does not repeat the value: it may be an address with a password."""
    if isinstance(value, bool) or not isinstance(value, str | int | date):
        what = _KINDS.get(type(value), "of that kind")
        raise UsageError(f"{path}: {name} cannot be {what}; config.example.toml shows how it is written")
    return value.isoformat() if isinstance(value, date) else str(value)
