"""Each example of docs/EXTENDING.md is made in a copy of the house: its test passes, and fails without its lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import house
import pytest

TEXT = (house.ROOT / "docs" / "EXTENDING.md").read_text("utf-8")
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^`([\w./]+)`:\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """Files to write, lines to change and the test, by their paths."""

    name: str
    files: dict[str, str]
    changes: dict[str, str]
    test: str


def example(name: str, body: str) -> Example:
    blocks = BLOCK.findall(body)
    files = {path: text for path, language, text in blocks if language != "diff"}
    (test,) = (path for path in files if path.startswith("tests/"))
    return Example(name, files, {path: text for path, language, text in blocks if language == "diff"}, test)


EXAMPLES = [example(name, body) for name, body in SECTION.findall(TEXT)]


def changed(source: str, diff: str) -> str:
    """The source after a diff whose hunks, divided by `@@`, each fit at exactly one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] != "+")
        after = "\n".join(line[1:] for line in lines if line[0] != "-")
        assert source.count(before) == 1, f"fits {source.count(before)} times:\n{before}"
        source = source.replace(before, after)
    return source


def made(example: Example, folder: Path, *, whole: bool) -> None:
    """The house in a folder, with the example's files, and with its changed lines if it is to be whole."""
    for path in house.files():
        if house.name(path).startswith((*(f"{room}/" for room in house.ROOMS), "requirements", "pyproject")):
            target = folder / house.name(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    for name, text in example.files.items():
        assert not (folder / name).exists(), f"{name} is there already"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    for name, diff in example.changes.items() if whole else ():
        (folder / name).write_text(changed((folder / name).read_text("utf-8"), diff), "utf-8")


def run_test_of(example: Example, folder: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", example.test]
    environ = {**os.environ, "DATABASE_URL": database_url, "AGENTRADER_KEYS": str(folder / "keys")}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=200, check=False)


def test_there_are_the_six() -> None:
    assert [each.name for each in EXAMPLES] == [
        "An agent",
        "A data source",
        "A consensus rule",
        "A model provider",
        "A cost model",
        "A metric",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_an_example_works_as_it_stands(example: Example, tmp_path: Path, database_url: str) -> None:
    made(example, tmp_path, whole=True)
    done = run_test_of(example, tmp_path, database_url)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_its_test_sees_the_lines_that_are_missing(example: Example, tmp_path: Path, database_url: str) -> None:
    made(example, tmp_path, whole=False)
    assert run_test_of(example, tmp_path, database_url).returncode in (1, 2)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_its_code_is_laid_out_as_the_house_is(example: Example, tmp_path: Path) -> None:
    made(example, tmp_path, whole=True)
    files = [name for name in example.files if name.endswith(".py")]
    for words in (["format", *example.changes], ["format", "--check", *files], ["check", *files, *example.changes]):
        command = [sys.executable, "-m", "ruff", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
