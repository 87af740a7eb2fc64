"""Longer bars: equal to an independent reckoning, never over a hole, and never ahead of their parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import MADE, bar, batch, fact, hour

from data.model.errors import DataError, UsageError
from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Instrument
from data.sources.calendars import session_close, session_open, session_parts
from data.sources.resample import resample, resample_series
from data.store.store import Store

STOCK = Instrument("STK", AssetClass.EQUITY, "XNYS", "USD", Decimal("0.01"), Decimal(1))
HALF_DAY = date(2024, 11, 29)


class Now:
    """A clock that stands."""

    def __init__(self, at: datetime = datetime(2026, 2, 1, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def hours(count: int, without: set[int] | frozenset[int] = frozenset()) -> list[Bar]:
    return [bar(number, 100 + number % 7) for number in range(count) if number not in without]


def minutes_of(session_on: date) -> list[Bar]:
    opens, closes = session_open("XNYS", session_on), session_close("XNYS", session_on)
    count = (closes - opens) // timedelta(minutes=1)
    first = replace(bar(0, symbol="STK"), interval=Interval.M1, session_on=session_on)
    starts = [opens + timedelta(minutes=number) for number in range(count)]
    return [replace(first, open_time=at, known_at=at + timedelta(minutes=1)) for at in starts]


@given(st.sets(st.integers(0, 71), max_size=6), st.sampled_from([2, 4, 12, 24]))
def test_longer_bars_are_those_of_a_plain_reckoning(without: set[int], size: int) -> None:
    longer = {2: Interval.H2, 4: Interval.H4, 12: Interval.H12, 24: Interval.D1}[size]
    made = resample(hours(72, without), "24/7", Interval.H1, longer).bars
    starts = [start for start in range(0, 72, size) if not without & set(range(start, start + size))]
    closes = {start: [Decimal(100 + number % 7) for number in range(start, start + size)] for start in starts}
    expected = [
        (
            hour(start),
            closes[start][0],
            max(closes[start]) + 1,
            min(closes[start]) - 1,
            closes[start][-1],
            size * Decimal("10.5"),
        )
        for start in starts
    ]
    stamps = [raw.stamp if isinstance(raw.stamp, datetime) else hour(24 * (raw.stamp.day - 1)) for raw in made]
    values = [(raw.open, raw.high, raw.low, raw.close, raw.volume) for raw in made]
    assert [(stamp, *value) for stamp, value in zip(stamps, values, strict=True)] == expected


@given(st.sets(st.integers(0, 47), max_size=5), st.integers(0, 48))
def test_what_comes_later_changes_no_bar_that_was_whole(without: set[int], now: int) -> None:
    bars = hours(48, without)
    known = [each for each in bars if each.known_at <= hour(now)]
    before = resample(known, "24/7", Interval.H1, Interval.H4).bars
    after = resample(bars, "24/7", Interval.H1, Interval.H4).bars
    ended = [raw for raw in after if isinstance(raw.stamp, datetime) and raw.stamp + timedelta(hours=4) <= hour(now)]
    assert list(before) == ended


def test_a_hole_is_counted_and_bridged_only_on_demand() -> None:
    bars = hours(8, {5})
    left_out = resample(bars, "24/7", Interval.H1, Interval.H4)
    kept = resample(bars, "24/7", Interval.H1, Interval.H4, keep_partial=True)
    assert [raw.stamp for raw in left_out.bars] == [hour(0)]
    assert [raw.stamp for raw in kept.bars] == [hour(0), hour(4)]
    assert [(found.code, found.count) for found in left_out.findings] == [("partial", 1)]
    assert "made of what is there" in kept.findings[0].message


def test_on_an_exchange_bars_begin_at_the_open_and_end_at_the_close() -> None:
    made = resample(minutes_of(HALF_DAY), "XNYS", Interval.M1, Interval.H1).bars
    assert [str(raw.stamp)[11:16] for raw in made] == ["14:30", "15:30", "16:30", "17:30"]
    assert [raw.volume for raw in made] == [Decimal(630), Decimal(630), Decimal(630), Decimal(315)]


def test_a_session_is_one_daily_bar_without_what_is_traded_outside_of_it() -> None:
    inside = minutes_of(HALF_DAY)
    early = replace(inside[0], open_time=inside[0].open_time - timedelta(minutes=1), high=Decimal(999))
    made = resample([early, *inside], "XNYS", Interval.M1, Interval.D1)
    assert [(raw.stamp, raw.high, raw.volume) for raw in made.bars] == [(HALF_DAY, Decimal(101), Decimal("2205.0"))]
    assert [(found.code, found.count) for found in made.findings] == [("outside", 1)]


@pytest.mark.parametrize("longer", [Interval.H2, Interval.H4, Interval.D1])
@pytest.mark.parametrize("keep_partial", [True, False])
def test_bars_from_the_full_hour_make_none_that_begin_at_half_past(longer: Interval, keep_partial: bool) -> None:
    opens = session_open("XNYS", HALF_DAY)
    first = replace(bar(0, symbol="STK"), session_on=HALF_DAY)
    starts = [opens + timedelta(minutes=30 + 60 * number) for number in range(3)]
    bars = [replace(first, open_time=at, known_at=at + timedelta(hours=1)) for at in starts]
    found = resample(bars, "XNYS", Interval.H1, longer, keep_partial=keep_partial)
    assert found.bars == ()
    assert [(each.code, each.count) for each in found.findings] == [("off_grid", 3)]


def test_no_part_reaches_over_the_edge_of_a_day() -> None:
    bars = [replace(each, open_time=each.open_time + timedelta(minutes=30)) for each in hours(48)]
    found = resample(bars, "24/7", Interval.H1, Interval.D1, keep_partial=True)
    assert (found.bars, found.findings[0].code) == ((), "off_grid")


def test_a_session_is_known_when_the_last_of_its_parts_is() -> None:
    opens, closes = session_open("XNYS", HALF_DAY), session_close("XNYS", HALF_DAY)
    first = replace(bar(0, symbol="STK"), session_on=HALF_DAY)
    starts = [opens + timedelta(hours=number) for number in range(4)]
    bars = [replace(first, open_time=at, known_at=at + timedelta(hours=1)) for at in starts]
    (from_hours,) = resample(bars, "XNYS", Interval.H1, Interval.D1).bars
    (from_minutes,) = resample(minutes_of(HALF_DAY), "XNYS", Interval.M1, Interval.D1).bars
    assert (from_hours.known_at, from_minutes.known_at) == (closes + timedelta(minutes=30), closes)


def test_the_stored_day_is_known_no_sooner_than_its_last_hour(store: Store) -> None:
    store.put_instrument(STOCK)
    opens = session_open("XNYS", HALF_DAY)
    first = replace(bar(0, symbol="STK"), session_on=HALF_DAY)
    starts = [opens + timedelta(hours=number) for number in range(4)]
    store.add_bars(batch(), [replace(first, open_time=at, known_at=at + timedelta(hours=1)) for at in starts])
    resample_series(store, STOCK, Interval.H1, Interval.D1, clock=Now())
    (day,) = store.bars_as_of("STK", Interval.D1, Now().at, 9)
    assert day.known_at == starts[-1] + timedelta(hours=1)


SESSIONS = [HALF_DAY, date(2024, 3, 8), date(2024, 3, 11), date(2024, 11, 1), date(2024, 11, 5), date(2024, 7, 3)]
NO_LUNCH = date(2024, 12, 24)
"""Half a day in Hong Kong, over before its break."""


def parts_of(calendar: str, session_on: date, interval: Interval) -> Iterator[datetime]:
    """When its bars begin: from the open, and again from the end of the lunch break."""
    for opens, closes in session_parts(calendar, session_on):
        yield from (opens + number * interval.length for number in range(-((opens - closes) // interval.length)))


@pytest.mark.parametrize(
    ("calendar", "session_on", "hours_of_it", "takes"),
    [
        ("XTKS", date(2024, 11, 5), ["00:00", "01:00", "02:00", "03:30", "04:30", "05:30"], 330),
        ("XHKG", date(2024, 11, 5), ["01:30", "02:30", "03:30", "05:00", "06:00", "07:00"], 330),
        ("XHKG", NO_LUNCH, ["01:30", "02:30", "03:30"], 150),
    ],
)
def test_no_bar_reaches_into_the_lunch_break(
    calendar: str, session_on: date, hours_of_it: list[str], takes: int
) -> None:
    minutes = [
        replace(bar(0), interval=Interval.M1, open_time=at, known_at=at + timedelta(minutes=1), session_on=session_on)
        for at in parts_of(calendar, session_on, Interval.M1)
    ]
    assert len(minutes) == takes
    made = resample(minutes, calendar, Interval.M1, Interval.H1)
    assert [str(raw.stamp)[11:16] for raw in made.bars] == hours_of_it
    assert made.findings == ()
    (day,) = resample(minutes, calendar, Interval.M1, Interval.D1).bars
    assert (day.volume, day.known_at) == (takes * minutes[0].volume, session_close(calendar, session_on))
    (lacking,) = resample(minutes[1:], calendar, Interval.M1, Interval.D1).findings
    assert lacking.code == "partial"
    if session_on != NO_LUNCH:
        lunch = replace(minutes[0], open_time=session_parts(calendar, session_on)[0][1])
        assert [each.code for each in resample([*minutes, lunch], calendar, Interval.M1, Interval.D1).findings] == [
            "outside"
        ]


@settings(deadline=None)
@given(st.sampled_from(["XNYS", "CMES", "XTKS", "XHKG"]), st.sampled_from([*SESSIONS, NO_LUNCH]), st.data())
def test_by_way_of_a_middle_length_comes_the_same(calendar: str, session_on: date, data: st.DataObject) -> None:
    """Sessions on either side of a change of the clocks, half days, and lunch breaks."""
    closes = session_close(calendar, session_on)
    prices = data.draw(st.lists(st.integers(1, 999), min_size=8, max_size=8))
    parts = []
    for number, at in enumerate(parts_of(calendar, session_on, Interval.M15)):
        made = bar(0, prices[number % 8], interval=Interval.M15, open_time=at, known_at=at + timedelta(minutes=15))
        parts.append(replace(made, session_on=session_on))
    middle = data.draw(st.sampled_from([Interval.M30, Interval.H1, Interval.H2, Interval.H4]))
    steps = [
        replace(
            parts[0],
            interval=middle,
            open_time=raw.stamp,
            known_at=raw.known_at,
            **{name: getattr(raw, name) for name in ("open", "high", "low", "close", "volume")},
        )
        for raw in resample(parts, calendar, Interval.M15, middle).bars
    ]
    assert all(each.known_at <= closes for each in steps)
    (direct,) = resample(parts, calendar, Interval.M15, Interval.D1).bars
    (by_way,) = resample(steps, calendar, middle, Interval.D1).bars
    assert direct == by_way
    assert (direct.open, direct.close) == (parts[0].open, parts[-1].close)
    assert (direct.high, direct.low) == (max(each.high for each in parts), min(each.low for each in parts))
    assert (direct.volume, direct.known_at) == (sum(each.volume for each in parts), closes)


@pytest.mark.parametrize(("shorter", "longer"), [("1h", "1h"), ("4h", "1h"), ("12h", "30m")])
def test_only_multiples_are_made(shorter: str, longer: str) -> None:
    with pytest.raises(UsageError, match="multiple"):
        resample([], "24/7", Interval(shorter), Interval(longer))


def test_stored_bars_are_known_at_their_end_and_a_second_time_changes_nothing(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(9))
    (report,) = resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert report.rows_new == 2
    assert [each.known_at for each in store.bars_as_of("MADE", Interval.H4, hour(99), 9)] == [hour(4), hour(8)]
    again = resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert sum(each.rows_new + each.rows_corrected for each in again) == 0


def test_a_correction_of_a_part_is_known_from_the_resampling_on(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(4))
    store.add_bars(batch(digest="1" * 64), [bar(2, 500)])
    reports = resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    (first,) = store.bars_as_of("MADE", Interval.H4, hour(5), 9)
    (last,) = store.bars_as_of("MADE", Interval.H4, Now().at, 9)
    assert (first.high, last.high) == (Decimal(104), Decimal(501))
    assert [(each.rows_new, each.rows_corrected) for each in reports] == [(1, 0), (0, 1)]
    again = resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert sum(each.rows_new + each.rows_corrected for each in again) == 0


def test_bars_of_another_source_are_not_written_over(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(4))
    store.add_bars(batch(), [bar(0, interval=Interval.H4, known_at=hour(4))])
    with pytest.raises(UsageError, match="--as_symbol"):
        resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now(), name="MADE4")
    assert [window.symbol for window in store.windows() if window.interval is Interval.H4] == ["MADE", "MADE4"]


def test_a_name_holds_what_one_series_makes(store: Store) -> None:
    other = replace(MADE, symbol="OTHER")
    for each in (MADE, other):
        store.put_instrument(each)
        store.add_bars(batch(digest=each.symbol), [bar(number, symbol=each.symbol) for number in range(4)])
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now(), name="LONG")
    with pytest.raises(UsageError, match="there already, from resample of 1h bars of MADE"):
        resample_series(store, other, Interval.H1, Interval.H4, clock=Now(), name="LONG")


def test_a_dropped_part_takes_its_longer_bar_with_it(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(6))
    store.add_bars(batch(digest="1" * 64), hours(12)[6:])
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    store.drop_batch(store.batches()[1].batch_id, "wrong", Now().at)
    later = Now(Now().at + timedelta(days=1))
    *_, report = resample_series(store, MADE, Interval.H1, Interval.H4, clock=later)
    assert (report.rows_corrected, report.findings[0].code, report.findings[0].count) == (2, "dropped", 2)
    assert [each.open_time for each in store.bars_as_of("MADE", Interval.H4, later.at, 9)] == [hour(0)]
    assert len(store.bars_as_of("MADE", Interval.H4, Now().at, 9)) == 3
    again = resample_series(store, MADE, Interval.H1, Interval.H4, clock=later)
    assert sum(each.rows_new + each.rows_corrected for each in again) == 0


def test_what_was_dropped_before_makes_nothing_that_counts(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(8))
    store.drop_batch(store.batches()[0].batch_id, "wrong", Now().at - timedelta(days=1))
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert store.bars_as_of("MADE", Interval.H4, Now().at, 9) == ()
    assert len(store.bars_as_of("MADE", Interval.H4, Now().at - timedelta(days=2), 9)) == 2
    with pytest.raises(DataError, match="make no whole 4h bar"):
        resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())


def test_a_longer_bar_comes_back_with_its_parts(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(4))
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    store.drop_batch(store.batches()[0].batch_id, "", Now().at)
    times = [Now(Now().at + timedelta(days=number)) for number in range(5)]
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=times[1])
    store.add_bars(batch(times[2].at, digest="2" * 64), hours(4))
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=times[3])
    assert [len(store.bars_as_of("MADE", Interval.H4, each.at, 9)) for each in times] == [1, 0, 0, 1, 1]
    store.drop_batch(store.batches()[-1].batch_id, "", times[4].at)
    assert store.bars_as_of("MADE", Interval.H4, times[4].at, 9) == ()


def test_what_was_dropped_can_be_made_again(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(4))
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    store.drop_batch(store.batches()[-1].batch_id, "", Now().at)
    later = Now(Now().at + timedelta(days=1))
    assert store.bars_as_of("MADE", Interval.H4, later.at, 9) == ()
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=later)
    assert len(store.bars_as_of("MADE", Interval.H4, later.at, 9)) == 1


def test_made_up_bars_stay_made_up(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(synthetic=True), hours(4))
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert store.synthetic_sources(("MADE",), Interval.H4, Now().at) == ("resample of 1h bars of MADE",)


def test_a_made_up_fact_makes_no_bar_made_up(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(4))
    store.add_facts(batch(synthetic=True), [fact(1, symbol="*")])
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
    assert not store.any_synthetic("MADE", Interval.H4)


def test_nothing_whole_is_said(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), hours(3))
    with pytest.raises(DataError, match="make no whole 4h bar"):
        resample_series(store, MADE, Interval.H1, Interval.H4, clock=Now())
