"""The queue in front of every call: who goes, in which order, how many at a time, and what ends the waiting."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.llm.admission import Admission, Dropped, calls_before
from agents.llm.limits import Limits
from agents.llm.meter import Meter
from agents.llm.prices import Tokens
from data.model.errors import BudgetExhausted

SOON_S = 10.0


class Stop(BaseException):
    """As a stopped run raises it."""


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def until(true: Callable[[], bool]) -> None:
    ended = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ended, "it never came to that"
        time.sleep(0.001)


class Caller:
    """A thread with one call: it waits, goes, and stays under way until told to come back."""

    def __init__(self, pool: ThreadPoolExecutor, queue: Admission, rank: Callable[[], int], **call: object) -> None:
        self.gone, self.back, self.took = threading.Event(), threading.Event(), 0
        self._queue, self._rank, self._call = queue, rank, call
        waiting = self._waiting()
        self.ended: Future[None] = pool.submit(self._run)
        until(lambda: self.gone.is_set() or self.ended.done() or self._waiting() > waiting)

    def _waiting(self) -> int:
        """Of those who only pass through nobody is in it: the lock is theirs then."""
        with self._queue._lock:
            return len(self._queue._waiting)

    def _run(self) -> None:
        token = calls_before.set(self._rank)
        try:
            with self._queue.enter(**self._call):  # type: ignore[arg-type]
                self.gone.set()
                assert self.back.wait(SOON_S)
        finally:
            calls_before.reset(token)


class Scene:
    """Callers at one queue."""

    def __init__(self, pool: ThreadPoolExecutor, in_flight: int, limits: Limits | None, clock: Hand) -> None:
        self.queue = Admission(clock, in_flight, limits)
        self.clock = clock
        self._pool = pool
        self.callers: list[Caller] = []

    def call(self, rank: int | Callable[[], int] = 0, **call: object) -> Caller:
        ranked = rank if callable(rank) else lambda: rank
        self.callers.append(Caller(self._pool, self.queue, ranked, **call))
        return self.callers[-1]


@contextmanager
def scene(in_flight: int = 1, limits: Limits | None = None, clock: Hand | None = None) -> Iterator[Scene]:
    with ThreadPoolExecutor(32) as pool:
        made = Scene(pool, in_flight, limits, clock or Hand())
        try:
            yield made
        finally:
            for caller in made.callers:
                caller.back.set()
            made.queue.stop(Stop())


def order_of(scene: Scene, callers: list[Caller]) -> list[int]:
    """Lets whoever is under way come back, one at a time; who went after whom."""
    order: list[int] = []
    while len(order) < len(callers):
        until(lambda: any(one.gone.is_set() for number, one in enumerate(callers) if number not in order))
        (number,) = [number for number, one in enumerate(callers) if one.gone.is_set() and number not in order]
        order.append(number)
        callers[number].back.set()
    return order


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_of_those_who_wait_the_one_with_the_fewest_before_goes_then_the_first(ranks: list[int]) -> None:
    with scene() as at:
        first = at.call()
        waiting = [at.call(rank) for rank in ranks]
        assert not any(one.gone.is_set() for one in waiting)
        first.back.set()
        assert order_of(at, waiting) == sorted(range(len(ranks)), key=lambda number: (ranks[number], number))


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_are_under_way_than_may_be(in_flight: int) -> None:
    queue, lock, seen, now = Admission(time.monotonic, in_flight), threading.Lock(), [], [0]

    def work(_number: int) -> None:
        for _ in range(30):
            with queue.enter("h", 10):
                with lock:
                    now[0] += 1
                    seen.append(now[0])
                time.sleep(0)
                with lock:
                    now[0] -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    assert len(seen) == 360
    assert max(seen) == in_flight
    assert (queue._under_way, queue._waiting) == (0, [])


def test_a_place_must_be_there() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Admission(time.monotonic, 0)


def test_the_order_may_change_while_they_wait() -> None:
    ranks = [2, 1]
    with scene() as at:
        first = at.call()
        waiting = [at.call(lambda: ranks[0]), at.call(lambda: ranks[1])]
        ranks[:] = [0, 4]
        at.queue.wake()
        first.back.set()
        assert order_of(at, waiting) == [0, 1]


def test_whoever_fails_under_way_leaves_its_place() -> None:
    queue = Admission(time.monotonic)
    for error in (ValueError(), Stop()):
        with pytest.raises(type(error)), queue.enter():
            raise error
    with queue.enter():
        assert queue._under_way == 1


def test_a_stop_ends_all_waiting_and_all_that_comes() -> None:
    stop = Stop("SIGTERM")
    with scene() as at:
        under_way = at.call()
        waiting = [at.call(rank) for rank in (0, 1, 2)]
        at.queue.stop(stop)
        at.queue.stop(Stop("another"))
        assert [one.ended.exception(SOON_S) for one in waiting] == [stop] * 3
        under_way.back.set()
        assert under_way.ended.exception(SOON_S) is None
        assert at.call().ended.exception(SOON_S) is stop
        assert at.queue.stopped is stop
        with pytest.raises(Stop):
            at.queue.sleep(0)


def test_a_stop_ends_a_sleep() -> None:
    queue = Admission(time.monotonic)
    with ThreadPoolExecutor(1) as pool:
        slept = pool.submit(queue.sleep, 100.0)
        queue.stop(Stop())
        assert isinstance(slept.exception(SOON_S), Stop)


def test_a_sleep_lasts() -> None:
    queue, began = Admission(time.monotonic), time.monotonic()
    queue.sleep(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_stop_may_come_from_a_signal_in_the_thread_that_waits() -> None:
    queue, stop = Admission(time.monotonic), Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: queue.stop(stop))
    try:
        with queue.enter():
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
            with pytest.raises(Stop) as raised, queue.enter():
                pytest.fail("there was no place")
        assert raised.value is stop
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_tears_the_wait_leaves_no_place_taken() -> None:
    def tear(*_: object) -> None:
        raise Stop

    queue, before = Admission(time.monotonic), signal.signal(signal.SIGUSR1, tear)
    try:
        with queue.enter():
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
            with pytest.raises(Stop), queue.enter():
                pytest.fail("there was no place")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (queue._waiting, queue._under_way) == ([], 0)
    with queue.enter():
        assert queue._under_way == 1


def test_a_session_that_is_not_wanted_any_more_goes_and_holds_nobody_up() -> None:
    wanted = [True]

    def rank() -> int:
        if not wanted[0]:
            raise Dropped("bar 7")
        return 1

    with scene() as at:
        first = at.call()
        dropped, other = at.call(rank), at.call(2)
        wanted[0] = False
        at.queue.wake()
        assert isinstance(dropped.ended.exception(SOON_S), Dropped)
        first.back.set()
        until(other.gone.is_set)


def test_the_money_is_asked_for_last_and_once() -> None:
    asked: list[int] = []

    def charge(before: int) -> bool:
        asked.append(before)
        return True

    with scene() as at:
        first = at.call()
        second = at.call(3, charge=charge)
        at.queue.wake()
        assert asked == []
        first.back.set()
        until(second.gone.is_set)
        assert asked == [3]


def test_who_waits_for_money_is_overtaken_by_nobody_behind() -> None:
    money = [False]
    with scene(in_flight=4) as at:
        poor = at.call(1, charge=lambda _before: money[0])
        behind = at.call(2)
        before = at.call(0)
        assert before.gone.is_set()
        assert not poor.gone.is_set()
        assert not behind.gone.is_set()
        money[0] = True
        before.back.set()
        until(lambda: poor.gone.is_set() and behind.gone.is_set())


def test_who_has_no_money_at_all_is_told_and_holds_nobody_up() -> None:
    def broke(_before: int) -> bool:
        raise BudgetExhausted("nothing left")

    with scene() as at:
        first = at.call()
        without, other = at.call(charge=broke), at.call(1)
        first.back.set()
        assert isinstance(without.ended.exception(SOON_S), BudgetExhausted)
        until(other.gone.is_set)


def test_a_paused_host_lets_others_pass_and_keeps_its_order() -> None:
    clock = Hand()
    limits = Limits(clock)
    with scene(4, limits, clock) as at:
        limits.pause("slow", 0.05)
        late = [at.call(rank, host="slow") for rank in (2, 1)]
        assert at.call(7, host="fast").gone.is_set()
        assert not any(one.gone.is_set() for one in late)
        clock.now += 0.05
        until(lambda: all(one.gone.is_set() for one in late))


def test_a_pause_ends_by_itself() -> None:
    limits = Limits(time.monotonic)
    queue = Admission(time.monotonic, limits=limits)
    limits.pause("slow", 0.1)
    began = time.monotonic()
    with queue.enter("slow"):
        assert time.monotonic() - began >= 0.1


def test_who_goes_away_hands_the_clock_to_the_next() -> None:
    wanted, limits = [True], Limits(time.monotonic)

    def rank() -> int:
        if not wanted[0]:
            raise Dropped
        return 0

    with scene(2, limits, time.monotonic) as at:  # type: ignore[arg-type]
        limits.pause("slow", 0.3)
        dropped, other = at.call(rank, host="slow"), at.call(1, host="slow")
        wanted[0] = False
        at.queue.wake()
        assert isinstance(dropped.ended.exception(SOON_S), Dropped)
        until(other.gone.is_set)


ONE = Decimal("0.1")


def spending(meter: Meter, queue: Admission, rank: int, cost: Decimal, lost: bool) -> bool:
    """One call at that place; whether it was let go."""
    token = calls_before.set(lambda: rank)
    try:
        with queue.enter("h", 10, lambda before: meter.reserve(ONE, again=False, before=before)):
            time.sleep(0)
            if lost:
                meter.lose(ONE)
            else:
                meter.settle(ONE, Tokens(1, 1), cost)
    except (BudgetExhausted, Stop):
        return False
    finally:
        calls_before.reset(token)
    return True


calls = st.lists(st.tuples(st.integers(0, 3), st.decimals("0", "0.1", places=3), st.booleans()), max_size=12)


@given(calls, st.decimals("0", "1", places=2), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_calls_in_flight_never_overdraw_and_all_are_counted(
    made: list[tuple[int, Decimal, bool]], budget: Decimal, in_flight: int
) -> None:
    meter, queue = Meter(budget), Admission(time.monotonic, in_flight)
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(spending, meter, queue, *call) for call in made]
        until(lambda: all(one.done() for one in answers) or len(queue._waiting) == sum(not a.done() for a in answers))
        assert all(rank > 0 for rank in [one.rank for one in list(queue._waiting)])
        queue.stop(Stop())
        went = [answer.result(SOON_S) for answer in answers]
    paid = sum((ONE if lost else cost for (_, cost, lost), gone in zip(made, went, strict=True) if gone), Decimal(0))
    assert paid <= budget
    assert meter.totals.calls == sum(went)
    assert (meter._reserved, meter._spent) == (0, paid)


def heard(meter: Meter) -> Meter:
    """After one decision, that cost nothing."""
    for _ in range(4):
        meter.reserve(Decimal(0), again=False)
        meter.settle(Decimal(0), None, Decimal(0))
    return meter


def test_speculation_stops_where_the_calls_before_it_might_need_the_money() -> None:
    meter = heard(Meter(Decimal("0.35")))
    assert not meter.reserve(ONE, again=False, before=3)
    assert meter.reserve(ONE, again=False, before=2)
    assert not meter.reserve(ONE, again=False, before=2)
    assert meter.reserve(ONE, again=False, before=1)
    assert meter.reserve(ONE, again=False)
    assert not meter.reserve(ONE, again=False)
    assert meter.totals.calls == 4 + 3
    meter.settle(ONE, None, ONE)
    meter.lose(ONE)
    meter.settle(ONE, None, ONE)
    with pytest.raises(BudgetExhausted, match=r"\$0\.3000 spent"):
        meter.reserve(ONE, again=False)


def test_a_call_ahead_goes_when_its_turn_has_come() -> None:
    meter, rank = Meter(Decimal("0.15")), [2]
    with scene(in_flight=4) as at:
        ahead = at.call(lambda: rank[0], charge=lambda before: meter.reserve(ONE, again=False, before=before))
        assert not ahead.gone.is_set()
        rank[0] = 0
        at.queue.wake()
        until(ahead.gone.is_set)


def test_at_one_host_the_small_do_not_overtake_the_large() -> None:
    clock = Hand()
    limits = Limits(clock, None, 100)
    with scene(4, limits, clock) as at:
        at.call(host="h", request_bytes=200)
        large, small = at.call(1, host="h", request_bytes=300), at.call(2, host="h", request_bytes=4)
        assert at.call(9, host="other", request_bytes=4).gone.is_set()
        assert not large.gone.is_set()
        assert not small.gone.is_set()
        clock.now += 60
        at.queue.wake()
        until(lambda: large.gone.is_set() and small.gone.is_set())


def test_a_stop_may_come_in_the_middle_of_a_look() -> None:
    """As a signal's handler does, in the very thread that looks."""
    stop = Stop()
    with scene() as at:
        stopping: list[int] = []

        def rank() -> int:
            if stopping:
                at.queue.stop(stop)
            return 1

        first = at.call()
        waiting = [at.call(rank), at.call(2)]
        stopping.append(1)
        first.back.set()
        assert [one.ended.exception(SOON_S) for one in waiting] == [stop, stop]
