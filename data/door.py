"""What every command shares: the settings around it, errors in one line, and the exit code that goes with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from dotenv import dotenv_values

from data.model.errors import AgentraderError, JournalBroken, UsageError
from data.model.escape import escape_line

ROOT = Path(__file__).resolve().parents[1]
INTERRUPTED = 130


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def settings() -> dict[str, str]:
    """The environment, over `.env`."""
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if value} | dict(os.environ)


def enter(work: Callable[[], int]) -> int:
    """Runs a command's work. What a user can mend is one line on standard error; anything else is a bug and crashes."""
    try:
        return work()
    except (AgentraderError, JournalBroken) as error:
        print(f"error: {escape_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED


def flags(words: Sequence[str]) -> list[str]:
    """Hyphens and underscores are both taken in the names of flags."""
    return [_underscored(word) for word in words]


def run_folder(run: str, runs: Path = ROOT / "data" / "runs") -> Path:
    """The folder of a run, given by its id or as a folder. Raises UsageError."""
    for folder in (Path(run), runs / run):
        if folder.is_dir():
            return folder
    raise UsageError(f"there is no run {run}: neither a folder nor an id in {runs}")


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("-", "_").replace("__", "--", 1) + equals + value if word.startswith("--") else word
