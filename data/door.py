"""What every command shares: the settings around it, errors in one line, and the exit code that goes with them."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO, cast

from dotenv import dotenv_values

from data.command_line import Unread, open_closed, spell_out, to_nowhere
from data.model.errors import AgentraderError, JournalBroken, UsageError
from data.model.escape import escape_line

ROOT = Path(__file__).resolve().parents[1]
INTERRUPTED, UNREAD = 130, 141
"""As a shell says it of what SIGINT or SIGPIPE ended."""


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def settings() -> dict[str, str]:
    """The environment, over `.env`. Raises UsageError, without a word of the file, for one that does not read."""
    try:
        held = dotenv_values(ROOT / ".env")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UsageError(f"{ROOT / '.env'} cannot be read: {why}") from None
    return {name: value for name, value in held.items() if value} | dict(os.environ)


def enter(work: Callable[[], int]) -> int:
    """Runs a command's work. What a user can mend is one line on standard error; anything else is a bug and crashes.

    `| head` is no trouble at all: who reads may leave. Whether anybody reads standard error changes nothing.
    """
    open_closed()
    spell_out()
    with redirect_stderr(cast("TextIO", Unread(sys.stderr))):
        return _entered(work)


def _entered(work: Callable[[], int]) -> int:
    try:
        return _said(work())
    except BrokenPipeError:
        if not _reader_is_gone(sys.stdout):
            raise
        to_nowhere(sys.stdout)
        return UNREAD
    except OSError as error:
        mendable = _mendable(error)
        if mendable is None:
            raise
        try:
            sys.stdout.flush()
        except OSError:
            to_nowhere(sys.stdout)
        print(f"error: {escape_line(str(mendable))}", file=sys.stderr)
        return mendable.exit_code
    except (AgentraderError, JournalBroken) as error:
        print(f"error: {escape_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED


def _mendable(error: OSError) -> UsageError | None:
    """What the system refused and a user can mend; None for all that is a bug here."""
    what = error.filename or "what this writes"
    if error.errno == errno.ENOSPC:
        return UsageError(f"no space is left for {what}; make room, then say it again")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"a name is too long for a file: it begins with {str(what)[:40]}")
    return None


def asker() -> Callable[[str], bool] | None:
    """How to put a question to the user; None where nobody sits at a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> bool:
        print(question, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask


def run_folder(run: str, runs: Path = ROOT / "data" / "runs") -> Path:
    """The folder of a run, given by its id or as a folder. Raises UsageError."""
    for folder in (Path(run), runs / run):
        if folder.is_dir():
            return folder
    hint = _perhaps(run, runs)
    raise UsageError(f"there is no run {run}: neither a folder nor an id in {runs}; {hint}")


def _perhaps(run: str, runs: Path) -> str:
    """The run whose id has these letters in it, the newest of several; else the one that is spelled most alike."""
    if Path(run).is_file():
        return "it is a file: name the folder that it is in"
    ids = sorted((each.name for each in runs.iterdir() if each.is_dir()), reverse=True) if runs.is_dir() else []
    near = [each for each in ids if run in each] or get_close_matches(run, ids, 1)
    if not near:
        return "python -m scripts.runs list shows what there is"
    more = f" ({len(near) - 1:,} more have it in their id)" if len(near) > 1 else ""
    return f"perhaps {near[0]}{more}"


def _said(code: int) -> int:
    """The exit code, once all that was printed has left."""
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _reader_is_gone(out: TextIO) -> bool:
    """Whether a pipe has nobody at its other end."""
    asked = select.poll()
    asked.register(out.fileno(), 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))
