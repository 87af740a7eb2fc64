"""The house's rules that a linter does not know: sizes, names, clocks, and what code may never do."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import house
import pytest

MAX_FILE, MAX_FUNCTION = 300, 60
MAY_READ_THE_CLOCK = (
    "scripts/",
    "data/door.py",  # what the commands share
    "backtesting/core/authentic_backtest.py",
    "orchestration/compose.py",
    "orchestration/communication_log/log_file.py",  # stamps the lines of a process that is not ours to pass a clock to
)
MAY_PRINT = ("scripts/", "data/door.py", "backtesting/core/authentic_backtest.py")
AMBIENT = re.compile(
    r"datetime\.datetime\.(now|utcnow|today)|datetime\.date\.today|time\.(time|time_ns|monotonic|perf_counter|sleep)\w*"
    r"|uuid\.uuid[14]|os\.urandom|(random|secrets|numpy\.random)\.\w+"
)
SEEDABLE = {"random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.SeedSequence"}
RANDOM_TYPES = {"numpy.random.Generator", "numpy.random.BitGenerator"}
EXECUTES = re.compile(
    r"(builtins\.)?(eval|exec|compile|__import__)|(pickle|cPickle|dill|cloudpickle|marshal|shelve)(\.\w+)*"
    r"|joblib\.(load|dump|Memory|memory|numpy_pickle)(\.\w+)*"
)
BAD_NAMES = re.compile(r"(^|[_./-])(utils?|helpers?|enhanced|v\d+)([_./-]|$)")


def imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `dt` -> `datetime.datetime`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole = [(alias.asname or alias.name.split(".")[0], alias) for alias in node.names]
            names |= {name: alias.name if alias.asname else name for name, alias in whole}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """`dt.now` -> `datetime.datetime.now`; empty for what is no plain dotted name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def uses(source: str, forbidden: re.Pattern[str]) -> list[tuple[int, str]]:
    """Where a module names something forbidden: called, handed on or kept as a default, it is the same."""
    tree = ast.parse(source)
    names = imported_names(tree)
    unseeded = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and not (node.args or node.keywords)}
    fine = {node for node in ast.walk(tree) if dotted(node, names) in SEEDABLE and node not in unseeded}
    found = [
        (node.lineno, dotted(node, names))
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and node not in fine
    ]
    return [(line, name) for line, name in found if forbidden.fullmatch(name) and name not in RANDOM_TYPES]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_file_is_too_long() -> None:
    sizes = {house.name(path): len(path.read_text("utf-8").splitlines()) for path in house.modules()}
    assert len(sizes) > 20
    assert {name: size for name, size in sizes.items() if size > MAX_FILE} == {}


def test_no_function_is_too_long() -> None:
    sizes = {
        f"{house.name(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in house.modules()
        for node in functions(house.tree(path))
    }
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION} == {}


def test_every_room_says_its_sentence() -> None:
    rooms = {path.parent for path in house.modules() if path.parent != house.ROOT}
    silent = []
    for room in sorted(rooms):
        init = room / "__init__.py"
        sentence = (ast.get_docstring(house.tree(init)) or "") if init.exists() else ""
        if not re.fullmatch(r"[A-Z][^\n]+\.", sentence):
            silent.append(house.name(room))
    assert silent == []


def test_every_module_says_what_it_is() -> None:
    assert [house.name(path) for path in house.modules() if not ast.get_docstring(house.tree(path))] == []


def test_names_of_files_say_something() -> None:
    assert [house.name(path) for path in house.files() if BAD_NAMES.search(house.name(path))] == []


def offenders(forbidden: re.Pattern[str], allowed: tuple[str, ...] = ()) -> list[str]:
    checked = [path for path in house.modules() if not (allowed and house.name(path).startswith(allowed))]
    return [
        f"{house.name(path)}:{line} {name}"
        for path in checked
        for line, name in uses(path.read_text("utf-8"), forbidden)
    ]


def test_clock_and_randomness_are_passed_in() -> None:
    assert offenders(AMBIENT, MAY_READ_THE_CLOCK) == []


def test_nothing_is_executed_or_unpickled() -> None:
    assert offenders(EXECUTES) == []


def test_only_doors_print() -> None:
    assert offenders(re.compile(r"print|sys\.(stdout|stderr)\.write"), MAY_PRINT) == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("from datetime import datetime as dt\ndt.now()", "datetime.datetime.now"),
        ("import datetime\ndatetime.date.today()", "datetime.date.today"),
        ("import time\ndef wait(sleep=time.sleep): ...", "time.sleep"),
        ("from time import monotonic\nmonotonic()", "time.monotonic"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("import random\nrandom.shuffle([])", "random.shuffle"),
        ("import numpy as np\nnp.random.default_rng()", "numpy.random.default_rng"),
        ("from datetime import datetime\ndatetime.fromisoformat('2025-04-01')", None),
        ("import random\nrandom.Random(7)", None),
        ("import random\nrandom.Random()", "random.Random"),
        ("import numpy as np\ndef draw(seed: int, rng: np.random.Generator): np.random.default_rng(seed)", None),
        ("def now(clock): return clock.time()", None),
    ],
)
def test_the_clock_rule_sees(source: str, seen: str | None) -> None:
    assert [name for _, name in uses(source, AMBIENT)] == ([seen] if seen else [])


@pytest.mark.parametrize(
    "source", ["eval('1')", "import pickle\npickle.loads(b'')", "from joblib import load\nload('x')"]
)
def test_the_execution_rule_sees(source: str) -> None:
    assert uses(source, EXECUTES)


MACHINE_PATHS = re.compile(r"/(root|home|work|Users)/\w|C:\\Users")
TEXT = {".py", ".md", ".toml", ".txt", ".in", ".ini", ".json", ".html", ".css", ".js", ".j2", ".mako", ""}


def test_no_file_names_a_machine() -> None:
    found = [
        f"{house.name(path)}: {match.group()}"
        for path in house.files()
        if path.suffix in TEXT
        for match in MACHINE_PATHS.finditer(path.read_text("utf-8", errors="replace"))
    ]
    assert found == []


LOCKS = [path for path in house.files() if re.fullmatch(r"requirements.*\.txt", path.name)]


@pytest.mark.parametrize("lock", LOCKS, ids=house.name)
def test_locks_pin_by_hash_and_name_no_server(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text("utf-8"))
    packages = [entry for entry in entries if not entry.startswith("#")]
    assert packages
    assert [pin.split()[0] for pin in packages if not re.match(r"\S+==\S+", pin) or "--hash=sha256:" not in pin] == []
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url \S+|--find-links \S+", lock.read_text("utf-8")) == []


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^\S+==\S+", (house.ROOT / lock).read_text("utf-8"), re.MULTILINE))


def test_locks_agree_with_each_other() -> None:
    """So that installing one over another changes nothing."""
    assert pins("requirements.txt") - pins("requirements-dev.txt") == set()
    assert pins("requirements-feeds.txt") - pins("requirements-dev.txt") == set()
    assert pins("requirements-distributed.txt") - pins("requirements-dev.txt") == set()


def test_npm_lock_names_no_server() -> None:
    locks = [path for path in house.files() if path.name == "package-lock.json"]
    assert [house.name(path) for path in locks if '"resolved"' in path.read_text("utf-8")] == []


def listed(*files: str) -> set[str]:
    """The packages a requirements file names, with those of the files it takes in."""
    names: set[str] = set()
    for file in files:
        for line in (house.ROOT / file).read_text("utf-8").splitlines():
            if line.startswith("-r "):
                names |= listed(line.removeprefix("-r ").strip())
            elif match := re.match(r"[A-Za-z][\w.-]*", line):
                names.add(normal(match.group()))
    return names


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def imported_packages(paths: Iterable[Path]) -> dict[str, str]:
    """Every package outside the standard library that these modules import, and one module that does."""
    providers = packages_distributions()
    found: dict[str, str] = {}
    for path in paths:
        for node in ast.walk(house.tree(path)):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                tops = {(node.module or "").split(".")[0]}
            else:
                continue
            for top in tops - set(sys.stdlib_module_names):
                found |= {normal(package): house.name(path) for package in providers.get(top, [])[:1]}
    return found


def test_what_is_imported_is_required_by_name() -> None:
    """A package that only another one brings goes away with it."""
    product = imported_packages(house.modules())
    tests = imported_packages(house.modules("tests"))
    required = listed("requirements.in", "requirements-feeds.in", "requirements-distributed.in")
    assert {name: where for name, where in product.items() if name not in required} == {}
    assert {name: where for name, where in tests.items() if name not in listed("requirements-dev.in")} == {}
