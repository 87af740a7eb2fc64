"""What was read of one series, so that the next instant costs only what became known since.

It holds for one state of the store, which the number of its last batch names. Rows come from the database as they were
known at an instant, never ahead of it; in memory they are only put after each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from data.model.instants import Interval
from data.model.market import Bar, Fact
from data.store.bars import DROPPED
from data.store.snapshot import Snapshot

# So many askers may be at different instants before one of them reads its bars anew.
KEPT = 128
Bars = tuple[Bar, ...]
Facts = tuple[Fact, ...]
ReadFacts = Callable[[Snapshot, str, datetime], Facts]


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """Facts that are the same at every instant from `begun` until before `ends`."""

    begun: datetime
    ends: datetime
    facts: Facts


class Remembered:
    """The last `lookback` bars and the facts of a series, at the instants it was asked for. Threads may share it."""

    def __init__(self, batch: int, symbol: str, interval: Interval, lookback: int) -> None:
        self.batch = batch
        self._symbol, self._interval, self._lookback = symbol, interval, lookback
        self._lock = Lock()
        self._instants: list[datetime] = []
        self._bars: dict[datetime, Bars] = {}
        self._facts: list[_Unchanged] = []

    def bars(self, snapshot: Snapshot, as_of: datetime) -> Bars:
        """As `bars_as_of`."""
        since, before = self._before(as_of)
        if before is None or since is None or as_of - since > self._interval.length * self._lookback:
            found = snapshot.bars_as_of(self._symbol, self._interval, as_of, self._lookback)
        elif since == as_of:
            return before
        else:
            found = self._continued(snapshot, before, since, as_of)
        self._keep(as_of, found)
        return found

    def facts(self, snapshot: Snapshot, as_of: datetime, read: ReadFacts) -> Facts:
        """What `read` gives of the snapshot, the symbol and the instant."""
        with self._lock:
            for each in self._facts:
                if each.begun <= as_of < each.ends:
                    return each.facts
        begun, ends = snapshot.facts_unchanged(self._symbol, as_of)
        found = _Unchanged(begun, ends, read(snapshot, self._symbol, as_of))
        with self._lock:
            self._facts = [found, *self._facts[: KEPT - 1]]
        return found.facts

    def _continued(self, snapshot: Snapshot, before: Bars, since: datetime, as_of: datetime) -> Bars:
        """A window that was full never reaches back again: only bars from its first on can come into it."""
        first = before[0].open_time if len(before) == self._lookback else None
        new = snapshot.bars_since(self._symbol, self._interval, since, as_of, first)
        if any(DROPPED in bar.flags for bar in new):
            return snapshot.bars_as_of(self._symbol, self._interval, as_of, self._lookback)
        if new and new[0].open_time <= before[-1].open_time:
            by_time = {bar.open_time: bar for bar in (*before, *new)}
            return tuple(by_time[at] for at in sorted(by_time))[-self._lookback :]
        return (*before, *new)[-self._lookback :]

    def _before(self, as_of: datetime) -> tuple[datetime | None, Bars | None]:
        """The last instant up to this one that was asked for, and its bars."""
        with self._lock:
            place = bisect_right(self._instants, as_of)
            if not place:
                return None, None
            since = self._instants[place - 1]
            return since, self._bars[since]

    def _keep(self, as_of: datetime, bars: Bars) -> None:
        if not bars:
            return
        with self._lock:
            if as_of not in self._bars:
                self._instants.insert(bisect_right(self._instants, as_of), as_of)
            self._bars[as_of] = bars
            if len(self._instants) > KEPT:
                del self._bars[self._instants.pop(0)]
