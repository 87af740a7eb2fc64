"""Drives a sweep: enters its tasks in the ledger, and has them done until none is left, whoever dies on the way.

The ledger alone says what is done. So this process may be killed at any time, and the same sweep begun again goes on
with what is left; several such processes may even work at one sweep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from backtesting.research.engines import Crew, Engine, WorkersDied
from backtesting.research.labour import Site, labour
from backtesting.research.planning import Plan
from backtesting.research.questions import AGENTS, ARRAYS
from data.model.errors import RunIncomplete
from data.store.tasks import Progress, TaskLedger

LARGEST_CLAIM = 200
"""Tasks over arrays in one claim: what a kill may cost, against a round trip to the database."""
CLAIMS_A_WORKER = 4
FRUITLESS_ROUNDS = 5
Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Sweep:
    """One process's part in a sweep. `driver` is its name, `again` the command that goes on with it."""

    plan: Plan
    ledger: TaskLedger
    site: Site
    engine: Engine
    driver: str
    again: str
    largest_claim: int = LARGEST_CLAIM
    look_every_s: float = 0.5

    def run(self, watch: Watch) -> Progress:
        """Returns how it stands when nothing is left to be done. Raises RunIncomplete if it was stopped before that."""
        self.ledger.enqueue(self.plan.spec_json, self.plan.tasks)
        self.ledger.reopen()
        try:
            if self._standing().unfinished:
                with self._watched(watch), self.engine.open() as crew:
                    self._work(crew)
        except KeyboardInterrupt:
            self.ledger.release(f"{self.driver}/")
            raise RunIncomplete(f"stopped, {self._told()}; go on with: {self.again}") from None
        finally:
            watch(self._standing())
        return self._standing()

    def _work(self, crew: Crew) -> None:
        fruitless, number = 0, 0
        while (before := self._standing()).unfinished:
            calls = list(self._calls(crew.size, number))
            number += len(calls)
            try:
                crew.each(labour, calls)
            except WorkersDied:
                self.ledger.release(f"{self.driver}/")
            if not calls:
                threading.Event().wait(self.look_every_s)  # others are at it, or died a moment ago
            elif self._standing().settled == before.settled:
                fruitless += 1
                threading.Event().wait(self.look_every_s)
            else:
                fruitless = 0
            if fruitless == FRUITLESS_ROUNDS:
                raise RunIncomplete(f"workers die or do nothing, {self._told()}; try again with: {self.again}")

    def _calls(self, workers: int, number: int) -> Iterator[tuple[object, ...]]:
        """One for each claim that can be made now: runs of agents one by one, and first, for they take longest."""
        standing = self.ledger.progress()
        for kind in (AGENTS, ARRAYS):
            left = standing.get(kind, Progress()).open
            size = 1 if kind == AGENTS else min(max(ceil(left / workers / CLAIMS_A_WORKER), 1), self.largest_claim)
            for _ in range(ceil(left / size)):
                yield self.site, kind, size, f"{self.driver}/{number}"
                number += 1

    def _standing(self) -> Progress:
        return sum(self.ledger.progress().values(), Progress())

    def _told(self) -> str:
        standing = self._standing()
        return f"{standing.done} of {standing.total} tasks are done"

    @contextmanager
    def _watched(self, watch: Watch) -> Iterator[None]:
        over = threading.Event()

        def look() -> None:
            while not over.wait(self.look_every_s):
                watch(self._standing())

        watcher = threading.Thread(target=look, daemon=True, name="progress")
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
