"""A log that somebody wrote numbers without end into: its record is named, and nothing is made of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from run_folder import RunFolder
from shared_run import RELEASE

from backtesting.audit.renderings import render
from data.model.errors import DataError

ENDLESS = "1e999999999"
Spot = tuple[int, Callable[[dict[str, Any]], None]]


def spots() -> Iterator[tuple[str, Spot]]:
    """Every place that holds a number, the first time its kind of record has one there."""
    seen = set()
    for place, line in enumerate(RunFolder(RELEASE).lines):
        record = json.loads(line)
        for path in numbers(record["body"]):
            name = f"{record['kind']}:{'.'.join(map(str, path))}"
            if name not in seen:
                seen.add(name)
                yield name, (place, partial(put, path=path))


def numbers(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value[:2]):
            yield from numbers(item, (*path, place))
    elif isinstance(value, float) or (isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value)):
        yield path


def put(record: dict[str, Any], path: tuple[str | int, ...]) -> None:
    inner = record["body"]
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = ENDLESS


SPOTS = dict(spots())


@pytest.mark.parametrize("name", SPOTS)
def test_a_number_without_end_crashes_nothing(name: str, tmp_path: Path) -> None:
    shutil.copytree(RELEASE, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    place, change = SPOTS[name]
    folder.change(place, change)
    try:
        largest = max(len(data) for data in render(folder.folder).files.values())
    except DataError as error:
        told, largest = str(error), 0
    else:
        told = ""
    assert not told or re.search(r"record \d+ \([\w.]+\) does not read: ", told)
    assert largest < 10_000_000
