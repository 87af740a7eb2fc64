"""A sweep from the command line: what it answers, that it goes on where it was left, and that nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import chromium
import house
import pyarrow.parquet as pq
import pytest
from conftest import ALONE, SPEC, Sweeping

from backtesting.research import labour, planning, trials
from backtesting.research.questions import ArrayQuestion
from data.model.errors import DataError, StoreUnavailable
from data.store.store import Store
from data.store.tasks import TaskLedger

AGENTS = """
[agents]
models = ["rules"]
decide_every = 12
"""


def states(store: Store, sweep_id: str) -> dict[str, tuple[str, int]]:
    return {row.task.key: (row.state, row.attempt) for row in TaskLedger(store.engine, sweep_id).rows()}


def test_every_combination_is_answered(sweeping: Sweeping, store: Store) -> None:
    swept = sweeping()
    counted = {name: swept.summary[name] for name in ("tasks", "done", "failed", "left_out")}
    assert (swept.code, counted) == (0, {"tasks": 14, "done": 14, "failed": 0, "left_out": 0})
    assert set(states(store, swept.summary["sweep_id"]).values()) == {("done", 1)}
    table = pq.read_table(swept.folder / "results.parquet").to_pylist()
    assert len({row["key"] for row in table}) == 14
    assert {(row["trials"], row["reason"]) for row in table} == {(14, None)}
    held = next(row for row in table if row["strategy"] == "buy_and_hold")
    assert held["total_return"] == pytest.approx(held["buy_and_hold_return"])
    assert held["fills"] == 1
    best = max((row for row in table if row["sharpe"] is not None), key=lambda row: row["sharpe"])
    told = swept.summary["best"]
    assert (told["strategy"], told["sharpe"]) == (best["strategy"], best["sharpe"])
    assert told["parameters"] == json.loads(best["parameters"])
    assert told["deflated_sharpe"] == best["deflated_sharpe"]


def test_the_same_command_again_does_nothing_again(sweeping: Sweeping, store: Store) -> None:
    first = sweeping()
    before = (first.folder / "report.html").read_bytes(), states(store, first.summary["sweep_id"])
    again = sweeping()
    assert again.summary["sweep_id"] == first.summary["sweep_id"]
    assert ((again.folder / "report.html").read_bytes(), states(store, again.summary["sweep_id"])) == before


def test_processes_come_to_the_same(sweeping: Sweeping) -> None:
    alone, crew = sweeping(), sweeping(SPEC.replace('"small"', '"other"'), "--jobs", "2")
    tables = [pq.read_table(each.folder / "results.parquet").drop_columns(["attempts"]) for each in (alone, crew)]
    assert tables[0].equals(tables[1])


def test_other_data_is_another_sweep(sweeping: Sweeping, store: Store) -> None:
    first = sweeping()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE market.bars SET close = close + 1 WHERE open_time = '2025-04-03T00:00Z'")
    assert sweeping().summary["sweep_id"] != first.summary["sweep_id"]


def test_bars_before_the_window_warm_indicators_up(sweeping: Sweeping) -> None:
    def fills(swept: object) -> list[int]:
        return pq.read_table(swept.folder / "results.parquet").column("fills").to_pylist()  # type: ignore[attr-defined]

    long = SPEC.replace("from = 20, to = 40", "from = 60, to = 80").replace("2025-04-04", "2025-04-02")
    warm, cold = sweeping(long), sweeping(long.replace('interval = "1h"', 'interval = "1h"\nwarmup = 0'))
    assert sum(fills(warm)) > sum(fills(cold))


@pytest.mark.browser
@pytest.mark.skipif(chromium.find() is None, reason="needs Chromium")
def test_the_page_fits_on_a_telephone(sweeping: Sweeping) -> None:
    with chromium.Page() as page:
        page.size(390, 844, mobile=True)
        page.open(sweeping().folder / "report.html")
        assert page.run("document.documentElement.scrollWidth") == 390
        assert "-" not in page.run(
            "Array.from(document.querySelectorAll('.heat td'), (cell) => cell.textContent).join()"
        )


def test_the_page_is_whole_and_asks_for_nothing(sweeping: Sweeping) -> None:
    swept = sweeping()
    page = (swept.folder / "report.html").read_text()
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(page)
    tags = [tag for tag, _ in found]
    assert "script" not in tags
    assert "table" in tags
    assert not [attrs for _, attrs in found if {"src", "style", "onclick"} & set(attrs)]
    assert "default-src 'none'; script-src 'none'; style-src 'sha256-" in unescape(page)
    assert 'class="heat"' in page
    assert "Bailey and Lopez de Prado" in page
    assert "The best of 14 trials" in page
    assert "The best of 14 trials" in swept.err
    assert len(page) < 100_000


def test_a_failing_task_does_not_stop_the_others(
    sweeping: Sweeping, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trials.play_question

    def play(question: ArrayQuestion, of: Store) -> trials.Played:
        if question.parameters.get("fast") == 5 and question.start_on.day == 1:
            raise DataError("<b>no\nbars</b>")
        return whole(question, of)

    monkeypatch.setattr(labour, "play_question", play)
    swept = sweeping()
    assert (swept.code, swept.summary["done"], swept.summary["failed"]) == (3, 11, 3)
    assert "try them again with: python -m scripts.sweep" in swept.err
    page = (swept.folder / "report.html").read_text()
    assert "&lt;b&gt;no\\nbars&lt;/b&gt;" in page
    assert "<b>no" not in page
    monkeypatch.setattr(labour, "play_question", whole)
    mended = sweeping()
    assert (mended.code, mended.summary["done"]) == (0, 14)


def test_a_database_that_is_gone_stops_the_sweep(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(labour, "play_question", play)
    swept = sweeping()
    assert (swept.code, swept.summary) == (2, None)
    assert "error: gone" in swept.err


def test_ctrl_c_says_how_to_go_on(sweeping: Sweeping, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, done = trials.play_question, []

    def play(question: ArrayQuestion, of: Store) -> trials.Played:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(question)
        return whole(question, of)

    monkeypatch.setattr(labour, "play_question", play)
    swept = sweeping()
    assert swept.code == 3
    assert "tasks are done; go on with: python -m scripts.sweep " in swept.err
    with store.engine.connect() as connection:
        left = connection.exec_driver_sql("SELECT DISTINCT state FROM market.tasks").scalars().all()
    assert "leased" not in left
    monkeypatch.setattr(labour, "play_question", whole)
    assert sweeping().summary["done"] == 14


def test_other_code_is_refused(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "code_digest", lambda: "0" * 64)
    swept = sweeping()
    assert swept.code == 3
    assert "bring every machine to one revision" in swept.err


def test_runs_of_agents_are_whole_runs(sweeping: Sweeping, tmp_path: Path) -> None:
    swept = sweeping(ALONE + AGENTS)
    assert (swept.code, swept.summary["done"]) == (0, 1), swept.err
    (row,) = pq.read_table(swept.folder / "results.parquet").to_pylist()
    summary = json.loads((Path(row["run_dir"]) / "metrics.json").read_text())
    assert row["strategy"] == "agents: rules"
    assert row["run_dir"] == str(tmp_path / "sweeps" / "runs" / row["run_id"])
    assert row["total_return"] == pytest.approx(summary["metrics"]["total_return"])
    assert row["sharpe"] == pytest.approx(summary["metrics"]["sharpe"])
    assert row["max_drawdown"] == pytest.approx(summary["metrics"]["max_drawdown"])


def test_another_sweep_of_the_same_question_takes_the_run_there_is(sweeping: Sweeping, tmp_path: Path) -> None:
    first = sweeping(ALONE + AGENTS)
    (log,) = (tmp_path / "sweeps" / "runs").glob("*/log.jsonl")
    before = log.read_bytes()
    other = sweeping(ALONE.replace('"agents"', '"others"') + AGENTS)
    assert other.summary["sweep_id"] != first.summary["sweep_id"]
    assert (other.summary["done"], log.read_bytes() == before) == (1, True)


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (SPEC.replace("BTCUSDT", "NOBODY"), (), "unknown symbol NOBODY"),
        (SPEC.replace("2025-04-08", "2026-04-08"), (), "no 1h bars of BTCUSDT for all of"),
        (SPEC, ("--address", "x:1"), "say --engine ray too"),
        (SPEC, ("--jobs", "0"), "--jobs must be 1 or more"),
        (SPEC, ("--claim", "0"), "--claim must be 1 or more"),
        (ALONE + '[agents]\nmodels = ["openai/gpt-4o"]\n', (), "OPENAI_API_KEY"),
        (ALONE + '[agents]\nmodels = ["rules"]\nprotocols = ["duel"]\n', (), "[agents] protocol = duel"),
        (ALONE + '[agents]\nmodels = ["rules", "rules"]\n', (), "two tasks of the sweep ask the same"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch, text: str, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    swept = sweeping(text, *words)
    assert (swept.code, swept.summary) == (2, None)
    assert said in swept.err
    assert len(swept.err.strip().splitlines()) == 1


def test_without_ray_one_line_says_what_to_install(sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    swept = sweeping(SPEC, "--engine", "ray")
    assert swept.code == 2
    assert "pip install -r requirements-distributed.txt" in swept.err


@pytest.mark.timeout(180)
def test_a_killed_worker_and_a_killed_driver(bitcoin: str, tmp_path: Path, store: Store) -> None:
    """On this machine's cores: both are killed in the middle, and the same command ends the sweep."""
    (tmp_path / "spec.toml").write_text(SPEC.replace("from = 20, to = 40, step = 10", "from = 20, to = 219, step = 1"))
    words = [str(tmp_path / "spec.toml"), "--jobs", "2", "--claim", "2", "--lease_s", "2", "--database", bitcoin]
    command = [sys.executable, "-m", "scripts.sweep", *words, "--output_dir", str(tmp_path / "sweeps")]
    statement = "SELECT count(*) FILTER (WHERE state = 'done'), min(holder) FROM market.tasks"

    def look(least: int) -> str | None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with store.engine.connect() as connection:
                done, holder = connection.exec_driver_sql(statement).one()
            if done >= least and holder:
                return str(holder).split()[-1]
        raise AssertionError("nobody is at work")

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=house.ROOT, start_new_session=True, stderr=subprocess.DEVNULL)

    driver = begin()
    os.kill(int(look(20) or 0), signal.SIGKILL)
    look(100)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert begin().wait(120) == 0
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT state, count(*) FROM market.tasks GROUP BY state").all()
    assert [tuple(row) for row in rows] == [("done", 802)]


def test_a_slow_worker_keeps_its_tasks(sweeping: Sweeping, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is far shorter than its work; another worker that asks all the while gets nothing of it."""
    whole, stolen = trials.play_question, []

    def play(question: ArrayQuestion, of: Store) -> trials.Played:
        with store.engine.connect() as connection:
            (sweep_id,) = connection.exec_driver_sql("SELECT sweep_id FROM market.sweeps").one()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            stolen.extend(TaskLedger(store.engine, sweep_id).claim("arrays", "thief", 1, 0.0))
            time.sleep(0.1)
        return whole(question, of)

    monkeypatch.setattr(labour, "play_question", play)
    one = SPEC[: SPEC.index("[[strategies]]")].split(", { start_on")[0] + " ]\n[[strategies]]\nname = 'buy_and_hold'\n"
    swept = sweeping(one, "--jobs", "1", "--lease_s", "0.6")
    assert (swept.code, swept.summary["done"]) == (0, 1)
    assert stolen == []
