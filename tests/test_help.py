"""Every command, and every word of one, shows by an example how it is used."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import house
import pytest

DOORS = sorted({*house.doors(), "backtesting.core.authentic_backtest"})


@cache
def help_of(door: str, *words: str) -> str:
    command = [sys.executable, "-m", door, *words, "--help"]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ways(door: str) -> list[str]:
    """The words that a command takes first, as its usage lists them: `list|gaps|export`."""
    usage = help_of(door).split("\n\n")[0]
    listed = re.search(r"(?<=\s)([a-z-]+(?:\|[a-z-]+)+)(?=\s)", " ".join(usage.split()) + " ")
    return listed[1].split("|") if listed else []


@pytest.mark.parametrize("door", DOORS)
def test_a_command_shows_an_example(door: str) -> None:
    _, _, body = help_of(door).partition("\n\n")
    assert f"python -m {door} " in body, "add a line `example: python -m …` to its epilog"


@pytest.mark.parametrize(("door", "way"), [(door, way) for door in DOORS for way in ways(door)])
def test_each_word_of_a_command_shows_an_example(door: str, way: str) -> None:
    _, _, body = help_of(door, way).partition("\n\n")
    assert f"python -m {door} {way}" in body, "add a line `example: python -m …` to its epilog"
