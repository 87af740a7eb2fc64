"""One card a run: what a list of runs says of each, from the folder alone.

A fast look at a folder sees that something was changed, not what. What a run says of itself is believed that far.
Text on a card comes out of the folder: untrusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from backtesting.accounting.significance import Range
from backtesting.audit.standing import Lookout, Standing
from backtesting.audit.story import parse
from backtesting.audit.summary import Summary
from data.journal.examine import Examination, Verdict, examine
from data.journal.following import is_held
from data.journal.reading import LOG_NAME, read_first
from data.model.canonical import Json
from data.model.errors import DataError
from data.model.instants import show
from data.model.question import Question

RUNNING, CUT_OFF, UNREADABLE = "running", "cut off", "unreadable"


@dataclass(frozen=True, slots=True)
class Card:
    """`status` is complete, incomplete (stopped, and on record), running, cut off (no end, nobody at work), unreadable.

    `numbers`, `interval` and `digest` are those of a run that ended, `standing` that of one that did not. `why` says
    what stopped it, what was changed, or why it cannot be read. `verdict` is that of a fast look.
    """

    folder: Path
    run_id: str
    status: str
    verdict: str | None = None
    why: str | None = None
    begun_at: datetime | None = None
    question: Question | None = None
    model: str = ""
    standing: Standing | None = None
    numbers: Summary | None = None
    interval: Range | None = None
    digest: str | None = None
    head: str | None = None

    @property
    def total_return(self) -> float | None:
        """At the end; of a run without one, until now."""
        if self.numbers is not None:
            return self.numbers.total_return
        return None if self.standing is None else self.standing.total_return

    @property
    def cost_usd(self) -> Decimal | None:
        if self.numbers is not None:
            return self.numbers.cost_usd
        return None if self.standing is None else self.standing.cost_usd

    @property
    def window(self) -> str:
        """`BTCUSDT 1h 2025-04-01 to 2025-04-10`."""
        asked = self.question
        if asked is None:
            return ""
        return f"{', '.join(asked.symbols)} {asked.interval} {asked.start_on} to {asked.end_on}"

    @property
    def progress(self) -> str:
        """`48 of 240 decisions, at 2025-04-02 23:00 UTC`, of a run that is not over."""
        if self.standing is None:
            return ""
        at = "" if self.standing.last is None else f", at {show(self.standing.last.opened)}"
        return f"{self.done} decisions{at}"

    @property
    def done(self) -> str:
        """`48 of 240`."""
        return "" if self.standing is None else f"{self.standing.decisions:,} of {self.standing.of_decisions:,}"


def folders(runs: Path) -> Iterator[Path]:
    """The folders that hold a log, by name; a link to elsewhere is not followed."""
    if not runs.is_dir():
        return
    for folder in sorted(runs.iterdir()):
        if folder.is_dir() and not folder.is_symlink() and (folder / LOG_NAME).is_file():
            yield folder


def newest_first(runs: Path) -> list[Path]:
    """The same by when they were begun; what does not say when comes last."""
    begun = [(_begun_at(folder), folder) for folder in folders(runs)]
    return [folder for _, folder in sorted(begun, key=lambda each: (each[0] is not None, *each), reverse=True)]


def newest(runs: Path) -> Path | None:
    """The folder whose run began last; None if there is none."""
    return next((folder for folder in newest_first(runs) if _begun_at(folder) is not None), None)


def card(folder: Path) -> Card:
    """Never raises for what lies in the folder: what cannot be read is said on the card."""
    held = is_held(folder)
    try:
        found = examine(folder, fast=True)
        return _card(folder, found, held=held)
    except DataError as error:
        return Card(folder, folder.name, UNREADABLE, why=str(error))
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        return Card(folder, folder.name, UNREADABLE, why=f"its log does not read as a run's ({type(error).__name__})")


def _card(folder: Path, found: Examination, *, held: bool) -> Card:
    end = found.facts.end
    standing = Lookout(folder).look() if end is None or held else None
    begin = found.facts.begin
    if begin is None and standing is None:
        return Card(folder, folder.name, RUNNING if held else UNREADABLE, why="no record is in its log yet")
    if standing is not None and not standing.is_over:
        going, question, model = RUNNING if held else CUT_OFF, standing.question, standing.model
        verdict = None if held else found.verdict.value
        return Card(folder, standing.run_id, going, verdict, None, _begun_at(folder), question, model, standing)
    if begin is None or end is None:
        return Card(folder, folder.name, UNREADABLE, found.verdict.value, why="its end is under no checkpoint")
    drawn = end["significance"]
    return Card(
        folder=folder,
        run_id=str(begin["run_id"]),
        status=str(end["status"]),
        verdict=found.verdict.value,
        why=_why(end, found),
        begun_at=_begun_at(folder),
        question=parse(Question, begin["question"]),
        model=str(begin["model_note"]).removeprefix("model: "),
        numbers=parse(Summary, end["summary"]),
        interval=parse(Range, drawn["total_return"]) if isinstance(drawn, dict) else None,
        digest=None if end["result_digest"] is None else str(end["result_digest"]),
        head=found.head,
    )


def _why(end: Mapping[str, Json], found: Examination) -> str | None:
    if found.verdict is Verdict.TAMPERED:
        return found.faults[0].detail
    return None if end["reason"] is None else str(end["reason"])


def _begun_at(folder: Path) -> datetime | None:
    try:
        first = read_first(folder)
    except DataError:
        return None
    return None if first is None else first.at
