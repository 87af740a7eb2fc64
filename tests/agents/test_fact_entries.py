"""Published facts as a reader finds them: one entry a series, its change, its age; nothing stale, nothing twice."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import desk
import pytest

from agents.facts import age, fact_entries
from data.model.instants import iso
from data.model.market import EVERY_SYMBOL, Fact, FactKind

BARS = desk.market([100.0])
NOW = BARS[-1].known_at


def entries(*facts: Fact) -> list[dict[str, Any]]:
    return [dict(entry) for entry in fact_entries(desk.view(BARS, facts))]


def fact(kind: FactKind, key: str, days_old: float = 1, **more: Any) -> Fact:
    return desk.fact(kind, key, days_old, now=NOW, **more)


def figure(period: str, value: float, days_old: float, key: str = "NetIncomeLoss") -> Fact:
    return fact(FactKind.FUNDAMENTAL, key, days_old, period=period, value=value, unit="USD")


def test_a_figure_grows_against_the_same_quarter_a_year_before() -> None:
    (entry,) = entries(
        figure("2024-06-30/2024-09-28", 120, 60),
        figure("2023-10-01/2024-09-28", 900, 60),
        figure("2024-03-31/2024-06-29", 110, 150),
        figure("2023-07-02/2023-09-30", 100, 425),
        figure("2022-09-25/2023-09-30", 1000, 425),
    )
    assert entry == {
        "id": "f1",
        "kind": "fundamental",
        "known_at": iso(NOW - timedelta(days=60)),
        "age": "60 days",
        "name": "NetIncomeLoss",
        "value": 120,
        "unit": "USD",
        "period": "2024-06-30/2024-09-28",
        "growth_year": 0.2,
        "earlier": [["2024-03-31/2024-06-29", 110], ["2023-07-02/2023-09-30", 100]],
    }


def test_a_stretch_with_a_year_before_is_preferred_to_one_without() -> None:
    (entry,) = entries(
        figure("2024-06-30/2024-09-28", 120, 60),
        figure("2023-10-01/2024-09-28", 900, 60),
        figure("2022-09-25/2023-09-30", 1000, 425),
    )
    assert (entry["period"], entry["growth_year"]) == ("2023-10-01/2024-09-28", -0.1)


@pytest.mark.parametrize(
    ("before", "growth"),
    [
        (("2023-07-02/2023-09-30", 100), 0.2),
        (("2023-07-02/2023-09-30", 0), None),
        (("2023-07-02/2023-09-30", -100), None),
        (("2022-09-25/2023-09-30", 100), None),
        (("2023-04-02/2023-07-01", 100), None),
        (("2023-09-30", 100), None),
    ],
)
def test_only_like_is_compared_with_like(before: tuple[str, float], growth: float | None) -> None:
    (entry,) = entries(figure("2024-06-30/2024-09-28", 120, 60), figure(*before, 425))
    assert entry.get("growth_year") == growth


def test_a_balance_is_compared_day_with_day() -> None:
    (entry,) = entries(figure("2024-09-28", 330, 60, "Assets"), figure("2023-09-30", 300, 425, "Assets"))
    assert (entry["value"], entry["growth_year"]) == (330, 0.1)


def test_a_fresh_figure_keeps_what_it_is_compared_with_however_old() -> None:
    (entry,) = entries(figure("2022-10-01/2023-09-30", 120, 400), figure("2021-10-01/2022-09-30", 100, 765))
    assert entry["growth_year"] == 0.2


def test_a_period_in_words_is_told_without_growth() -> None:
    (entry,) = entries(figure("2024-Q3", 120, 60), figure("2023-Q3", 100, 425))
    assert entry["period"] == "2024-Q3"


def test_a_series_is_one_entry_with_its_change() -> None:
    values = [
        fact(FactKind.MACRO, "VIX", n, symbol=EVERY_SYMBOL, value=20 - n, period=f"2024-12-{31 - n}") for n in (0, 1, 2)
    ]
    (entry,) = entries(*values)
    assert entry["about"] == "every symbol"
    assert (entry["value"], entry["change"], entry["age"]) == (20, 0.0526, "just now")
    assert entry["earlier"] == [["2024-12-30", 19], ["2024-12-29", 18]]


def test_a_dividend_says_its_ex_date() -> None:
    (entry,) = entries(fact(FactKind.DIVIDEND, "cash", value=0.25, unit="USD", effective_on=date(2025, 2, 7)))
    assert (entry["kind"], entry["value"], entry["ex_date"]) == ("dividend", 0.25, "2025-02-07")


def test_filings_of_a_kind_are_one_entry() -> None:
    (entry,) = entries(
        *(fact(FactKind.ALTERNATIVE, "sec_insider", n, period=str(n), text=f"Form 4 no {n}") for n in (1, 9, 20))
    )
    assert (entry["name"], entry["text"], entry["earlier_ones"]) == (
        "sec_insider",
        "Form 4 no 1",
        ["9 days", "20 days"],
    )


def test_news_is_told_once_and_while_it_is_news() -> None:
    told = entries(
        fact(FactKind.NEWS, "a", 1, text="Apple beats   estimates"),
        fact(FactKind.NEWS, "b", 2, text="apple beats estimates"),
        fact(FactKind.NEWS, "c", 3, text="Something else", source="Reuters"),
        fact(FactKind.NEWS, "d", 40, text="Long ago"),
    )
    assert [entry["text"] for entry in told] == ["Apple beats estimates", "Something else"]
    assert told[1]["source"] == "Reuters"


def test_a_long_text_is_cut_in_sight() -> None:
    (entry,) = entries(fact(FactKind.NEWS, "a", text="word " * 500))
    assert len(entry["text"]) == 320
    assert entry["text"].endswith("…")


def test_a_series_that_ended_long_ago_is_left_out() -> None:
    assert entries(fact(FactKind.MACRO, "VIX", 501, value=20), figure("2020-01-01/2020-03-31", 1, 1500)) == []


def test_ids_count_through_kinds_in_a_fixed_order() -> None:
    told = entries(
        fact(FactKind.NEWS, "a", 0.1, text="News"),
        fact(FactKind.MACRO, "VIX", value=20),
        fact(FactKind.DIVIDEND, "cash", value=1),
        figure("2024-09-28", 1, 60),
    )
    assert [(entry["id"], entry["kind"]) for entry in told] == [
        ("f1", "fundamental"),
        ("f2", "dividend"),
        ("f3", "macro"),
        ("f4", "news"),
    ]


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=59, seconds=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=47.9), "47 hours"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=61), "61 days"),
        (timedelta(days=62), "2 months"),
        (timedelta(days=400), "13 months"),
        (timedelta(days=731), "2 years"),
    ],
)
def test_ages_are_words(since: timedelta, words: str) -> None:
    assert age(since) == words
