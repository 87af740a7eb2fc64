"""Who may ask a model next: the queue in front of every attempt of every call of a run.

An attempt goes when a place is free, its host's limits allow it, the budget covers it, and everybody whose turn comes
earlier in the run and who waits for the same has gone: of those that can go, the one with the fewest calls before it,
then the one that came first. Who only waits for another host's limits holds nobody else up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count

from agents.llm.limits import Limits, Taken
from data.model.errors import AgentraderError


def nothing_before() -> int:
    """The rank of the session at the head of the run."""
    return 0


calls_before: ContextVar[Callable[[], int]] = ContextVar("calls_before", default=nothing_before)
"""How many calls of the run come, at most, before this one's turn; 0 for the head's session.

Asked under the queue's lock, so it must not wait for anything; it may answer otherwise later (`wake` says when), and
may raise `Dropped`.
"""


class Dropped(BaseException):
    """A session ahead of the run is not wanted any more; raised by its `calls_before`, it ends its waiting call.

    A BaseException, because the SDK turns anything less into a model's failure.
    """


class Aborted(BaseException):
    """The calls under way were cut short, and no other leaves."""


Charge = Callable[[int], bool]


def _free(_calls_before: int) -> bool:
    return True


@dataclass(eq=False, slots=True)
class _Waiting:
    """An attempt in the queue. `due` is when to look again if nothing happens; None is never."""

    number: int
    host: str
    request_bytes: int
    charge: Charge
    before: Callable[[], int]
    heard: threading.Condition
    rank: int = 0
    due: float | None = None
    taken: Taken | None = None
    error: BaseException | None = None

    @property
    def place(self) -> tuple[int, int]:
        return self.rank, self.number


class Admission:
    """Safe for several threads; `stop` and `wake` also in a signal's handler."""

    def __init__(self, monotonic: Callable[[], float], in_flight: int = 1, limits: Limits | None = None) -> None:
        """At most `in_flight` attempts are under way at a time. `limits` may be shared with other queues."""
        if in_flight < 1:
            raise ValueError("at least one call must be allowed at a time")
        self.limits = limits or Limits(monotonic)
        self._monotonic = monotonic
        self._in_flight = in_flight
        self._under_way = 0
        self._stopped: BaseException | None = None
        self._waiting: list[_Waiting] = []
        self._numbers = count()
        self._lock = threading.RLock()
        self._nap = threading.Condition(self._lock)

    @contextmanager
    def enter(self, host: str = "", request_bytes: int = 0, charge: Charge = _free) -> Iterator[Taken]:
        """Around one attempt: from before it is recorded as asked until its answer is recorded.

        `charge(calls_before)` sets the money aside, once, when nothing else is in the way: False is "not yet", and
        nobody behind it goes first. It may raise AgentraderError. Raises that, what `stop` was given, and Dropped.
        """
        taken = self._wait(host, request_bytes, charge)
        try:
            yield taken
        finally:
            with self._lock:
                self._under_way -= 1
                self._look()

    def stop(self, error: BaseException) -> None:
        """All who wait, and all who come later, raise `error`; a second stop changes nothing."""
        with self._lock:
            self._stopped = self._stopped or error
            self._nap.notify_all()
            for one in list(self._waiting):
                one.heard.notify()

    @property
    def stopped(self) -> BaseException | None:
        """What `stop` was given."""
        return self._stopped

    def wake(self) -> None:
        """The order changed: look again."""
        with self._lock:
            self._look()

    def sleep(self, seconds: float) -> None:
        """Waits outside of the queue, holding nothing. Raises what `stop` was given, at once."""
        with self._lock:
            until = self._monotonic() + seconds
            while (left := until - self._monotonic()) > 0:
                _raise(self._stopped)
                self._nap.wait(left)
            _raise(self._stopped)

    def _wait(self, host: str, request_bytes: int, charge: Charge) -> Taken:
        with self._lock:
            heard = threading.Condition(self._lock)
            one = _Waiting(next(self._numbers), host, request_bytes, charge, calls_before.get(), heard)
            self._waiting.append(one)
            try:
                self._look()
                while one.taken is None:
                    _raise(one.error or self._stopped)
                    left = None if one.due is None else max(0.0, one.due - self._monotonic())
                    if not heard.wait(left):
                        self._look()
            except BaseException:
                self._leave_queue(one)
                raise
            return one.taken

    def _leave_queue(self, one: _Waiting) -> None:
        """Whoever goes away without having gone: who stood behind may go now, and a place given is free again."""
        if one in self._waiting:
            self._waiting.remove(one)
        if one.taken is not None:
            self._under_way -= 1
        self._look()

    def _look(self) -> None:
        """Lets go whoever can, and tells the first one of each host when to look again."""
        held: set[str] = set()
        going = True
        for one in self._in_order():
            due: float | None = None
            going = going and self._stopped is None and self._under_way < self._in_flight
            if going and one.host not in held:
                going, due = self._try(one)
                held.update([one.host] if due is not None else [])
            if one.taken is not None or one.error is not None or due != one.due:
                one.due = due
                one.heard.notify()

    def _in_order(self) -> list[_Waiting]:
        for one in list(self._waiting):
            try:
                one.rank = one.before()
            except Dropped as dropped:
                self._refuse(one, dropped)
                one.heard.notify()
        return sorted(self._waiting, key=lambda one: one.place)

    def _try(self, one: _Waiting) -> tuple[bool, float | None]:
        """Whether those behind may be looked at, and when the host's limits allow it if they do not yet."""
        taken = self.limits.take(one.host, one.request_bytes)
        if not isinstance(taken, Taken):
            return True, taken
        try:
            charged = one.charge(one.rank)
        except AgentraderError as error:
            self.limits.give_back(taken)
            self._refuse(one, error)
            return True, None
        if not charged:
            self.limits.give_back(taken)
            return False, None
        self._waiting.remove(one)
        self._under_way += 1
        one.taken = taken
        return True, None

    def _refuse(self, one: _Waiting, error: BaseException) -> None:
        self._waiting.remove(one)
        one.error = error


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
