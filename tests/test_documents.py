"""What the documents say is so: commands, flags, names and links."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache

import house
import pytest

DOCUMENTS = [path for path in house.files() if path.suffix == ".md" and path.parent.name in (house.ROOT.name, "docs")]
README = (house.ROOT / "README.md").read_text("utf-8")
HEAVY = {
    "autogen",
    "openai",
    "pandas",
    "numpy",
    "talib",
    "scipy",
    "sqlalchemy",
    "exchange_calendars",
    "numba",
    "joblib",
    "pyarrow",
    "ray",
}
MAIN_JOB = "backtesting.core.authentic_backtest"
RUN_AND_LIST_MODULES = """
import runpy, sys
module, sys.argv[1:] = sys.argv[1], sys.argv[2:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    print(*sys.modules, file=sys.stderr)
"""


@cache
def help_of(door: str, *words: str) -> tuple[str, frozenset[str]]:
    """What a command's --help prints, and the top-level modules it loaded for that."""
    command = [sys.executable, "-c", RUN_AND_LIST_MODULES, door, *words, "--help"]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, frozenset(module.split(".")[0] for module in done.stderr.split())


@pytest.mark.parametrize("door", sorted({*house.doors(), MAIN_JOB}))
def test_help_answers_without_loading_what_is_slow(door: str) -> None:
    text, loaded = help_of(door)
    assert "usage:" in text
    assert loaded & HEAVY == set()


def commands() -> list[str]:
    """Every `python -m …` of ours in the documents' code, continued lines joined, comments cut."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text("utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.split("#")[0].strip() for line in lines if re.search(r"-m (scripts|backtesting)\.", line)]
    return found


@pytest.mark.parametrize("command", commands())
def test_documented_commands_exist_with_their_flags(command: str) -> None:
    door, *words = command.split(" -m ", 1)[1].split()
    assert door in house.doors()
    subcommand = words[:1] if words and re.fullmatch(r"[a-z]+", words[0]) else []
    text, _ = help_of(door, *subcommand)
    assert [word for word in words if word.startswith("--") and not re.search(rf"{word}\b", text)] == []


def reference_names() -> list[tuple[str, str]]:
    table = README.split("| name | lives in |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [re.fullmatch(r"\| `?([^|`]+)`? \| `?([^|`]+)`? \|", row) for row in table.splitlines()]
    return [(row[1], row[2]) for row in rows if row]


def defined_names(tree: ast.Module) -> set[str]:
    """Functions, classes, methods as `Class.method`, and what a shim imports to hand on."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def test_the_table_of_names_is_whole() -> None:
    assert len(reference_names()) >= 20


@pytest.mark.parametrize(("name", "place"), reference_names())
def test_each_name_lives_where_the_table_says(name: str, place: str) -> None:
    if place == "later":
        built = [house.name(path) for path in house.modules() if name in defined_names(house.tree(path))]
        assert built == [], "it is built: say where"
        return
    path = house.ROOT / place / ("__init__.py" if place.endswith("/") else "")
    wanted = name.removeprefix(path.stem).lstrip(".")
    assert path.is_file()
    assert not wanted or wanted in defined_names(house.tree(path))


@pytest.mark.parametrize("document", DOCUMENTS, ids=house.name)
def test_links_between_documents_lead_somewhere(document: house.Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_make_words_in_the_documents_exist() -> None:
    makefile = (house.ROOT / "Makefile").read_text("utf-8")
    words = {word for document in DOCUMENTS for word in re.findall(r"[`\n]make (\w+)", document.read_text("utf-8"))}
    assert {"demo", "test"} <= words
    assert [word for word in words if not re.search(rf"^{word}:", makefile, re.MULTILINE)] == []
