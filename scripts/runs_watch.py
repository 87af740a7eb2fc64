"""The work behind `scripts.runs watch`: the live display of a run that another process plays, until it is over."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from backtesting.audit.cards import CUT_OFF, card, newest
from backtesting.audit.standing import COMPLETE, Lookout, Standing
from backtesting.core.display import watching
from data.door import INTERRUPTED, run_folder
from data.journal.following import is_held
from data.model.errors import UsageError
from data.model.escape import escape_line
from data.model.instants import show
from scripts.runs_cards import for_programs, shown

EVERY_S = 0.5
INCOMPLETE = 3


def watch_run(options: argparse.Namespace) -> int:
    """The exit code is 0 for a run that ended complete, 3 for one that stopped or was cut off."""
    watch = Watch(Console(stderr=True, highlight=False), time.monotonic, time.sleep)
    folder = watch.find(options.run, options.runs, options.wait)
    try:
        last = watch.until_over(folder)
    except KeyboardInterrupt:
        watch.say(f"no longer watched; the run goes on. Again: python -m scripts.runs watch {folder}")
        return INTERRUPTED
    found = card(folder)
    if options.json:
        print(json.dumps(for_programs(found, None)))
    for line in shown(found, None):
        watch.say(line)
    watch.say(_last_line(folder, last))
    return 0 if last.is_over and last.status == COMPLETE else INCOMPLETE


@dataclass(frozen=True)
class Watch:
    """Who looks, and how time passes."""

    console: Console
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]

    def say(self, line: str) -> None:
        self.console.print(escape_line(line), markup=False, soft_wrap=True)

    def find(self, run: str | None, runs: Path, wait_s: float) -> Path:
        """The run's folder, the newest without a name; waits for a run that is only being begun. Raises UsageError."""
        until = self.monotonic() + wait_s
        while True:
            try:
                return _begun(_newest(runs) if run is None else run_folder(run, runs))
            except UsageError:
                if self.monotonic() >= until:
                    raise
                self.sleep(EVERY_S)

    def until_over(self, folder: Path) -> Standing:
        """Follows the run; the value is where it stands when it is over, or when nobody is at work on it any more."""
        lookout = Lookout(folder)
        now = _look(lookout, folder)
        self.say(_first_line(folder, now))
        with watching(self.console, now) as update:
            while not now.is_over and is_held(folder):
                self.sleep(EVERY_S)
                now = _look(lookout, folder)
                update(now)
            return _look(lookout, folder)  # it may have ended between a look and the one at its lock


def _look(lookout: Lookout, folder: Path) -> Standing:
    found = lookout.look()
    if found is None:
        raise UsageError(f"{folder} holds no record any more")
    return found


def _begun(folder: Path) -> Path:
    if Lookout(folder).look() is None:
        raise UsageError(f"{folder} holds no record yet; give it a moment with --wait 60")
    return folder


def _newest(runs: Path) -> Path:
    found = newest(runs)
    if found is None:
        raise UsageError(f"there is no run in {runs} yet; name one, or wait for it with --wait 60")
    return found


def _first_line(folder: Path, now: Standing) -> str:
    at = "" if now.last is None else f", at {show(now.last.opened)}"
    state = "over" if now.is_over else "going on" if is_held(folder) else CUT_OFF
    return f"run {now.run_id}, {state}: {now.decisions} of {now.of_decisions} decisions{at}; model: {now.model}"


def _last_line(folder: Path, last: Standing) -> str:
    if last.is_over and last.status == COMPLETE:
        return f"run {last.run_id} is over: complete; check with: python -m scripts.verify {folder}"
    how = "is cut off: nobody is at work on it" if last.status is None else "stopped before its end"
    return f"run {last.run_id} {how}; go on with: python -m backtesting.core.authentic_backtest --resume {folder}"
