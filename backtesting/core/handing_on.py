"""Hands a complete run on: packed, beside a page that checks it. One path for `--share` and for `scripts.share`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from backtesting.audit.sharing import Handout, share
from backtesting.audit.summary import Summary
from backtesting.core.environment import changed_files
from data.model.canonical import Json


def hand_on(folder: Path, root: Path, target: Path | None = None) -> Handout:
    """Writes into `target`, by default `data/shared/<the folder's name>` below `root`. Raises as `share`."""
    return share(folder, target or root / "data" / "shared" / folder.resolve().name, changed_files)


def hand_on_if_complete(summary: Summary, root: Path, console: Console) -> dict[str, Json] | None:
    """What was written, which it also prints; None for a run that is not complete. Raises as `share`."""
    if summary.status != "complete":
        console.print("not shared      the run is incomplete; give --share again beside --resume", highlight=False)
        return None
    made = hand_on(Path(summary.run_dir), root)
    for line in made.for_people():
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    return made.for_programs()
