"""What can be seen with Python alone: which one this is, and whether the locked packages are in it."""

from __future__ import annotations

import platform
import re
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALL = f"{sys.executable} -m pip install --no-deps --require-hashes -r requirements.txt"
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(?: ; (.*?))? \\?$", re.MULTILINE)
_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """One line: `state` is good, note or bad; `mend` is the command that helps, None where nothing is to do."""

    name: str
    state: str
    detail: str
    mend: str | None = None

    def told(self) -> dict[str, str | None]:
        """For programs."""
        return asdict(self)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """3.11 to 3.13, 64 bit, on Linux."""
    shown = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if not (3, 11) <= version < (3, 14):
        return Check("python", "bad", f"{shown}; 3.11, 3.12 or 3.13 is needed", "PYTHON=/path/to/python3.12 make demo")
    if platform.system() != "Linux":
        return Check("python", "note", f"{shown}; the packages are locked for Linux on x86-64 and ARM64")
    return Check("python", "good", shown)


def packages(lock: Path = ROOT / "requirements.txt") -> Check:
    """Whether what the lock names is installed as it says; what another platform needs may be absent."""
    try:
        pins = _PIN.findall(lock.read_text("utf-8"))
    except OSError as error:
        return Check("packages", "bad", f"{lock}: {error.strerror}", "git checkout requirements.txt")
    wanted: dict[str, set[str]] = defaultdict(set)
    optional = set()
    for name, version, marker in pins:
        wanted[name].add(version)
        if "platform" in marker or "implementation" in marker:
            optional.add(name)
    wrong = [line for name in sorted(wanted) if (line := _wrong(name, wanted[name], may_miss=name in optional))]
    if not wrong:
        return Check("packages", "good", f"{len(wanted)} as locked")
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Check("packages", "bad", f"not as locked: {', '.join(wrong[:_SHOWN])}{more}", INSTALL)


def _wrong(name: str, versions: set[str], *, may_miss: bool) -> str | None:
    try:
        held = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None if may_miss else f"{name} is missing"
    return None if held in versions else f"{name} is {held}"
