"""What a worker does: claims a few tasks, keeps its hold on them while it works, and enters what came of each.

One call is one claim. Nothing is kept between two calls but a database connection and some bars, so a call can be made
anywhere, and again by another worker when its first one died.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from backtesting.audit.story import parse
from backtesting.research.agent_runs import AgentRun, Hands
from backtesting.research.questions import ARRAYS, AgentsQuestion, ArrayQuestion
from backtesting.research.spec import AgentChoice
from backtesting.research.trials import Trial, play_question
from data.door import settings
from data.model.canonical import Json, to_json
from data.model.errors import AgentraderError, StoreUnavailable, UsageError
from data.model.escape import escape_line
from data.store.database import connect
from data.store.store import Store
from data.store.tasks import Lease, TaskLedger

MOST_FAILURES = 3
MOST_LOST = 10
MARK = "spec.json"


@dataclass(frozen=True)
class Site:
    """Where and for what a worker works. `lease_s` is how long a dead worker's tasks wait.

    `folder` is that of all sweeps: runs of agents are kept there, so all machines must share it.
    """

    database_url: str
    sweep_id: str
    lease_s: float
    agents: AgentChoice | None
    folder: Path
    hands: Hands


def labour(site: Site, kind: str, most: int, name: str) -> int:
    """Claims up to `most` tasks and does them; returns how many counted.

    `name` is this call's alone. A call that is made again under its name first gives back what the dead one held.
    Raises StoreUnavailable, and what stops a run (JournalBroken, KeyboardInterrupt).
    """
    ledger = TaskLedger(_engine(site.database_url), site.sweep_id)
    ledger.release(f"{name} ")
    holder, tried, counted = f"{name} {socket.gethostname()} {os.getpid()}", 0, 0
    while tried < most and (leases := ledger.claim(kind, holder, most - tried, site.lease_s, MOST_LOST)):
        tried += len(leases)
        try:
            with _held(ledger, leases, site.lease_s):
                counted += len(ledger.complete([*_done(site, ledger, leases)]))
        except BaseException:
            ledger.release(f"{name} ")
            raise
    return counted


def _done(site: Site, ledger: TaskLedger, leases: Sequence[Lease]) -> Iterator[tuple[Lease, Json]]:
    for lease in leases:
        try:
            yield lease, to_json(_answer(site, lease))
        except StoreUnavailable:
            raise
        except AgentraderError as error:
            ledger.fail(lease, escape_line(str(error)), MOST_FAILURES)


def _answer(site: Site, lease: Lease) -> Trial:
    store = _store(site.database_url)
    if lease.task.kind == ARRAYS:
        return play_question(parse(ArrayQuestion, lease.task.question), store).trial
    return _agents(site, lease, parse(AgentsQuestion, lease.task.question), store)


def _agents(site: Site, lease: Lease, question: AgentsQuestion, store: Store) -> Trial:
    """Keys to models are this machine's own: they do not travel with the work."""
    instrument = store.instrument(question.symbol)
    if site.agents is None or instrument is None:
        raise UsageError(f"task {lease.task.key}: no agents or no {question.symbol} here")
    if not (site.folder / site.sweep_id / MARK).is_file():
        raise UsageError(
            f"{site.folder} on {socket.gethostname()} is not the folder the sweep was begun in: runs of agents "
            "need one that all machines share; name it with --output_dir"
        )
    runs = site.folder / "runs"
    run = AgentRun(lease.task.key, question, site.agents, instrument, site.database_url, runs, site.hands, settings())
    return run.play()


@contextmanager
def _held(ledger: TaskLedger, leases: Sequence[Lease], seconds: float) -> Iterator[None]:
    """Prolongs the leases three times in their length. A beat that fails is left out: the next one may go through."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds / 3):
            with suppress(StoreUnavailable):
                ledger.prolong(leases, seconds)

    heart = threading.Thread(target=beat, daemon=True, name="heartbeat")
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()


@cache
def _engine(url: str) -> Engine:
    """One a process and database, for as long as the process lives."""
    return ExitStack().enter_context(connect(url, Path())).engine


@cache
def _store(url: str) -> Store:
    return Store(_engine(url))
