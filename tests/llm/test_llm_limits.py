"""A provider's limits: what a user states holds in every minute, and what a server says is heeded by all."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import fault_server as faults
import openai
import pytest
import test_llm_abort as abort
import test_llm_admission as admission
import wire
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.limits import WINDOW_S, Limits, Taken, duration_s
from agents.llm.models import RULES_HOST
from data.model.decisions import FailureReason

BUCKET = {f"x-ratelimit-{name}": value for name, value in {"limit-requests": "60", "limit-tokens": "1000"}.items()}


def went(limits: Limits, clock: admission.Hand, host: str, request_bytes: int) -> Taken:
    """As soon as it may; what is due is due."""
    for _ in range(2000):
        found = limits.take(host, request_bytes)
        if isinstance(found, Taken):
            return found
        assert found > clock.now, "it should have gone"
        clock.now = found
    pytest.fail("it never went")


arrivals = st.lists(
    st.tuples(st.floats(0, 40), st.integers(1, 4000), st.one_of(st.none(), st.integers(0, 3000))), max_size=40
)


@given(arrivals, st.one_of(st.none(), st.integers(1, 6)), st.one_of(st.none(), st.integers(1, 2000)))
def test_in_no_minute_more_goes_than_the_limits_say(
    requests: list[tuple[float, int, int | None]], most: int | None, most_tokens: int | None
) -> None:
    """And nobody waits longer than they make one wait."""
    clock = admission.Hand()
    limits = Limits(clock, most, most_tokens)
    gone: list[Taken] = []

    def fits(taken: Taken, at: float) -> bool:
        minute = [one for one in gone if one.at + WINDOW_S > at]
        fewer = most is None or len(minute) < most
        return fewer and (most_tokens is None or not minute or sum(o.tokens for o in (*minute, taken)) <= most_tokens)

    for gap, request_bytes, used in requests:
        clock.now += gap
        wanted_at = clock.now
        taken = went(limits, clock, "h", request_bytes)
        assert fits(taken, taken.at)
        assert taken.at - 1e-6 <= wanted_at or not fits(taken, taken.at - 1e-6)
        gone.append(taken)
        if used is not None:
            limits.used(taken, used)


@given(arrivals)
def test_without_limits_nobody_waits(requests: list[tuple[float, int, int | None]]) -> None:
    clock = admission.Hand()
    limits = Limits(clock)
    for gap, request_bytes, used in requests:
        clock.now += gap
        taken = limits.take("h", request_bytes)
        assert isinstance(taken, Taken)
        limits.used(taken, used or 0)


@pytest.mark.parametrize("limits", [(0, None), (None, 0), (-1, 5)])
def test_a_limit_that_lets_nothing_go_is_none(limits: tuple[int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="lets nothing go"):
        Limits(admission.Hand(), *limits)


def test_the_limit_holds_under_threads() -> None:
    clock = admission.Hand()
    limits, found = Limits(clock, 50), []
    gate = threading.Barrier(8)

    def take(_number: int) -> None:
        gate.wait()
        found.extend(limits.take("h", 10) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert sum(isinstance(one, Taken) for one in found) == 50
    assert {one for one in found if not isinstance(one, Taken)} == {clock.now + WINDOW_S}


def test_a_limit_is_each_host_s_own_and_the_rules_have_none() -> None:
    limits = Limits(admission.Hand(), 1)
    assert isinstance(limits.take("a", 1), Taken)
    assert not isinstance(limits.take("a", 1), Taken)
    assert isinstance(limits.take("b", 1), Taken)
    assert all(isinstance(limits.take(RULES_HOST, 1), Taken) for _ in range(10))


def test_what_did_not_go_counts_for_nothing() -> None:
    limits = Limits(admission.Hand(), 1, 100)
    for _ in range(5):
        taken = limits.take("h", 400)
        assert isinstance(taken, Taken)
        limits.give_back(taken)


def test_tokens_are_expected_as_they_were_counted_before() -> None:
    clock = admission.Hand()
    limits = Limits(clock, None, 1000)
    first = limits.take("h", 800)
    assert isinstance(first, Taken)
    assert first.tokens == 200
    limits.used(first, 600)
    assert first.tokens == 600
    assert limits.take("h", 800) == clock.now + WINDOW_S
    second = limits.take("h", 400)
    assert isinstance(second, Taken)
    assert second.tokens == 300


def test_what_is_larger_than_a_minute_goes_alone() -> None:
    clock = admission.Hand()
    limits = Limits(clock, None, 100)
    assert isinstance(limits.take("h", 4000), Taken)
    assert limits.take("h", 4) == clock.now + WINDOW_S
    clock.now += WINDOW_S
    assert isinstance(limits.take("h", 4000), Taken)


def test_pauses_do_not_shorten_each_other() -> None:
    clock = admission.Hand()
    limits = Limits(clock)
    limits.pause("h", 30)
    limits.pause("h", 5)
    assert limits.take("h", 1) == clock.now + 30
    assert isinstance(limits.take("other", 1), Taken)


@pytest.mark.parametrize(
    ("remaining", "reset", "request_bytes", "after"),
    [
        ({"remaining-requests": "0"}, {"reset-requests": "60s"}, 4, 1.0),
        ({"remaining-requests": "0"}, {"reset-requests": "6ms"}, 4, 0.0001),
        ({"remaining-requests": "1"}, {"reset-requests": "59s"}, 4, 0.0),
        ({"remaining-tokens": "0"}, {"reset-tokens": "1m0s"}, 2000, 30.0),
        ({"remaining-tokens": "250"}, {"reset-tokens": "45s"}, 2000, 15.0),
        ({"remaining-tokens": "0"}, {"reset-tokens": "60s"}, 80_000, 60.0),
        ({"remaining-tokens": "0"}, {"reset-tokens": "soon"}, 2000, 0.0),
        ({"remaining-tokens": "0"}, {}, 2000, 0.0),
        ({"remaining-requests": "0"}, {"reset-requests": "8h"}, 4, 0.0),
    ],
)
def test_a_server_s_own_bucket_is_waited_for(
    remaining: dict[str, str], reset: dict[str, str], request_bytes: int, after: float
) -> None:
    clock = admission.Hand()
    limits = Limits(clock)
    said = {f"x-ratelimit-{name}": value for name, value in {**remaining, **reset}.items()}
    limits.told("h", {**BUCKET, **said})
    found = limits.take("h", request_bytes)
    due = clock.now if isinstance(found, Taken) else found
    assert due - clock.now == pytest.approx(after, abs=1e-6)


def test_what_goes_meanwhile_is_drawn_from_it() -> None:
    clock = admission.Hand()
    limits = Limits(clock)
    said = {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "58s"}
    limits.told("h", {**BUCKET, **said})
    assert [isinstance(limits.take("h", 4), Taken) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("17ms", 0.017),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("12", 12.0),
        ("", None),
        ("soon", None),
        ("1s ago", None),
        ("-1s", None),
        ("٣s", None),
        ("s", None),
    ],
)
def test_durations_as_openai_writes_them(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_header_holds_anybody_up_for_long(first: str, second: str) -> None:
    clock = admission.Hand()
    limits = Limits(clock)
    limits.told("h", {**BUCKET, "x-ratelimit-remaining-requests": first, "x-ratelimit-reset-requests": second})
    found = limits.take("h", 1)
    assert isinstance(found, Taken) or found <= clock.now + WINDOW_S


@pytest.mark.parametrize(
    ("headers", "pause"), [({"Retry_After": "30"}, 30.0), ({"retry_after_ms": "2500"}, 2.5), ({}, None)]
)
def test_a_429_of_one_call_pauses_all_calls_to_that_host(headers: dict[str, str], pause: float | None) -> None:
    clock = admission.Hand()
    naps: list[float] = []
    others: list[Future[str]] = []
    with (
        ThreadPoolExecutor(4) as pool,
        faults.FaultServer([faults.status(429, **headers)], answer=lambda _: "{}") as provider,
    ):

        def nap(seconds: float) -> None:
            """While one waits, three others would like to go."""
            naps.append(seconds)
            others.extend(pool.submit(abort.asking, line, number) for number in (1, 2, 3))
            admission.until(lambda: len(line.channel.admission._waiting) == 3)
            assert len(provider.received) == 1
            clock.now += seconds
            line.channel.admission.wake()

        line = wire.Wire(wire.at(provider.base_url), sleep=nap, monotonic=clock, in_flight=8)
        assert line.ask() == "{}"
        assert [one.result(abort.SOON_S) for one in others] == ["{}"] * 3
    assert len(naps) == 1
    assert naps[0] == (pause or naps[0])
    assert len(provider.received) == 5


def test_a_pause_that_nobody_keeps_pauses_nobody() -> None:
    """Each call finds out by itself, and fails in sight."""
    with faults.FaultServer(then=faults.status(429, Retry_After="3600")) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        for _ in range(2):
            with pytest.raises(openai.APIError):
                line.ask()
    assert len(provider.received) == 2
    assert line.turn.failure is not None
    assert line.turn.failure.reason is FailureReason.RATE_LIMITED


def test_a_run_of_many_calls_keeps_its_requests_a_minute() -> None:
    """Nobody sleeps here: the hand of the clock is moved to where the queue says."""
    clock = admission.Hand()
    with ThreadPoolExecutor(6) as pool, faults.FaultServer(answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url), monotonic=clock, in_flight=6, requests_per_minute=2)
        answers = [pool.submit(abort.asking, line, number) for number in range(6)]
        for minute in (1, 2, 3):
            admission.until(lambda: sum(one.done() for one in answers) == 2 * minute)  # noqa: B023 - asked at once
            assert len(provider.received) == 2 * minute
            clock.now += WINDOW_S
            line.channel.admission.wake()
    assert line.channel.totals.calls == 6


def test_one_object_may_serve_every_channel_of_a_process() -> None:
    clock = admission.Hand()
    limits = Limits(clock, 2)
    with faults.FaultServer(answer=lambda _: "{}") as provider, ThreadPoolExecutor(1) as pool:
        lines = [wire.Wire(wire.at(provider.base_url), monotonic=clock, limits=limits) for _ in range(3)]
        assert [line.ask() for line in lines[:2]] == ["{}", "{}"]
        third = pool.submit(lines[2].ask)
        admission.until(lambda: len(lines[2].channel.admission._waiting) == 1)
        assert len(provider.received) == 2
        clock.now += WINDOW_S
        lines[2].channel.admission.wake()
        assert third.result(abort.SOON_S) == "{}"
