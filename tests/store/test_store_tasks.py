"""The ledger of sweeps: claimed by one, taken over from the dead, and counted once whoever else was at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count

import house
import pytest
from sqlalchemy.exc import DBAPIError

from data.store.migrations.versions import m0003_tasks
from data.store.store import Store
from data.store.tasks import Lease, Progress, Task, TaskLedger

LONG, OVER = 600.0, 0.0
_NUMBERS = count(1)


def tasks(many: int, kind: str = "arrays") -> list[Task]:
    return [
        Task(f"key-{kind}-{place}", place, kind, {"place": place, "text": 'tab\there \\ "é"'}) for place in range(many)
    ]


@pytest.fixture
def ledger(any_store: Store) -> TaskLedger:
    return TaskLedger(any_store.engine, f"sweep-{next(_NUMBERS)}")


def done(ledger: TaskLedger, leases: Sequence[Lease], result: object = None) -> int:
    return len(ledger.complete([(lease, result or {"of": lease.task.place}) for lease in leases]))


def standing(ledger: TaskLedger) -> Progress:
    return sum(ledger.progress().values(), Progress())


def test_tasks_are_entered_once(ledger: TaskLedger) -> None:
    assert ledger.enqueue({"name": "x"}, tasks(3)) == 3
    assert ledger.enqueue({"name": "x"}, tasks(3)) == 0
    assert [row.task for row in ledger.rows()] == tasks(3)
    assert standing(ledger) == Progress(open=3)


def test_a_bad_task_leaves_nothing(ledger: TaskLedger) -> None:
    with pytest.raises(Exception, match="NUL"):
        ledger.enqueue({}, [*tasks(2), Task("k\0", 3, "arrays", {})])
    assert list(ledger.rows()) == []


def test_sweeps_do_not_see_each_other(ledger: TaskLedger) -> None:
    other = TaskLedger(ledger.engine, ledger.sweep_id + "-other")
    for each in (ledger, other):
        each.enqueue({}, tasks(2))
    assert done(ledger, ledger.claim("arrays", "a", 9, LONG)) == 2
    assert standing(other) == Progress(open=2)
    assert (ledger.done_elsewhere(), other.done_elsewhere()) == (0, 2)


def test_what_one_holds_nobody_else_gets(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(5))
    first, second, third = (ledger.claim("arrays", holder, 2, LONG) for holder in "abc")
    assert [lease.task.place for lease in (*first, *second, *third)] == [0, 1, 2, 3, 4]
    assert ledger.claim("arrays", "d", 2, LONG) == ()
    assert standing(ledger) == Progress(leased=5)


def test_kinds_are_claimed_apart(ledger: TaskLedger) -> None:
    ledger.enqueue({}, [*tasks(1), Task("agents", 1, "agents", {})])
    assert [lease.task.kind for lease in ledger.claim("agents", "a", 5, LONG)] == ["agents"]
    assert ledger.progress() == {"agents": Progress(leased=1), "arrays": Progress(open=1)}


def test_a_lease_that_is_over_is_given_out_again_one_by_one(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(3))
    assert len(ledger.claim("arrays", "dead", 3, OVER)) == 3
    (again,) = ledger.claim("arrays", "b", 3, LONG)
    assert (again.task.place, again.attempt) == (0, 2)


def test_who_lost_his_lease_cannot_count(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    late = ledger.claim("arrays", "late", 1, OVER)
    new = ledger.claim("arrays", "new", 1, LONG)
    assert done(ledger, late, {"by": "late"}) == 0
    assert not ledger.prolong(late, LONG)
    assert not ledger.fail(late[0], "late", 1)
    assert done(ledger, new, {"by": "new"}) == 1
    assert [(row.state, row.result) for row in ledger.rows()] == [("done", {"by": "new"})]


def test_a_late_one_counts_as_long_as_nobody_took_over(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    late = ledger.claim("arrays", "late", 1, OVER)
    assert done(ledger, late) == 1
    assert done(ledger, late) == 0


def test_a_heartbeat_keeps_the_lease(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    leases = ledger.claim("arrays", "a", 1, OVER)
    assert ledger.prolong(leases, LONG) == {"key-arrays-0"}
    assert ledger.claim("arrays", "b", 1, LONG) == ()


def test_what_is_done_stays_as_it_is(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    done(ledger, ledger.claim("arrays", "a", 1, LONG))
    with pytest.raises(DBAPIError, match="is done and stays"), ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE market.tasks SET state = 'open', result = NULL")


def test_failures_are_bounded_and_can_be_tried_again(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    found = [ledger.fail(ledger.claim("arrays", "a", 1, LONG)[0], f"reason {turn}", 3) for turn in range(3)]
    assert found == [False, False, True]
    assert [(row.state, row.reason) for row in ledger.rows()] == [("failed", "reason 2")]
    assert ledger.claim("arrays", "a", 1, LONG) == ()
    assert ledger.reopen() == 1
    assert done(ledger, ledger.claim("arrays", "a", 1, LONG)) == 1
    assert [(row.state, row.reason) for row in ledger.rows()] == [("done", None)]


def test_a_task_that_kills_its_workers_fails_in_the_end(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    given = [len(ledger.claim("arrays", "dies", 1, OVER, most_lost=3)) for _ in range(4)]
    assert given == [1, 1, 1, 0]
    assert ["died" in (row.reason or "") for row in ledger.rows()] == [True]


def test_the_dead_give_back(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(3))
    for holder in ("d1/1 host 7", "d1/2 host 8", "d2/1 host 9"):
        ledger.claim("arrays", holder, 1, LONG)
    assert ledger.release("d1/1 ") == 1
    assert ledger.release("d1/") == 1
    assert standing(ledger) == Progress(open=2, leased=1)


def test_going_back_loses_no_sweep(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(1))
    with pytest.raises(DBAPIError, match="there are sweeps"), ledger.engine.begin() as connection:
        connection.exec_driver_sql(m0003_tasks.AWAY)
    assert standing(ledger) == Progress(open=1)


WORKER = """
import sys, time, json
from pathlib import Path
from data.store.database import connect
from data.store.tasks import TaskLedger
url, sweep, holder, lease, slow = sys.argv[1:]
with connect(url, Path()) as database:
    ledger = TaskLedger(database.engine, sweep)
    while leases := ledger.claim("arrays", holder, 5, float(lease), most_lost=1000):
        time.sleep(float(slow))
        counted = ledger.complete([(lease, {"by": holder}) for lease in leases])
        print(json.dumps(sorted(counted)), flush=True)
"""


def begin(ledger: TaskLedger, holder: str, lease: float, slow: float = 0.0) -> subprocess.Popen[str]:
    url = ledger.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    words = [sys.executable, "-c", WORKER, url, ledger.sweep_id, holder, str(lease), str(slow)]
    return subprocess.Popen(words, cwd=house.ROOT, stdout=subprocess.PIPE, text=True)


def test_processes_at_once_count_each_task_once(ledger: TaskLedger) -> None:
    ledger.enqueue({}, tasks(500))
    workers = [begin(ledger, f"w{number}", LONG) for number in range(3)]
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    counted = Counter(key for text in said for line in text.splitlines() for key in json.loads(line))
    assert (len(counted), set(counted.values())) == (500, {1})
    assert standing(ledger) == Progress(done=500)


def test_killed_processes_lose_nothing(ledger: TaskLedger) -> None:
    """Each is killed while it holds tasks; whoever comes next takes these over once their leases are over."""
    ledger.enqueue({}, tasks(60))
    for number in range(4):
        victim = begin(ledger, f"victim {number}", lease=0.2, slow=0.05)
        assert victim.stdout
        victim.stdout.readline()
        os.kill(victim.pid, signal.SIGKILL)
        victim.communicate()
    deadline = time.monotonic() + 60
    while standing(ledger).unfinished and time.monotonic() < deadline:
        begin(ledger, "last", lease=5.0).communicate(timeout=60)
    rows = list(ledger.rows())
    assert [row.task.place for row in rows] == list(range(60))
    assert {row.state for row in rows} == {"done"}
    assert {row.result["by"] for row in rows} >= {"victim 0", "last"}
