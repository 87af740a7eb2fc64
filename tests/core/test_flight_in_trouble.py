"""Many decisions in flight, and trouble: no call leaves after the stop, none is uncounted, and the run goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median

import pytest
from flight_model import Model, serving
from flights import DECISIONS, Hangar, require_counted, require_landed
from main_job import Played

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server
from troubled_run import DIGESTS, Run, failing_fsync

from agents.llm import limits
from backtesting.audit.verdict import prove
from backtesting.core import authentic_backtest, crew
from data.journal.examine import Verdict
from data.model.errors import StoreUnavailable
from data.model.market import MarketView
from data.view import MarketViews

MANY = 16


def kinds(flown: Played) -> Counter[str]:
    return Counter(record.kind for record in flown.records)


def require_stopped(flown: Played, *parts: str) -> None:
    """It can go on, says why it stopped, and all that it holds is true."""
    assert flown.code == 3
    assert (flown.summary["status"], flown.summary["result_digest"]) == ("incomplete", None)
    assert [part for part in parts if part not in flown.summary["reason"]] == [], flown.summary["reason"]
    assert "--resume" in flown.err
    proof = prove(flown.folder)
    assert (proof.verdict, proof.differences) == (Verdict.INCOMPLETE, ()), proof.differences


def require_never_again(model: Model, *, at_most: int = 1) -> None:
    assert max(model.answered.values()) <= at_most, "a journaled reply was asked again"


def test_a_signal_lets_no_call_leave_any_more(hangar: Hangar) -> None:
    stopped: list[float] = []

    def hear(number: int) -> None:
        if number == 30:
            stopped.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    with serving((1.5, 1.6), hear=hear) as model:
        flown = hangar.fly(model, MANY)
        require_stopped(flown, "stopped by SIGINT")
        assert max(model.arrived) < stopped[0] + 1.2, "a call left after the stop"
        held = kinds(flown)
        unsent = held["llm.request"] - model.requests
        assert held["llm.request"] - held["llm.response"] == unsent
        assert flown.summary["calls"] + flown.summary["retries"] == held["llm.request"]
        model.latency = (0.0, 0.0)
        again = hangar.go_on(flown, "--concurrency", "5")
        assert kinds(again)["orphan"] == unsent
        assert again.summary["calls"] + again.summary["retries"] == model.requests + unsent
    require_never_again(model)
    require_landed(again, hangar)


@pytest.mark.parametrize("between", [0.0, 0.3])
def test_a_second_signal_cuts_the_calls_under_way(
    hangar: Hangar, monkeypatch: pytest.MonkeyPatch, between: float
) -> None:
    """The server keeps them waiting for minutes, and a run that was told once would let it."""
    over = threading.Event()
    monkeypatch.setattr(crew, "GRACE_S", 1_000.0)

    def hear(number: int) -> None:
        if number == 25:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(between, os.kill, (os.getpid(), signal.SIGTERM)).start()
        if number > 15:
            over.wait(300)

    with serving(hear=hear) as model:
        flown = hangar.fly(model, MANY)
        model.hear = lambda _number: None
        over.set()
        require_stopped(flown, "stopped by SIG")
        cut = [body for body in flown.of("llm.response") if body["fault"] is not None]
        assert cut, "nobody was cut short"
        assert all("cut short" in body["fault"]["detail"] for body in cut)
        again = hangar.go_on(flown)
    require_landed(again, hangar)


def test_a_closed_terminal_s_two_signals_throw_no_answer_away(hangar: Hangar) -> None:
    """The shell sends one, and the system another: what is on its way is paid for."""

    def hear(number: int) -> None:
        if number == 60:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGHUP)

    with serving((0.3, 0.4), hear=hear) as model:
        flown = hangar.fly(model, MANY)
        require_stopped(flown, "stopped by SIGHUP")
        faults = [body["fault"] for body in flown.of("llm.response") if body["fault"] is not None]
        assert [fault for fault in faults if "cut short" in fault["detail"]] == []
        again = hangar.go_on(flown)
    require_never_again(model)
    require_landed(again, hangar)


def test_a_server_that_goes_down_and_comes_back(hangar: Hangar) -> None:
    down = threading.Event()

    def hear(number: int) -> None:
        if number == 30:
            down.set()

    with serving((0.0, 0.02), hear=hear) as model:
        model.is_down = lambda _body: down.is_set()
        flown = hangar.fly(model, MANY, "--max_failures", "2")
        require_stopped(flown, "2 decisions in a row failed")
        assert flown.summary["failed"] == 2
        assert flown.summary["calls"] + flown.summary["retries"] == model.requests
        model.is_down, model.hear = (lambda _body: False), (lambda _number: None)
        again = hangar.go_on(flown)
    require_never_again(model)
    require_landed(again, hangar)
    assert again.summary["failed"] == 0


def test_a_failure_for_another_symbol_of_the_last_bar_is_asked_again(hangar: Hangar) -> None:
    """The second symbol's session meets the trouble of its bar before the first one's ends the run."""
    bar = b'as_of\\":\\"2025-04-04T10:00:00Z'
    with serving() as model:
        model.is_down = lambda body: bar in body
        model.linger = lambda body: 0.15 if bar in body and b'symbol\\":\\"BTCUSDT' in body else 0.0
        flown = hangar.fly(model, 4, "--max_failures", "1")
        require_stopped(flown, "1 decisions in a row failed")
        failed = [r.slot.split("/")[1:3] for r in flown.records if r.kind == "llm.response" and r.body["fault"]]
        assert ["2025-04-04T09:00:00Z", "ETHUSDT"] in failed
        assert flown.of("decision")[-1]["symbol"] == "BTCUSDT"
        model.is_down = model.linger = lambda _body: 0.0
        again = hangar.go_on(flown)
    require_never_again(model)
    require_landed(again, hangar)


def test_a_stop_while_the_server_is_down_makes_no_failure_of_what_is_ahead(hangar: Hangar) -> None:
    down = threading.Event()

    def hear(number: int) -> None:
        if number == 30:
            down.set()
        if number == 100:
            os.kill(os.getpid(), signal.SIGINT)

    with serving(hear=hear) as model:
        model.is_down = lambda _body: down.is_set()
        model.linger = lambda body: 1.0 if down.is_set() and b"T01:00:00Z" in body and b"T02:00:00Z" not in body else 0
        flown = hangar.fly(model, MANY)
        require_stopped(flown, "stopped by SIGINT")
        lost = [body for body in flown.of("llm.response") if body["fault"] and body["retry_in_s"] is None]
        assert lost, "nothing had failed for good"
        model.is_down, model.hear, model.linger = (lambda _body: False), (lambda _number: None), lambda _body: 0.0
        again = hangar.go_on(flown)
    require_never_again(model)
    require_landed(again, hangar)
    assert again.summary["failed"] == 0


def test_money_for_half_of_it_is_the_heads(hangar: Hangar) -> None:
    budget = round(hangar.cost / 2, 4)
    with serving((0.0, 0.02)) as model:
        serial = hangar.fly(model, 1, "--budget_usd", f"{budget}")
    with serving((0.0, 0.02)) as model:
        flown = hangar.fly(model, 32, "--budget_usd", f"{budget}")
        require_stopped(flown, f"the budget of ${budget} is used up", "--resume and a --budget_usd")
        assert flown.summary["cost_usd"] <= budget
        assert flown.summary["decisions"] == serial.summary["decisions"] > 0
        again = hangar.go_on(flown, "--budget_usd", "5", "--concurrency", "32")
    require_counted(again, model)
    require_landed(again, hangar)


def test_speculation_ends_before_the_money_does(hangar: Hangar) -> None:
    budget = 0.06
    with serving((0.0, 0.02)) as model:
        flown = hangar.fly(model, 32, "--budget_usd", f"{budget}")
    require_landed(flown, hangar)
    require_counted(flown, model)
    assert 0 < flown.summary["cost_usd"] <= budget
    assert flown.summary["wasted_calls"] < DECISIONS


def test_a_limit_a_minute_holds_for_all_together(hangar: Hangar, monkeypatch: pytest.MonkeyPatch) -> None:
    window_s, most = 0.6, 8
    monkeypatch.setattr(limits, "WINDOW_S", window_s)
    with serving() as model:
        flown = hangar.fly(model, 32, "--requests_per_minute", f"{most}")
    require_counted(flown, model)
    assert flown.summary["result_digest"] == hangar.digest
    asked = [record.at for record in flown.records if record.kind == "llm.request"]
    spans = [(later - earlier).total_seconds() for earlier, later in zip(asked, asked[most:], strict=False)]
    assert median(spans) > 0.8 * window_s  # a busy machine may keep any one record waiting
    assert model.arrived[-1] - model.arrived[0] > (model.requests // most - 2) * window_s


@pytest.fixture
def run(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Through the command; the model takes a moment, so that several sessions are under way."""
    monkeypatch.setattr(authentic_backtest, "ROOT", tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody-is-asked")
    with server.FaultServer(then=slowly) as model:
        if not DIGESTS:
            undisturbed = Run(tmp_path / "undisturbed", bitcoin, capsys, model)
            assert undisturbed.begin() == 0
            DIGESTS.append(undisturbed.summary["result_digest"])
            model.received.clear()
        yield Run(tmp_path, bitcoin, capsys, model)


def slowly(handler: server.Handler, received: server.Received) -> None:
    time.sleep(0.03)
    server.ok(handler, received)


def require_quiet(run: Run) -> None:
    """Nobody of the run is left who could ask."""
    left = [thread for thread in threading.enumerate() if thread.name.startswith("session")]
    for thread in left:
        thread.join(5)  # their work is done; on a busy machine they may not have ended yet
    assert [thread.name for thread in left if thread.is_alive()] == []
    asked = len(run.model.received)
    time.sleep(0.1)
    assert len(run.model.received) == asked


@pytest.mark.parametrize("number", [6, 9, 14])
def test_a_disk_that_fails_under_many_sessions_stops_the_run_in_one_line(run: Run, number: int) -> None:
    with failing_fsync(run.root / "runs", lambda *asked: asked == ("log.jsonl", number)) as asked:
        run.begin("--concurrency", "8")
    assert asked.count("log.jsonl") == number, "the disk was asked again after it had failed"
    run.require_told("Input/output error", "--resume")
    require_quiet(run)
    run.go_on()


def test_a_database_lost_to_a_session_ahead_stops_the_run_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MarketViews.at

    def at(views: MarketViews, symbol: str, as_of: datetime) -> MarketView:
        if as_of.hour == 13:
            raise StoreUnavailable("the database at somewhere cannot be reached")
        return whole(views, symbol, as_of)

    with monkeypatch.context() as patch:
        patch.setattr(MarketViews, "at", at)
        assert run.begin("--concurrency", "8") == 3
    assert "the database at somewhere cannot be reached" in run.summary["reason"]
    assert (run.summary["decisions"], run.summary["failed"]) == (2, 0)
    require_quiet(run)
    run.go_on("--concurrency", "3")
    assert set(run.asked().values()) == {1}
