"""A sweep on a Ray cluster whose driver and workers are killed: every task once in the ledger, with the same results.

The cluster stands for many machines: it outlives the driver, and workers die alone. What is done is written down by a
trigger too, which the ledger's own code cannot keep silent.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import house
import psycopg2
import pytest
from ground import SEED

IS_LONG = int(os.environ.get("TORTURE_ROUNDS") or 20) >= 100
TASKS, DRIVER_KILLS, WORKER_KILLS = (1000, 2, 10) if IS_LONG else (120, 1, 2)
LONGEST_S = 600.0
SPEC = f"""
name = "torture"
symbols = ["BTCUSDT"]
interval = "1h"
windows = [{{ start_on = 2025-04-01, end_on = 2025-04-15 }}]
search = {{ method = "random", count = {TASKS}, seed = 1 }}
[[strategies]]
name = "sma_crossover"
parameters = {{ fast = {{ from = 2, to = 40 }}, slow = {{ from = 41, to = 200 }} }}
[limits]
stop_loss = {{ from = 0.01, to = 0.2 }}
"""
WATCH = """
CREATE TABLE IF NOT EXISTS public.counted (sweep_id text, key text, holder text);
CREATE OR REPLACE FUNCTION public.count_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.counted VALUES (NEW.sweep_id, NEW.key, OLD.holder); RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER witness AFTER UPDATE ON market.tasks
    FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION public.count_it();
"""


@dataclass
class Cluster:
    """A Ray cluster of two workers, and the environment in which it is reached."""

    address: str
    environ: dict[str, str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = str(tmp_path_factory.mktemp("keys"))
    environ = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "AGENTRADER_KEYS": keys}
    place = tempfile.mkdtemp(prefix="ray-")  # a short path of this user's own: there are sockets in it
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    words.append(f"--temp-dir={place}")
    ray = subprocess.Popen(
        [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *words],
        cwd=house.ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Cluster(f"127.0.0.1:{port}", environ)
    finally:
        ray.terminate()
        try:
            ray.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(ray.pid, signal.SIGKILL)
            ray.wait()
        shutil.rmtree(place, ignore_errors=True)


@dataclass
class Ledger:
    """The rows of one sweep, as any client of the database sees them."""

    connection: Any

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def done(self) -> int:
        return int(self.rows("SELECT count(*) FROM market.tasks WHERE state = 'done'")[0][0])

    def workers(self) -> list[int]:
        found = self.rows("SELECT DISTINCT holder FROM market.tasks WHERE state = 'leased'")
        return [int(row[0].split()[-1]) for row in found]


def sweep(tmp_path: Path, url: str, environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """The command, as a user gives it."""
    command = [sys.executable, "-m", "scripts.sweep", str(tmp_path / "torture.toml"), "--json", "--database", url]
    command += ["--output_dir", str(tmp_path / "sweeps"), *words]
    err = (tmp_path / "err").open("a")
    return subprocess.Popen(command, cwd=house.ROOT, env=environ, stdout=subprocess.PIPE, stderr=err, text=True)


def test_every_task_is_once_in_the_ledger(
    cluster: Cluster, bars_url: str, tmp_path: Path, record_property: Any
) -> None:
    (tmp_path / "torture.toml").write_text(SPEC)
    words = ("--engine", "ray", "--address", cluster.address, "--claim", "4", "--lease_s", "6")
    chance = random.Random(SEED)
    with closing(psycopg2.connect(bars_url)) as connection:
        connection.autocommit = True
        ledger = Ledger(connection)
        ledger.rows(WATCH)
        driver = sweep(tmp_path, bars_url, cluster.environ, *words)
        victims = ["driver"] * DRIVER_KILLS + ["worker"] * WORKER_KILLS
        chance.shuffle(victims)
        killed: Counter[str] = Counter()
        for number, victim in enumerate(victims, 1):
            _wait(ledger, driver, TASKS * number // (len(victims) + 3), tmp_path)
            if victim == "worker":
                killed["worker"] += _kill_a_worker(ledger, driver, tmp_path)
            else:
                os.kill(driver.pid, signal.SIGKILL)
                assert driver.wait() == -signal.SIGKILL
                killed["driver"] += 1
                driver = sweep(tmp_path, bars_url, cluster.environ, *words)
        out, _ = driver.communicate(timeout=LONGEST_S)
        assert driver.returncode == 0, (tmp_path / "err").read_text()[-4000:]
        _judge(ledger, json.loads(out), killed)
        _compare(ledger, tmp_path, bars_url, cluster.environ)
    for name, value in killed.items():
        record_property(f"torture: sweep, {name}s killed", value)
    record_property("torture: sweep, tasks once in the ledger", TASKS)


def _wait(ledger: Ledger, driver: subprocess.Popen[str], least: int, place: Path) -> None:
    end = time.monotonic() + LONGEST_S
    while ledger.done() < least:
        assert driver.poll() is None, (place / "err").read_text()[-4000:]
        assert time.monotonic() < end, f"{ledger.done()} of {least} done"
        time.sleep(0.01)


def _kill_a_worker(ledger: Ledger, driver: subprocess.Popen[str], place: Path) -> int:
    """Kills one that holds tasks; it may have let go of them in between, and then there is another."""
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        assert driver.poll() is None, (place / "err").read_text()[-4000:]
        for worker in ledger.workers():
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return 1
    raise AssertionError("no worker was seen at work")


def _judge(ledger: Ledger, summary: dict[str, Any], killed: Counter[str]) -> None:
    assert (killed["driver"], killed["worker"]) == (DRIVER_KILLS, WORKER_KILLS)
    assert (summary["tasks"], summary["done"], summary["failed"]) == (TASKS, TASKS, 0)
    rows = ledger.rows("SELECT key, state, attempt FROM market.tasks")
    assert len({row[0] for row in rows}) == len(rows) == TASKS
    assert {row[1] for row in rows} == {"done"}
    assert sum(row[2] > 1 for row in rows) > 0, "nothing was ever taken over: the kills hit nobody"
    counted = Counter(row[0] for row in ledger.rows("SELECT key FROM public.counted"))
    assert (len(counted), set(counted.values())) == (TASKS, {1})


def _compare(ledger: Ledger, tmp_path: Path, url: str, environ: dict[str, str]) -> None:
    """With what an undisturbed sweep on this machine comes to."""
    (tmp_path / "torture.toml").write_text(SPEC.replace('"torture"', '"undisturbed"'))
    calm = sweep(tmp_path, url, environ, "--jobs", "1")
    calm.communicate(timeout=LONGEST_S)
    assert calm.returncode == 0
    found: dict[str, set[str]] = {}
    for key, result in ledger.rows("SELECT key, result::text FROM market.tasks"):
        found.setdefault(key, set()).add(result)
    assert len(found) == TASKS
    assert {len(results) for results in found.values()} == {1}
