"""Instants and intervals: the house's only notion of time.

An instant is an aware `datetime` in UTC. A session date is a `date`. Nothing here reads the wall clock.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from data.model.errors import UsageError


class Interval(StrEnum):
    """The length of a bar. The value is how users and files spell it."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H12 = "12h"
    D1 = "1d"

    @property
    def length(self) -> timedelta:
        """Nominal length; a daily bar of an exchange is shorter (its session)."""
        return _LENGTHS[self]

    @property
    def is_daily(self) -> bool:
        return self is Interval.D1

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Raises UsageError that lists the intervals there are."""
        try:
            return cls(text.strip().lower())
        except ValueError:
            known = ", ".join(cls)
            raise UsageError(f"unknown interval {text!r}; use one of {known}") from None


_LENGTHS = {
    Interval.M1: timedelta(minutes=1),
    Interval.M5: timedelta(minutes=5),
    Interval.M15: timedelta(minutes=15),
    Interval.M30: timedelta(minutes=30),
    Interval.H1: timedelta(hours=1),
    Interval.H2: timedelta(hours=2),
    Interval.H4: timedelta(hours=4),
    Interval.H12: timedelta(hours=12),
    Interval.D1: timedelta(days=1),
}


def require_utc(instant: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError for a naive one: a guess of the zone is look-ahead."""
    if instant.tzinfo is None:
        raise ValueError(f"naive instant {instant.isoformat()}: an offset is required")
    return instant.astimezone(UTC)


def iso(instant: datetime) -> str:
    """RFC 3339 in UTC with Z; fractions of a second only where there are any."""
    text = (instant if instant.tzinfo is UTC else require_utc(instant)).isoformat()
    return text.removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant with an offset. Raises ValueError."""
    return require_utc(datetime.fromisoformat(text.strip()))


def show(instant: datetime) -> str:
    """For people: `2025-04-01 00:00 UTC`."""
    return require_utc(instant).strftime("%Y-%m-%d %H:%M UTC")


def parse_day(text: str, flag: str = "date") -> date:
    """A session date `YYYY-MM-DD`. Raises UsageError naming the flag."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{flag} {text!r} is not a date; write it as YYYY-MM-DD") from None
