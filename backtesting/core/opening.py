"""Opens a run's journal, for the first time or to go on: who signs it, what is on record, what is behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from backtesting.audit.story import parse
from backtesting.core.begun import read_begun
from backtesting.core.rehearsal import Diverged, Rehearsal
from backtesting.core.resuming import Before, plan, so_far, write_recovery
from data.journal.certificates import with_certificates
from data.journal.keyring import Keyring, RunKey
from data.journal.opened import PUBLIC_KEY_NAME, OpenLog, create, keep, reopen
from data.journal.project_log import ProjectLog, Trial
from data.journal.reading import first_leaf
from data.journal.run_journal import RunJournal
from data.journal.shelf import Shelf
from data.model.canonical import digest, to_json
from data.model.errors import AgentraderError, JournalBroken, RunIncomplete, UsageError
from data.model.protocols import Clock, Record
from data.model.question import Question

Listener = Callable[[Record], None]


@dataclass(frozen=True)
class Opened:
    """`journal` is the run's log; `rehearsal` is what the run records through."""

    journal: RunJournal
    rehearsal: Rehearsal
    before: Before
    trial: Trial

    def close(self) -> None:
        self.rehearsal.close()
        self.journal.close()


@dataclass(frozen=True)
class Office:
    """What a run needs around its folder: keys and the project's log, both under `root`/data."""

    root: Path
    keys: Path
    clock: Clock

    @property
    def keyring(self) -> Keyring:
        return Keyring(self.keys, self.clock)

    @property
    def project(self) -> ProjectLog:
        return ProjectLog(self.root / "data" / "project", self.keyring, self.clock)

    def first(
        self, folder: Path, run_id: str, question: Question, begin: Callable[[RunJournal], Record], *heard: Listener
    ) -> Opened:
        """A new run: `begin` writes its first record, and the project counts it before anything is asked.

        Raises UsageError where nothing came on record, RunIncomplete where it did, and JournalBroken.
        """
        signer = self.keyring.issue(run_id)
        with self._writing(create(folder, signer.certificates), signer, heard) as journal:
            with _begun_or_not(folder):
                begin(journal)
            with going_on(folder):
                trial = self._enter(journal, run_id, question)
        return Opened(journal, Rehearsal(journal), Before(), trial)

    def again(
        self,
        folder: Path,
        run_id: str,
        question: Question,
        max_failures: int,
        budget: Callable[[Before], Decimal | None],
        heard: Listener,
        *others: Listener,
    ) -> Opened:
        """A run that goes on. `heard` is told of what is met again, too. Raises UsageError and DataError."""
        signer = self.keyring.issue(run_id)
        log = reopen(folder)
        with self._writing(log, signer, (heard, *others)) as journal, closing(Shelf(folder)) as shelf:
            _vouch(folder, signer)
            spent = so_far(shelf)
            write_recovery(journal, log, shelf, plan(shelf, max_failures), self.root, budget(spent))
            entered = [parse(Trial, shelf.read(place).body) for place in shelf.places if place.kind == "project.entry"]
            trial = entered[0] if entered else self._enter(journal, run_id, question)
            return Opened(journal, Rehearsal(journal, Shelf(folder), [heard]), spent, trial)

    @contextmanager
    def _writing(self, log: OpenLog, signer: RunKey, heard: Sequence[Listener]) -> Iterator[RunJournal]:
        """The journal on that log, closed only where the block fails: nobody holds a lock on what did not open."""
        try:
            journal = RunJournal(log, self.clock, signer.key, heard)
        except BaseException:
            os.close(log.descriptor)
            raise
        try:
            yield journal
        except BaseException:
            journal.close()
            raise

    def _enter(self, journal: RunJournal, run_id: str, question: Question) -> Trial:
        trial = self.project.begun(run_id, digest(question), first_leaf(journal.folder).hex())
        body = to_json(trial)
        assert isinstance(body, dict)
        journal.append("project.entry", body)
        journal.sync()
        return trial

    def ended(self, run_id: str, status: str, head: str) -> None:
        """Enters the run's end; a complete run's private key is erased."""
        self.project.ended(run_id, status, head)
        if status == "complete":
            self.keyring.retire(run_id)


@contextmanager
def going_on(folder: Path) -> Iterator[None]:
    """What stops a run that is on record says in its one line how to go on, whatever it was."""
    try:
        yield
    except (AgentraderError, JournalBroken) as error:
        hint = f"--resume {folder}"
        if hint in str(error) or isinstance(error, Diverged):
            raise
        why = f"{error}; once that is mended, go on with {hint}"
        raise (RunIncomplete(why) if isinstance(error, AgentraderError) else JournalBroken(why)) from error


@contextmanager
def _begun_or_not(folder: Path) -> Iterator[None]:
    """A first record that was not written is no run: nobody acted on it, and there is nothing to go on with."""
    try:
        yield
    except JournalBroken as error:
        if read_begun(folder) is not None:
            raise
        why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
        raise UsageError(f"{folder} cannot be written: {why or error}; mend that, and begin anew") from error


def _vouch(folder: Path, signer: RunKey) -> None:
    path = folder / PUBLIC_KEY_NAME
    try:
        held = path.read_bytes() if path.is_file() else b""
        if (vouched := with_certificates(held, signer.certificates)) != held:
            keep(path, vouched)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
