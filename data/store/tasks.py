"""The ledger of sweeps: each task is done once, whoever dies on the way.

A worker claims tasks for as long as a lease lasts, by the server's own clock, and prolongs the lease while it is at
work. When it dies, the lease ends and somebody else claims them. What comes later than that is turned away by the
number of the attempt, and a row that is done cannot be changed: nothing is counted twice. Work may be done twice.
Limit: one row a task, so a sweep of more than some ten million tasks is better written as several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, TextClause, text

from data.model.canonical import Json, canonical_bytes
from data.store.copying import copy_rows

STREAM = 5_000

_SWEEP = text("""
    INSERT INTO market.sweeps (sweep_id, spec) VALUES (:sweep_id, CAST(:spec AS json)) ON CONFLICT DO NOTHING
""")
_INCOMING = text("""
    CREATE TEMPORARY TABLE incoming_tasks (key text, place integer, kind text, question text) ON COMMIT DROP
""")
_ENQUEUE = text("""
    INSERT INTO market.tasks (sweep_id, key, place, kind, question)
    SELECT :sweep_id, key, place, kind, CAST(question AS json) FROM incoming_tasks ORDER BY place
    ON CONFLICT (sweep_id, key) DO NOTHING
""")
# MATERIALIZED: a plan that looks into a subquery twice would take more than `most`.
_LEASE = """
    WITH picked AS MATERIALIZED (
        SELECT key FROM market.tasks WHERE sweep_id = :sweep_id AND kind = :kind AND {free}
        ORDER BY place LIMIT :most FOR UPDATE SKIP LOCKED
    )
    UPDATE market.tasks t
    SET state = 'leased', attempt = attempt + 1, lost = lost + CAST(state = 'leased' AS integer), holder = :holder,
        leased_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM picked WHERE t.sweep_id = :sweep_id AND t.key = picked.key
    RETURNING t.key, t.place, t.kind, t.question, t.attempt
"""
_CLAIM = text(_LEASE.format(free="state = 'open' AND attempt = 0"))
_AGAIN = "attempt > 0 AND (state = 'open' OR (state = 'leased' AND leased_until < clock_timestamp()))"
_CLAIM_AGAIN = text(_LEASE.format(free=_AGAIN))
_OURS = """
    FROM unnest(CAST(:keys AS text[]), CAST(:attempts AS integer[])) AS ours (key, attempt)
    WHERE t.sweep_id = :sweep_id AND t.key = ours.key AND t.state = 'leased' AND t.attempt = ours.attempt
"""
_PROLONG = text(f"""
    UPDATE market.tasks t SET leased_until = clock_timestamp() + make_interval(secs => :seconds)
    {_OURS} RETURNING t.key
""")  # noqa: S608 - our own words
_COMPLETE = text("""
    UPDATE market.tasks t SET state = 'done', result = CAST(ours.result AS json), reason = NULL, holder = NULL,
        leased_until = NULL, ended_at = clock_timestamp()
    FROM unnest(CAST(:keys AS text[]), CAST(:attempts AS integer[]), CAST(:results AS text[]))
        AS ours (key, attempt, result)
    WHERE t.sweep_id = :sweep_id AND t.key = ours.key AND t.state = 'leased' AND t.attempt = ours.attempt
    RETURNING t.key
""")
_FAIL = text(f"""
    UPDATE market.tasks t SET state = CASE WHEN t.failures + 1 >= :most THEN 'failed' ELSE 'open' END,
        failures = t.failures + 1, reason = :reason, holder = NULL, leased_until = NULL, ended_at = clock_timestamp()
    {_OURS} RETURNING t.state
""")  # noqa: S608 - our own words
_ABANDON = text(f"""
    UPDATE market.tasks SET state = 'failed', holder = NULL, leased_until = NULL, ended_at = clock_timestamp(),
        reason = 'whoever worked at it died or was cut off, ' || :most || ' times'
    WHERE sweep_id = :sweep_id AND kind = :kind AND {_AGAIN} AND lost + CAST(state = 'leased' AS integer) >= :most
""")  # noqa: S608 - our own words
_RELEASE = text("""
    UPDATE market.tasks SET state = 'open', lost = lost + 1, holder = NULL, leased_until = NULL
    WHERE sweep_id = :sweep_id AND state = 'leased' AND starts_with(holder, :holder)
""")
_REOPEN = text("""
    UPDATE market.tasks SET state = 'open', failures = 0, lost = 0, ended_at = NULL
    WHERE sweep_id = :sweep_id AND state = 'failed'
""")
_PROGRESS = text("""
    SELECT kind,
        count(*) FILTER (WHERE state = 'open' OR (state = 'leased' AND leased_until < clock_timestamp())),
        count(*) FILTER (WHERE state = 'leased' AND leased_until >= clock_timestamp()),
        count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed')
    FROM market.tasks WHERE sweep_id = :sweep_id GROUP BY kind ORDER BY kind
""")
_ROWS = text("""
    SELECT key, place, kind, question, state, attempt, result, reason FROM market.tasks
    WHERE sweep_id = :sweep_id ORDER BY place
""")
_ELSEWHERE = text("SELECT count(*) FROM market.tasks WHERE sweep_id <> :sweep_id AND state = 'done'")


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done. `key` names its question and data; `place` is its place in the sweep."""

    key: str
    place: int
    kind: str
    question: Json


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in hand. `attempt` tells this lease from earlier and later ones."""

    task: Task
    attempt: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How many tasks are to be claimed now, leased, done and failed."""

    open: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.open + self.leased + self.done + self.failed

    @property
    def unfinished(self) -> int:
        return self.open + self.leased

    @property
    def settled(self) -> int:
        return self.done + self.failed

    def __add__(self, other: Progress) -> Progress:
        return Progress(
            self.open + other.open, self.leased + other.leased, self.done + other.done, self.failed + other.failed
        )


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the ledger has it; `result` of one that is done, `reason` of one that failed."""

    task: Task
    state: str
    attempt: int
    result: Json
    reason: str | None


@dataclass(frozen=True)
class TaskLedger:
    """The tasks of one sweep. Every method is a transaction of its own."""

    engine: Engine
    sweep_id: str

    def enqueue(self, spec: Json, tasks: Iterable[Task]) -> int:
        """Enters the sweep and those of its tasks that are not entered yet; all or none. Returns how many were new."""
        with self.engine.begin() as connection:
            connection.execute(_SWEEP, {"sweep_id": self.sweep_id, "spec": _text(spec)})
            connection.execute(_INCOMING)
            rows = ((task.key, task.place, task.kind, _text(task.question)) for task in tasks)
            copy_rows(connection, "incoming_tasks", rows)
            return connection.execute(_ENQUEUE, {"sweep_id": self.sweep_id}).rowcount

    def claim(self, kind: str, holder: str, most: int, seconds: float, most_lost: int = 10) -> tuple[Lease, ...]:
        """Up to `most` tasks, for so many seconds, that nobody else holds; none if there are none now.

        What somebody claimed before is given out one by one, so that a task that kills its worker takes no other with
        it; after `most_lost` lost leases it has failed.
        """
        asked = {"sweep_id": self.sweep_id, "kind": kind, "holder": holder, "seconds": seconds}
        with self.engine.begin() as connection:
            rows = connection.execute(_CLAIM, {**asked, "most": most}).all()
            if not rows:
                connection.execute(_ABANDON, {"sweep_id": self.sweep_id, "kind": kind, "most": most_lost})
                rows = connection.execute(_CLAIM_AGAIN, {**asked, "most": 1}).all()
        leases = [Lease(Task(*row[:4]), row[4]) for row in rows]
        return tuple(sorted(leases, key=lambda lease: lease.task.place))

    def prolong(self, leases: Sequence[Lease], seconds: float) -> frozenset[str]:
        """The keys that are still held by these leases, now for so many seconds more."""
        with self.engine.begin() as connection:
            return frozenset(connection.execute(_PROLONG, {**self._ours(leases), "seconds": seconds}).scalars())

    def complete(self, results: Sequence[tuple[Lease, Json]]) -> frozenset[str]:
        """Enters results, each once: the keys are those that counted, a lease that was lost does not."""
        with self.engine.begin() as connection:
            leases, found = [lease for lease, _ in results], [_text(result) for _, result in results]
            asked = {**self._ours(leases), "results": found}
            return frozenset(connection.execute(_COMPLETE, asked).scalars())

    def fail(self, lease: Lease, reason: str, most: int) -> bool:
        """Enters a failure; after `most` of them the task has failed, which is the value. False for a lost lease."""
        with self.engine.begin() as connection:
            asked = {**self._ours([lease]), "reason": reason, "most": most}
            return connection.execute(_FAIL, asked).scalar() == "failed"

    def release(self, holder: str) -> int:
        """Gives back what is leased by holders whose names begin so; they are known to be dead."""
        return self._change(_RELEASE, {"holder": holder})

    def reopen(self) -> int:
        """What failed is to be tried again; returns how many."""
        return self._change(_REOPEN, {})

    def progress(self) -> Mapping[str, Progress]:
        """By the tasks' kind."""
        with self.engine.connect() as connection:
            rows = connection.execute(_PROGRESS, {"sweep_id": self.sweep_id}).all()
        return {row[0]: Progress(*row[1:]) for row in rows}

    def rows(self) -> Iterator[TaskRow]:
        """Every task in its place; streamed from the server."""
        with self.engine.connect() as connection:
            streaming = connection.execution_options(yield_per=STREAM)
            for row in streaming.execute(_ROWS, {"sweep_id": self.sweep_id}):
                yield TaskRow(Task(*row[:4]), *row[4:])

    def done_elsewhere(self) -> int:
        """How many tasks of other sweeps are done in this database."""
        with self.engine.connect() as connection:
            return int(connection.execute(_ELSEWHERE, {"sweep_id": self.sweep_id}).scalar_one())

    def _ours(self, leases: Sequence[Lease]) -> dict[str, object]:
        keys, attempts = [lease.task.key for lease in leases], [lease.attempt for lease in leases]
        return {"sweep_id": self.sweep_id, "keys": keys, "attempts": attempts}

    def _change(self, statement: TextClause, asked: Mapping[str, object]) -> int:
        with self.engine.begin() as connection:
            return connection.execute(statement, {"sweep_id": self.sweep_id, **asked}).rowcount


def _text(value: object) -> str:
    return canonical_bytes(value).decode()
