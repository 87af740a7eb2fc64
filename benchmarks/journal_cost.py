"""What the journal costs per reply of a model: its four records and two durable flushes, the disk's part shown apart.

The records are those of a recorded reply, its prompt lengthened with its own words to some 30 KB. The reference writes
the same records as plain JSON lines and flushes as often: no canonical form, no tree, no signature.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, percentile
from data.door import SystemClock
from data.journal.notes import SigningKey
from data.journal.opened import create
from data.journal.reading import read_records
from data.journal.run_journal import RunJournal

PROMPT_BYTES = 30_000
REPLIES = 400
KINDS = ("agent.generating", "llm.request", "llm.response", "agent.reply")
FLUSHED = ("llm.request", "llm.response")
TO_REACH = Goal(0.3)

_NUMBERS = count(1)

Bodies = Mapping[str, Mapping[str, Any]]
Write = Callable[[str, Mapping[str, Any], str], None]


def rows(place: Place) -> Iterator[Row]:
    """Milliseconds per reply."""
    slot, bodies = recorded_reply(place.run)
    found = in_turn(
        {
            "journal": lambda: _journal(place.folder, slot, bodies),
            "lines": lambda: _lines(place.folder, slot, bodies),
        },
        place.rounds,
        place.tell,
    )
    against = "plain JSON lines"
    figures: tuple[tuple[str, Callable[[Costs], float], Goal | None], ...] = (
        ("journal: CPU per reply", lambda costs: sum(costs.cpu) / len(costs.cpu), TO_REACH),
        ("journal: CPU per reply, p50", lambda costs: percentile(costs.cpu, 50), None),
        ("journal: CPU per reply, p99", lambda costs: percentile(costs.cpu, 99), None),
        ("journal: two fsyncs, apart, p50", lambda costs: percentile(costs.disk, 50), None),
        ("journal: two fsyncs, apart, p99", lambda costs: percentile(costs.disk, 99), None),
    )
    for name, figure, goal in figures:
        journal, lines = (middle([figure(costs) for costs in found[each]]) for each in ("journal", "lines"))
        yield Row(name, journal, "ms", against, lines, goal)


@dataclass
class Costs:
    """Milliseconds, a value a reply: CPU without that of fsync, and how long fsync took."""

    cpu: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)


def _journal(folder: Path, slot: str, bodies: Bodies) -> Costs:
    log = create(_fresh(folder))
    with closing(RunJournal(log, SystemClock(), SigningKey.new("agentrader/run/benchmark"))) as journal:

        def write(kind: str, body: Mapping[str, Any], place: str) -> None:
            journal.append(kind, body, slot=place)
            if kind in FLUSHED:
                journal.sync()

        return _measured(write, slot, bodies)


def _lines(folder: Path, slot: str, bodies: Bodies) -> Costs:
    with (_fresh(folder) / "log.jsonl").open("ab", buffering=0) as file:

        def write(kind: str, body: Mapping[str, Any], place: str) -> None:
            at = SystemClock().now().isoformat()
            record = {"at": at, "kind": kind, "body": body, "slot": place}
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            if kind in FLUSHED:
                os.fsync(file.fileno())

        return _measured(write, slot, bodies)


def _measured(write: Write, slot: str, bodies: Bodies) -> Costs:
    costs = Costs()
    with Disk() as disk:
        for _ in range(REPLIES):
            disk.cpu = disk.wall = 0
            started = time.thread_time_ns()
            for kind in KINDS:
                write(kind, bodies[kind], slot)
            costs.cpu.append((time.thread_time_ns() - started - disk.cpu) / 1e6)
            costs.disk.append(disk.wall / 1e6)
    return costs


class Disk:
    """Keeps the time that `os.fsync` takes apart."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0
        self._fsync = os.fsync

    def __enter__(self) -> Disk:
        os.fsync = self._timed  # type: ignore[assignment]
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        os.fsync = self._fsync

    def _timed(self, descriptor: int) -> None:
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        self._fsync(descriptor)
        self.cpu += time.thread_time_ns() - cpu
        self.wall += time.perf_counter_ns() - wall


def recorded_reply(run: Path) -> tuple[str, Bodies]:
    """The slot and the bodies of the first reply of a run, its prompt lengthened."""
    bodies: dict[str, dict[str, Any]] = {}
    slot = ""
    for record in read_records(run):
        if record.kind in KINDS and record.slot is not None:
            slot = record.slot
            bodies[record.kind] = dict(record.body)
        if len(bodies) == len(KINDS):
            break
    request = json.loads(bodies["llm.request"]["body"])
    words = request["messages"][0]["content"]
    while len(json.dumps(request, ensure_ascii=False).encode()) < PROMPT_BYTES:
        request["messages"][-1]["content"] += words[:1000]
    bodies["llm.request"]["body"] = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
    return slot, bodies


def _fresh(folder: Path) -> Path:
    """A new, empty folder."""
    made = folder / "logs" / str(next(_NUMBERS))
    made.mkdir(parents=True)
    return made
