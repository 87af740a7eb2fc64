"""On what a run was made: Python, packages, platform, revision. Recorded, and never part of a result."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from data.door import ROOT
from data.model.canonical import Json, sha256_hex

CODE = ("agents", "backtesting", "data", "orchestration", "scripts")
PACKAGES = ("autogen", "openai", "httpx", "pydantic", "sqlalchemy", "ta-lib", "numpy", "rfc8785")


def environment(root: Path) -> dict[str, Json]:
    """Versions by name; a package that is not installed is absent; `revision` is None outside a git checkout."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "revision": _revision(root),
        "files": files(),
    }


def files() -> dict[str, Json]:
    """SHA-256 by path of the code, the prompts and the lock that are at work."""
    sources = [path for room in CODE for path in _sources(ROOT / room)]
    return {
        path.relative_to(ROOT).as_posix(): sha256_hex(path.read_bytes())
        for path in sorted([*sources, ROOT / "requirements.txt"])
        if path.is_file()
    }


def changed_files(before: Json) -> tuple[str, ...]:
    """Those that are not as an `environment` of before says, a line each."""
    recorded, now = (before if isinstance(before, dict) else {}), files()
    names = sorted(name for name in {*recorded, *now} if recorded.get(name) != now.get(name))
    what = {True: "changed", False: "gone"}
    return tuple(f"{name} ({what[name in now] if name in recorded else 'new'})" for name in names)


def _sources(room: Path) -> Iterator[Path]:
    """Packages only: beside them lie runs, keys and databases."""
    yield from room.glob("*.py")
    yield from room.glob("prompts/*.md")
    for inner in room.iterdir():
        if (inner / "__init__.py").is_file():
            yield from _sources(inner)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _revision(root: Path) -> str | None:
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None
