"""The published facts of a view, laid out for a reader: one entry a series or headline, each with an id to cite.

A series (a company's figure, a macro value, a dividend) is one entry: its newest value, how it changed, and the values
before. Figures are compared with the same stretch of the year before. Left out is what would mislead or only fill the
page: headlines older than a month, series that ended long ago, a headline told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from agents.indicators import rounded
from data.model.canonical import Json
from data.model.instants import iso
from data.model.market import EVERY_SYMBOL, Fact, FactKind, MarketView

Entry = dict[str, Json]

ORDER = (FactKind.FUNDAMENTAL, FactKind.DIVIDEND, FactKind.MACRO, FactKind.ALTERNATIVE, FactKind.NEWS)
FRESH_NEWS = timedelta(days=31)
FRESH = timedelta(days=500)
EARLIER_SHOWN = 4
TEXT_SHOWN = 320
YEAR = timedelta(days=365)
SLACK = timedelta(days=20)  # a fiscal year of 53 weeks, a quarter that ends on the nearest Saturday


def fact_entries(view: MarketView) -> list[Entry]:
    """The entries in a fixed order, ids `f1`, `f2`, … : figures, dividends, series, news; the newest first in each."""
    entries = [entry for kind in ORDER for entry in _of_kind(kind, view)]
    return [{"id": f"f{number}", **entry} for number, entry in enumerate(entries, 1)]


def age(since: timedelta) -> str:
    """How long ago, in words: `just now`, `5 hours`, `3 days`, `4 months`."""
    steps = ((24 * 730, 24 * 365, "year"), (24 * 62, 24 * 30.4375, "month"), (48, 24, "day"), (1, 1, "hour"))
    hours = since / timedelta(hours=1)
    for least, length, unit in steps:
        if hours >= least:
            count = int(hours / length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    minutes = int(hours * 60)
    return "just now" if minutes < 1 else f"{minutes} minute{'s' if minutes > 1 else ''}"


def _of_kind(kind: FactKind, view: MarketView) -> Iterator[Entry]:
    facts = [fact for fact in view.facts if fact.kind is kind]
    if kind is FactKind.NEWS:
        recent = (fact for fact in facts if view.as_of - fact.known_at <= FRESH_NEWS)
        yield from (_text(fact, view.as_of) for fact in _told_once(recent))
        return
    for series in _by_name(facts):
        if view.as_of - series[0].known_at <= FRESH:
            yield _of_series(kind, series, view.as_of)


def _of_series(kind: FactKind, series: list[Fact], as_of: datetime) -> Entry:
    numbers = [fact for fact in series if fact.value is not None]
    if not numbers:
        return {**_text(series[0], as_of), "name": series[0].key, **_before(series[1:], as_of)}
    return _figure(numbers, as_of) if kind is FactKind.FUNDAMENTAL else _value(numbers, as_of)


def _told_once(facts: Iterable[Fact]) -> Iterator[Fact]:
    seen: set[str] = set()
    for fact in facts:
        words = " ".join((fact.text or "").casefold().split())
        if words and words not in seen:
            seen.add(words)
            yield fact


def _by_name(facts: Iterable[Fact]) -> list[list[Fact]]:
    """The facts of each series, newest first as in the view."""
    series: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        series.setdefault((fact.symbol, fact.key), []).append(fact)
    return list(series.values())


def _head(fact: Fact, as_of: datetime) -> Entry:
    about: Entry = {"about": "every symbol"} if fact.symbol == EVERY_SYMBOL else {}
    return {"kind": fact.kind.value, **about, "known_at": iso(fact.known_at), "age": age(as_of - fact.known_at)}


def _text(fact: Fact, as_of: datetime) -> Entry:
    words = " ".join((fact.text or "").split())
    short = words if len(words) <= TEXT_SHOWN else words[: TEXT_SHOWN - 1] + "…"
    return {**_head(fact, as_of), "source": fact.source, "text": short}


def _before(earlier: list[Fact], as_of: datetime) -> Entry:
    return {"earlier_ones": [age(as_of - fact.known_at) for fact in earlier]} if earlier else {}


def _value(series: list[Fact], as_of: datetime) -> Entry:
    """A value of a macro or other series, or a dividend: its change against the one before."""
    series = sorted(series, key=lambda fact: (fact.period, fact.known_at), reverse=True)
    newest, earlier = series[0], series[1 : 1 + EARLIER_SHOWN]
    dividend = {"ex_date": newest.effective_on.isoformat()} if newest.effective_on else {}
    return {
        **_named(newest, as_of),
        **dividend,
        **_rate("change", newest, earlier[0] if earlier else None),
        **_listed(earlier),
    }


def _figure(series: list[Fact], as_of: datetime) -> Entry:
    """A company's figure: of the newest period the stretch that a year before is known of, else the shortest."""
    figures = sorted((_Figure.of(fact) for fact in series), key=lambda figure: figure.order, reverse=True)
    candidates = [figure for figure in figures if figure.end == figures[0].end]
    chosen = next((figure for figure in candidates if figure.year_before(figures)), candidates[0])
    alike = [figure.fact for figure in figures if figure.is_like(chosen) and figure.end < chosen.end]
    return {
        **_named(chosen.fact, as_of),
        **_rate("growth_year", chosen.fact, chosen.year_before(figures)),
        **_listed(alike[:EARLIER_SHOWN]),
    }


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure with its period as dates: a stretch, or a day (no length)."""

    fact: Fact
    end: date
    length: timedelta

    @classmethod
    def of(cls, fact: Fact) -> _Figure:
        try:
            days = [date.fromisoformat(day) for day in fact.period.split("/")]
        except ValueError:  # a period in words, `2024-Q1`: only its publication places it
            days = [fact.known_at.date()]
        return cls(fact, days[-1], days[-1] - days[0])

    @property
    def order(self) -> tuple[date, timedelta]:
        """The newest end comes last, and of equal ends the shortest stretch."""
        return self.end, -self.length

    def is_like(self, other: _Figure) -> bool:
        return abs(self.length - other.length) <= SLACK

    def year_before(self, figures: Iterable[_Figure]) -> Fact | None:
        ends = self.end - YEAR
        return next((one.fact for one in figures if self.is_like(one) and abs(one.end - ends) <= SLACK), None)


def _named(fact: Fact, as_of: datetime) -> Entry:
    assert fact.value is not None
    named: Entry = {"name": fact.key, "value": rounded(float(fact.value), 7), "unit": fact.unit, "period": fact.period}
    return {**_head(fact, as_of), **{key: value for key, value in named.items() if value != ""}}


def _rate(name: str, newest: Fact, base: Fact | None) -> Entry:
    """The relative change; absent from a base that is not positive, where it would have no meaning."""
    if base is None or not base.value or base.value <= 0 or newest.value is None:
        return {}
    return {name: rounded(float(newest.value) / float(base.value) - 1, 3)}


def _listed(earlier: list[Fact]) -> Entry:
    """Newest first, each with its period, or with its publication if it has none."""
    values: list[Json] = [
        [fact.period or iso(fact.known_at), rounded(float(fact.value), 7)] for fact in earlier if fact.value is not None
    ]
    return {"earlier": values} if values else {}
