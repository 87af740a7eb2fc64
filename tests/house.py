"""Where the project's own files are, for the tests that read them as text or as syntax trees."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("agents", "backtesting", "data", "orchestration", "scripts")
LEFT_BEHIND = {"data/logs", "data/runs", "data/postgres", "data/keys", "data/project", "data/sweeps", "data/shared"}
NOT_OURS = {"__pycache__", "node_modules"}


def name(path: Path) -> str:
    """The path as the project's documents write it."""
    return path.relative_to(ROOT).as_posix()


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = [each for each in folders if each not in NOT_OURS and name(here / each) not in LEFT_BEHIND]
        yield from (here / each for each in files)


@cache
def files() -> tuple[Path, ...]:
    """Every file that belongs to the project, whether or not git is there to ask."""
    top = [each for each in ROOT.iterdir() if each.is_file() and each.name not in (".env", ".coverage")]
    return tuple(sorted(top + [file for room in (*ROOMS, "tests", "docs", ".ci") for file in _walk(ROOT / room)]))


def modules(*rooms: str) -> tuple[Path, ...]:
    """The Python files of some rooms and, with none named, of the whole product (tests apart)."""
    inside = rooms or (*ROOMS, "agent_log_patch.py")
    return tuple(each for each in files() if each.suffix == ".py" and name(each).startswith(tuple(inside)))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def doors() -> tuple[str, ...]:
    """The modules that are run as commands, as `python -m` takes them."""
    runnable = [each for each in modules() if 'if __name__ == "__main__"' in each.read_text("utf-8")]
    return tuple(name(each).removesuffix(".py").replace("/", ".") for each in runnable)
