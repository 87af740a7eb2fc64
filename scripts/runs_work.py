"""The work behind `scripts.runs`: reads folders, and says what it found to people or to programs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console

from backtesting.audit.background import behind
from backtesting.audit.cards import UNREADABLE, Card, card, newest_first
from backtesting.audit.standing import COMPLETE
from backtesting.audit.verdict import Proof, prove
from backtesting.core.display import counting
from backtesting.core.environment import changed_files
from data.door import run_folder
from data.journal.examine import Verdict
from data.journal.following import is_held
from data.model.errors import AgentraderError, DataError, RunIncomplete, UsageError
from scripts import runs_decision
from scripts.runs_cards import for_programs, listing, shown
from scripts.runs_compare import compare_runs
from scripts.runs_export import export_run
from scripts.runs_watch import watch_run


def list_runs(options: argparse.Namespace) -> int:
    """The exit code is 1 if a check failed."""
    if options.last is not None and options.last < 1:
        raise UsageError("--last must be 1 or more")
    cards = list(_cards(newest_first(options.runs)[: options.last]))
    proofs = {each.folder: _proof(each) for each in cards} if options.verify else {}
    if options.json:
        say({"runs": [for_programs(each, proofs.get(each.folder)) for each in cards]})
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(listing(cards, proofs, width)) if cards else f"no runs in {options.runs}")
    return int(any(proof is not None and proof.exit_code == 1 for proof in proofs.values()))


def show_run(options: argparse.Namespace) -> int:
    """The exit code is that of scripts.verify, also where only a fast look was taken."""
    folder = run_folder(options.run, options.runs)
    if options.bar is not None:
        return _show_decision(folder, options)
    if options.prompts:
        raise UsageError("--prompts goes with --bar: say which decision's")
    found = card(folder)
    proof = None if options.fast else _proof(found)
    if options.json:
        say(for_programs(found, proof))
    else:
        print("\n".join(shown(found, proof)))
    return _exit_code(found) if proof is None else proof.exit_code


def _exit_code(found: Card) -> int:
    if found.verdict == Verdict.TAMPERED.value:
        return AgentraderError.exit_code
    if found.status == UNREADABLE and found.verdict is None:
        return UsageError.exit_code
    return 0 if found.status == COMPLETE else RunIncomplete.exit_code


def _show_decision(folder: Path, options: argparse.Namespace) -> int:
    found = behind(folder, _when(options.bar))
    if options.json:
        say({"decisions": [runs_decision.for_programs(each) for each in found]})
        return 0
    for each in found:
        print("\n".join(runs_decision.shown(each, prompts=options.prompts)))
    return 0


def _when(text: str) -> datetime | date | int:
    if text.isascii() and text.isdigit() and len(text) < 8:
        return int(text)
    with suppress(ValueError):
        return date.fromisoformat(text)
    try:
        at = datetime.fromisoformat(text.removesuffix(" UTC"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"--bar {text!r} is no instant; write it as 2025-04-03 or 2025-04-03T12:00, or give the decision's number"
        ) from None


def _cards(found: list[Path]) -> Iterable[Card]:
    with counting(Console(stderr=True), "reading runs") as watch:
        for done, folder in enumerate(found):
            watch(done, len(found))
            yield card(folder)


def _proof(found: Card) -> Proof | None:
    """None for a run that somebody is at work on, and for what is no run."""
    if is_held(found.folder):
        return None
    try:
        with counting(Console(stderr=True), "verifying") as watch:
            return prove(found.folder, changed_files=changed_files, watch=watch)
    except DataError:
        return None


def say(found: Mapping[str, object]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(found))


WAYS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": list_runs,
    "show": show_run,
    "watch": watch_run,
    "compare": compare_runs,
    "export": export_run,
}
