"""A watched method among other people's patches: nobody's patch is lost, nothing is seen twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.communication_log.seam import Seam


class Watcher:
    """Keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @contextmanager
    def __call__(
        self, _instance: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]
    ) -> Iterator[Callable[[Any], None]]:
        try:
            yield lambda result: self.seen.append((args, result))
        except Exception as error:
            self.seen.append((args, error))
            raise


def foreign(owner: type, name: str, calls: list[str]) -> Callable[[], None]:
    """Somebody else's patch, as people write it: keeps what it finds, puts it back when undone."""
    found = getattr(owner, name)

    def theirs(instance: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return found(instance, *args, **kwargs)

    setattr(owner, name, theirs)
    return lambda: setattr(owner, name, found)


def fresh() -> tuple[type, Watcher, Seam]:
    class Parrot:
        def say(self, what: Any) -> Any:
            if isinstance(what, Exception):
                raise what
            return what

        async def a_say(self, what: Any) -> Any:
            await asyncio.sleep(0)
            return self.say(what)

    watcher = Watcher()
    return Parrot, watcher, Seam(Parrot, "say", watcher)


def test_the_very_same_object_comes_back() -> None:
    parrot, watcher, seam = fresh()
    seam.open()
    thing = object()
    assert parrot().say(thing) is thing
    assert parrot().say(what=thing) is thing
    assert watcher.seen == [((thing,), thing), ((), thing)]


def test_the_very_same_exception_comes_out() -> None:
    parrot, watcher, seam = fresh()
    seam.open()
    error = ValueError("as it was")
    with pytest.raises(ValueError, match="as it was") as caught:
        parrot().say(error)
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert watcher.seen == [((error,), error)]


def test_async_is_watched_until_it_is_done() -> None:
    parrot, watcher, _ = fresh()
    seam = Seam(parrot, "a_say", watcher, is_async=True)
    seam.open()
    thing = object()
    assert asyncio.run(parrot().a_say(thing)) is thing
    assert watcher.seen == [((thing,), thing)]
    seam.close()
    assert asyncio.run(parrot().a_say(thing)) is thing
    assert len(watcher.seen) == 1


def test_closing_leaves_the_class_as_it_was() -> None:
    parrot, watcher, seam = fresh()
    before = dict(vars(parrot))
    for _ in range(2):
        seam.open()
        seam.open()
        parrot().say(1)
        seam.close()
        seam.close()
        assert dict(vars(parrot)) == before
    assert len(watcher.seen) == 2


def test_an_inherited_method_is_left_inherited_and_follows_its_parent() -> None:
    parrot, watcher, _ = fresh()
    child = type("Child", (parrot,), {})
    seam = Seam(child, "say", watcher)
    seam.open()
    calls: list[str] = []
    undo = foreign(parrot, "say", calls)
    assert child().say("hello") == "hello"
    assert calls == ["say"]
    undo()
    seam.close()
    assert "say" not in vars(child)
    assert len(watcher.seen) == 1


def test_what_took_the_methods_place_need_not_be_a_function() -> None:
    parrot, watcher, seam = fresh()
    with mock.patch.object(parrot, "say", return_value="mocked"):
        seam.open()
        assert parrot().say("hello") == "mocked"
        seam.close()
    assert parrot().say("hello") == "hello"
    assert watcher.seen == [(("hello",), "mocked")]


@pytest.mark.parametrize("order", list(permutations(["before", "ours", "after"])))
def test_undone_in_any_order_those_who_are_left_still_hear(order: tuple[str, ...]) -> None:
    parrot, watcher, seam = fresh()
    calls: list[str] = []
    undo = {"before": foreign(parrot, "say", calls)}
    seam.open()
    undo |= {"ours": seam.close, "after": foreign(parrot, "say", calls)}
    for number, name in enumerate(order):
        undo[name]()
        heard = len(watcher.seen)
        assert parrot().say(number) == number
        if "ours" in order[: number + 1]:
            assert len(watcher.seen) == heard
    assert parrot().say("done") == "done"


@pytest.mark.parametrize("theirs_first", [True, False])
def test_ours_undone_theirs_stays_whole(theirs_first: bool) -> None:
    parrot, watcher, seam = fresh()
    calls: list[str] = []
    if theirs_first:
        foreign(parrot, "say", calls)
        seam.open()
    else:
        seam.open()
        foreign(parrot, "say", calls)
    parrot().say(1)
    assert (len(calls), len(watcher.seen)) == (1, 1)
    seam.close()
    parrot().say(2)
    assert (len(calls), len(watcher.seen)) == (2, 1)


def test_opened_again_it_hears_again_though_others_built_upon_it() -> None:
    parrot, watcher, seam = fresh()
    calls: list[str] = []
    seam.open()
    undo = foreign(parrot, "say", calls)
    seam.close()
    seam.open()
    parrot().say(1)
    assert (len(calls), len(watcher.seen)) == (1, 1)
    undo()
    seam.open()
    parrot().say(2)
    assert (len(calls), len(watcher.seen)) == (1, 2)


@given(st.lists(st.sampled_from(["open", "close", "patch", "undo"]), max_size=14))
def test_whatever_happened_an_open_seam_hears_each_call_once(steps: list[str]) -> None:
    parrot, watcher, seam = fresh()
    calls: list[str] = []
    undos: list[Callable[[], None]] = []
    for step in steps:
        if step == "open":
            seam.open()
        elif step == "close":
            seam.close()
        elif step == "patch":
            undos.append(foreign(parrot, "say", calls))
        elif undos:
            undos.pop()()
    assert parrot().say("anything") == "anything"
    before, theirs = len(watcher.seen), len(calls)
    seam.open()
    assert parrot().say("once") == "once"
    assert len(watcher.seen) == before + 1
    assert len(calls) - theirs <= steps.count("patch")
    seam.close()
    assert parrot().say("silent") == "silent"
    assert len(watcher.seen) == before + 1
