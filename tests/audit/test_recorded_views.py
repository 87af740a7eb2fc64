"""Views put together again from a log: each has the digest that was recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from recordings import Recorder, changed, live

from backtesting.audit.recorded_views import RecordedViews
from data.model.market import MarketView
from data.model.protocols import Record

RUNS = ("rules", "both", "split")


def taken(records: list[Record]) -> list[tuple[Record, MarketView]]:
    views = RecordedViews.of(records[0])
    return [(record, views.take(record)) for record in records if record.kind == "market.view"]


@pytest.mark.parametrize("run", RUNS)
def test_every_view_has_the_recorded_digest(recorder: Recorder, run: str) -> None:
    found = taken(live(getattr(recorder, run)()))
    assert found
    for record, view in found:
        assert view.digest == record.body["digest"]
        assert len(view.bars) == record.body["bars"]


def test_a_split_restates_the_bars_before_it(recorder: Recorder) -> None:
    views = [view for _, view in taken(live(recorder.split()))]
    before, after = views[13], views[14]
    assert (len(before.splits), len(after.splits)) == (0, 1)
    assert before.last.close / after.bars[-2].close == 10
    assert after.facts, "dividends are facts of the view"


def fewer(body: dict[str, Any]) -> None:
    body["new_bars"] = body["new_bars"][5:]


def unknown_fact(body: dict[str, Any]) -> None:
    body["facts"] = ["00" * 32]


def stray_bar(body: dict[str, Any]) -> None:
    body["bars"] -= 1


def extra_key(body: dict[str, Any]) -> None:
    body["new_bars"][0]["note"] = "mine"


def other_symbol(body: dict[str, Any]) -> None:
    body["symbol"] = "DOGEUSDT"


def no_list(body: dict[str, Any]) -> None:
    body["new_bars"] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fewer, "it shows 250 bars, and 245 are recorded"),
        (unknown_fact, "it shows a fact that is not recorded: 0000"),
        (stray_bar, "a bar is recorded with it that it does not show: 2025-03-21T"),
        (extra_key, "a bar is not written as one"),
        (other_symbol, "DOGEUSDT is no instrument of the run"),
        (no_list, "new_bars is no list"),
    ],
)
def test_a_view_that_does_not_come_together_says_why(
    recorder: Recorder, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    records, _ = changed(live(recorder.rules()), "market.view", change)
    with pytest.raises(ValueError, match=message):
        taken(records)


def test_a_changed_row_gives_another_digest(recorder: Recorder) -> None:
    def dearer(body: dict[str, Any]) -> None:
        body["new_bars"][7]["volume"] = "1"

    records, _ = changed(live(recorder.rules()), "market.view", dearer)
    record, view = taken(records)[0]
    assert view.digest != record.body["digest"]
