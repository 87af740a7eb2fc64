"""Sessions that talk at the same time leave a log in bar order; what a dropped one was answered is not asked again."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loop import bars

from agents.llm.admission import Dropped
from backtesting.core.podium import Draft, Podium
from data.journal.memory_journal import MemoryJournal
from data.model.canonical import sha256_hex
from data.model.protocols import Record

SOON_S = 10.0


class Clock:
    def now(self) -> datetime:
        return datetime(2025, 4, 1, tzinfo=UTC)


class Nothing:
    def recall(self, _slot: str, _request: bytes) -> tuple[Record, Record] | None:
        return None


@dataclass
class Stage:
    """A podium over a journal in memory; sessions ask through it as the transport does."""

    journal: MemoryJournal = field(default_factory=lambda: MemoryJournal(Clock()))

    def __post_init__(self) -> None:
        self.podium = Podium(self.journal, Nothing())

    @property
    def kinds(self) -> list[str]:
        return [record.kind for record in self.journal.records]

    @property
    def asked(self) -> Counter[tuple[str | None, str]]:
        requests = (record for record in self.journal.records if record.kind == "llm.request")
        return Counter((record.slot, str(record.body["audit.request_sha256"])) for record in requests)

    def begin(self, slot: str, request: bytes) -> Record:
        return self.podium.append("llm.request", {"audit.request_sha256": sha256_hex(request)}, slot=slot)

    def answer(self, asked: Record) -> Record:
        return self.podium.append("llm.response", {"to": asked.seq}, slot=asked.slot, caused_by=(asked.seq,))

    def ask(self, slot: str, request: bytes, wait_s: float = 0.0) -> tuple[Record, Record]:
        if (known := self.podium.recall(slot, request)) is not None:
            return known
        asked = self.begin(slot, request)
        time.sleep(wait_s)
        return asked, self.answer(asked)


def test_the_log_speaks_in_bar_order_whoever_talks_first() -> None:
    stage = Stage()
    first, second = Draft(stage.podium), Draft(stage.podium)
    for name, draft in (("second", second), ("first", first)):
        with stage.podium.drafting(draft):
            stage.podium.append(f"{name}.begin", {})
            stage.ask(f"{name}/chat/a/1", b"?")
            stage.podium.append(f"{name}.end", {})
    exchanges = ["llm.request", "llm.response"] * 2
    assert stage.kinds == exchanges
    first.open()
    assert stage.kinds == [*exchanges, "first.begin", "first.end"]
    second.open()
    assert stage.kinds == [*exchanges, "first.begin", "first.end", "second.begin", "second.end"]


def test_a_session_whose_turn_has_come_writes_at_once() -> None:
    stage = Stage()
    draft = Draft(stage.podium)
    with stage.podium.drafting(draft):
        stage.podium.append("before", {})
        draft.open()
        assert stage.podium.append("after", {}).seq == 1
    assert stage.kinds == ["before", "after"]


def test_a_dropped_session_leaves_nothing_but_exchanges_and_stops_at_its_next_word() -> None:
    stage = Stage()
    draft = Draft(stage.podium)
    with stage.podium.drafting(draft):
        stage.podium.append("market", {})
        stage.ask("p/chat/a/1", b"?")
        asked = stage.begin("p/chat/b/1", b"!")
        draft.drop()
        for word in (lambda: stage.podium.append("reply", {}), lambda: stage.ask("p/chat/c/1", b".")):
            with pytest.raises(Dropped):
                word()
        stage.answer(asked)
    draft.open()
    assert stage.kinds == ["llm.request", "llm.response", "llm.request", "llm.response"]


def test_an_answer_is_left_to_the_next_session_once_and_only_for_the_same_bytes_in_the_same_place() -> None:
    stage = Stage()
    dropped, other = Draft(stage.podium), Draft(stage.podium)
    with stage.podium.drafting(dropped):
        pair = stage.ask("p/chat/a/1", b"?")
    dropped.drop()
    with stage.podium.drafting(other):
        assert stage.podium.recall("p/chat/a/1", b"?") is None, "another decision's answers were given"
    with stage.podium.drafting(dropped.successor()):
        assert stage.podium.recall("p/chat/a/1", b"!") is None
        assert stage.podium.recall("p/chat/b/1", b"?") is None
        assert stage.podium.recall("p/chat/a/1", b"?") == pair
        assert stage.podium.recall("p/chat/a/1", b"?") is None, "an answer was given twice"


def test_attempts_are_given_again_in_the_order_they_were_made() -> None:
    stage = Stage()
    first = Draft(stage.podium)
    with stage.podium.drafting(first):
        pairs = [(asked, stage.answer(asked)) for asked in (stage.begin("p/chat/a/1", b"?") for _ in range(3))]
    first.drop()
    second = first.successor()
    with stage.podium.drafting(second):
        assert stage.podium.recall("p/chat/a/1", b"?") == pairs[0]
    second.drop()
    with stage.podium.drafting(second.successor()):
        assert [stage.podium.recall("p/chat/a/1", b"?") for _ in range(3)] == pairs


def in_a_thread(pool: ThreadPoolExecutor, stage: Stage, draft: Draft, slot: str) -> Future[tuple[Record, Record]]:
    def talk() -> tuple[Record, Record]:
        with stage.podium.drafting(draft):
            return stage.ask(slot, b"?")

    return pool.submit(talk)


def test_an_answer_on_its_way_is_waited_for_and_not_asked_for_beside_it() -> None:
    stage = Stage()
    first = Draft(stage.podium)
    second = first.successor()
    with ThreadPoolExecutor(1) as pool:
        with stage.podium.drafting(first):
            assert stage.podium.recall("p/chat/a/1", b"?") is None
            asked = stage.begin("p/chat/a/1", b"?")
            first.drop()
            waiting = in_a_thread(pool, stage, second, "p/chat/a/1")
            time.sleep(0.02)
            assert not waiting.done()
            answered = stage.answer(asked)
        assert waiting.result(SOON_S) == (asked, answered)
    assert stage.asked.total() == 1


def test_nobody_waits_for_an_answer_that_will_never_come() -> None:
    stage = Stage()
    torn = Draft(stage.podium)
    with ThreadPoolExecutor(1) as pool:
        with stage.podium.drafting(torn):
            assert stage.podium.recall("p/chat/a/1", b"?") is None
            stage.begin("p/chat/a/1", b"?")
            torn.drop()
            waiting = in_a_thread(pool, stage, torn.successor(), "p/chat/a/1")
            time.sleep(0.02)
            assert not waiting.done()
        waiting.result(SOON_S)
    assert stage.asked.total() == 2


def test_a_session_that_waits_for_anothers_answer_can_be_dropped() -> None:
    stage = Stage()
    first = Draft(stage.podium)
    second = first.successor()
    with ThreadPoolExecutor(1) as pool, stage.podium.drafting(first):
        assert stage.podium.recall("p/chat/a/1", b"?") is None
        waiting = in_a_thread(pool, stage, second, "p/chat/a/1")
        time.sleep(0.02)
        second.drop()
        with pytest.raises(Dropped):
            waiting.result(SOON_S)


def test_a_row_of_the_market_stands_in_the_log_once() -> None:
    stage = Stage()
    rows = tuple(bars("A", [1, 2, 3]))
    drafts = [Draft(stage.podium) for _ in range(3)]
    for number, draft in reversed(list(enumerate(drafts, 1))):
        with stage.podium.drafting(draft):
            stage.podium.append("market.view", {"new_bars": rows[:number], "new_facts": ()})
    drafts[2].drop()
    drafts[0].open()
    drafts[1].open()
    assert [len(record.body["new_bars"]) for record in stage.journal.records] == [1, 1]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_through_several_drops_in_a_row_nothing_is_asked_twice(talks: list[list[str]], chance: random.Random) -> None:
    """Each session asks some of three questions, in threads, and is dropped at any moment for the next one."""
    stage = Stage()
    asks_s = [{question: chance.uniform(0, 0.004) for question in "abc"} for _ in talks]
    drops_s = [chance.uniform(0, 0.006) for _ in talks]

    def talk(draft: Draft, number: int) -> list[tuple[Record, Record]]:
        with stage.podium.drafting(draft):
            return [stage.ask(f"p/chat/{q}/1", q.encode(), asks_s[number][q]) for q in talks[number]]

    draft = Draft(stage.podium)
    with ThreadPoolExecutor(len(talks)) as pool:
        for number in range(len(talks)):
            said = pool.submit(talk, draft, number)
            if number < len(talks) - 1:
                threading.Event().wait(drops_s[number])
                draft.drop()
                draft = draft.successor()
        pairs = said.result(SOON_S)
    assert [asked.slot for asked, _ in pairs] == [f"p/chat/{question}/1" for question in talks[-1]]
    assert all(answered.caused_by == (asked.seq,) for asked, answered in pairs)
    assert set(stage.asked.values()) == {1}
    assert Counter(stage.kinds)["llm.response"] == stage.asked.total()
