"""On what a run was made: Python, packages, platform, revision. Recorded, and never part of a result."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from data.model.canonical import Json

PACKAGES = ("autogen", "openai", "httpx", "pydantic", "sqlalchemy", "ta-lib", "numpy", "rfc8785")


def environment(root: Path) -> dict[str, Json]:
    """Versions by name; a package that is not installed is absent; `revision` is None outside a git checkout."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "revision": _revision(root),
    }


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
