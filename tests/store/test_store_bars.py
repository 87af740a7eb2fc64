"""Bars: stored once, corrected by new versions, read as they were known."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from made_rows import LONG_AFTER, bar, batch, hour
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar
from data.store import bars as bar_rows
from data.store.database import CONNECTIONS
from data.store.store import Counts, Store, Window

H1 = Interval.H1
DAYS = (date(2025, 4, 1), date(2025, 4, 3))


def count(store: Store, table: str) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM market.{table}")).scalar_one())


def test_an_empty_store_holds_nothing(any_store: Store) -> None:
    assert any_store.windows() == ()
    assert any_store.bars_as_of("MADE", H1, LONG_AFTER, 10) == ()
    assert list(any_store.first_bars("MADE", H1, *DAYS)) == []
    assert any_store.session_counts("MADE", H1, *DAYS) == {}


def test_bars_come_back_exactly_as_they_were_given(any_store: Store) -> None:
    odd = bar(
        0,
        low=Decimal("-37.63"),
        close=Decimal("0.000000012345678901234567890123"),
        volume=Decimal(0),
        flags=("zero_volume", 'a "quoted\\" flag,\t{with}\nall'),
    )
    bars = (odd, bar(1, "1E+9"), bar(3))
    assert any_store.add_bars(batch(), bars) == Counts(3, 3, 0)
    assert any_store.bars_as_of("MADE", H1, LONG_AFTER, 10) == bars
    assert tuple(any_store.first_bars("MADE", H1, *DAYS)) == bars


def test_a_bar_is_not_known_before_its_end(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(n, 100 + n) for n in range(5)])
    assert any_store.bars_as_of("MADE", H1, hour(0.99), 10) == ()
    assert any_store.bars_as_of("MADE", H1, hour(3), 2) == (bar(1, 101), bar(2, 102))
    assert any_store.bars_as_of("MADE", H1, hour(2.999), 9) == (bar(0, 100), bar(1, 101))


def test_the_same_again_changes_nothing(any_store: Store) -> None:
    bars = [bar(n) for n in range(3)]
    any_store.add_bars(batch(), bars)
    same = [replace(each, close=Decimal("100.00"), flags=("noted",)) for each in bars]
    assert any_store.add_bars(batch(digest="f" * 64), same) == Counts(3, 0, 0)
    assert (count(any_store, "bars"), count(any_store, "batches")) == (3, 1)


def test_a_bar_twice_in_a_batch_is_one_bar(any_store: Store) -> None:
    assert any_store.add_bars(batch(), [bar(0), bar(0), bar(1)]) == Counts(3, 2, 0)


def test_a_correction_is_known_from_its_ingest_on(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0), bar(1)])
    corrected = any_store.add_bars(batch(hour(100)), [bar(0), bar(1, 777), bar(2)])
    assert corrected == Counts(3, 1, 1)
    later = replace(bar(1, 777), known_at=hour(100))
    assert any_store.bars_as_of("MADE", H1, hour(99), 9) == (bar(0), bar(1), bar(2))
    assert any_store.bars_as_of("MADE", H1, hour(100), 9) == (bar(0), later, bar(2))
    assert tuple(any_store.first_bars("MADE", H1, *DAYS)) == (bar(0), bar(1), bar(2))
    assert any_store.add_bars(batch(hour(101)), [bar(1, 777)]) == Counts(1, 0, 0)


def test_of_several_corrections_the_last_known_counts(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0)])
    for number, close in enumerate((200, 300, 100)):
        assert any_store.add_bars(batch(hour(100 + number)), [bar(0, close)]) == Counts(1, 0, 1)
    closes = [any_store.bars_as_of("MADE", H1, hour(at), 1)[0].close for at in (99, 100, 101, 102)]
    assert closes == [100, 200, 300, 100]


def test_a_correction_is_never_known_before_what_it_corrects(any_store: Store) -> None:
    any_store.add_bars(batch(hour(0)), [bar(5)])
    any_store.add_bars(batch(hour(0)), [bar(5, 200)])
    assert any_store.bars_as_of("MADE", H1, hour(5.9), 1) == ()
    assert any_store.bars_as_of("MADE", H1, hour(6), 1) == (bar(5, 200),)


def test_a_contradiction_within_a_batch_is_refused_whole(any_store: Store) -> None:
    with pytest.raises(DataError, match=r"two different bars of MADE for 2025-04-01 01:00 UTC"):
        any_store.add_bars(batch(), [bar(0), bar(1, 100), bar(1, 101)])
    assert (count(any_store, "bars"), count(any_store, "batches")) == (0, 0)


def test_a_source_that_fails_midway_leaves_nothing(any_store: Store) -> None:
    def failing() -> Iterator[Bar]:
        yield from (bar(n) for n in range(25_000))
        raise DataError("line 25001: no number")

    with pytest.raises(DataError, match="line 25001"):
        any_store.add_bars(batch(), failing())
    assert (count(any_store, "bars"), count(any_store, "batches")) == (0, 0)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (bar(0, volume=Decimal("NaN")), "finite"),
        (bar(0, high=Decimal("Infinity")), "finite"),
        (bar(0, low=Decimal("-Infinity")), "finite"),
        (bar(0, known_at=hour(0)), "a_bar_is_known_after_it_opens"),
        (bar(0, symbol="NUL\0"), "NUL"),
        (bar(0, symbol="half \ud83d"), "half a character"),
        (bar(0, symbol="long" * 200), "name"),
    ],
)
def test_what_no_bar_can_be_is_refused(any_store: Store, bad: Bar, says: str) -> None:
    with pytest.raises(DataError, match=says) as refused:
        any_store.add_bars(batch(), [bar(1), bad])
    assert len(str(refused.value).splitlines()) == 1
    assert count(any_store, "bars") == 0


@pytest.mark.parametrize("table", ["bars", "facts", "batches"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET synthetic = true"])
def test_nobody_edits_what_is_stored(any_store: Store, table: str, change: str) -> None:
    any_store.add_bars(batch(), [bar(0)])
    with pytest.raises(DBAPIError, match="a correction is a new row"), any_store.engine.begin() as connection:
        connection.execute(text(change.format(f"market.{table}")))
    assert any_store.bars_as_of("MADE", H1, LONG_AFTER, 9) == (bar(0),)


def test_series_are_kept_apart(any_store: Store) -> None:
    other, daily = bar(0, 50, symbol="OTHER"), bar(0, 60, interval=Interval.D1)
    any_store.add_bars(batch(), [bar(0), other, daily])
    assert any_store.bars_as_of("MADE", H1, LONG_AFTER, 9) == (bar(0),)
    assert tuple(any_store.first_bars("OTHER", H1, *DAYS)) == (other,)
    assert any_store.bars_as_of("MADE", Interval.D1, LONG_AFTER, 9) == (daily,)


def test_windows_and_sessions_count_bars_not_versions(any_store: Store) -> None:
    any_store.add_bars(batch(), [*(bar(n) for n in (0, 1, 30, 100)), bar(0, symbol="ANOTHER")])
    any_store.add_bars(batch(), [bar(1, 200)])
    whole = Window("MADE", H1, date(2025, 4, 1), date(2025, 4, 5), 4)
    assert any_store.windows() == (Window("ANOTHER", H1, date(2025, 4, 1), date(2025, 4, 1), 1), whole)
    assert any_store.windows("MADE") == (whole,)
    counts = any_store.session_counts("MADE", H1, date(2025, 4, 1), date(2025, 4, 4))
    assert list(counts.items()) == [(date(2025, 4, 1), 2), (date(2025, 4, 2), 1)]


def test_sessions_go_by_their_date_not_by_utc(any_store: Store) -> None:
    """A future's session of Monday opens on Sunday evening; one east of UTC the evening before."""
    early, late = bar(0, session_on=date(2025, 4, 2)), bar(30, session_on=date(2025, 4, 1))
    any_store.add_bars(batch(), [early, late])
    assert tuple(any_store.first_bars("MADE", H1, date(2025, 4, 2), date(2025, 4, 2))) == (early,)
    assert tuple(any_store.first_bars("MADE", H1, date(2025, 4, 1), date(2025, 4, 1))) == (late,)


def test_the_adjustment_is_that_of_what_was_printed_first(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0)])
    any_store.add_bars(batch(adjustment="split+dividend"), [bar(0, symbol="ADJ"), bar(0, 50)])
    any_store.add_bars(batch(adjustment="dividend"), [bar(1, symbol="ADJ")])
    found = any_store.adjustments(["MADE", "ADJ", "NONE"], H1)
    assert found == {"MADE": "none", "ADJ": "dividend; split+dividend", "NONE": "none"}


def test_many_bars_come_in_at_once(any_store: Store) -> None:
    """More than a chunk of COPY, a page of reading and the threshold of ANALYZE."""
    bars = [bar(n, 100 + n % 7) for n in range(45_001)]
    assert any_store.add_bars(batch(), iter(bars)) == Counts(45_001, 45_001, 0)
    streamed = any_store.first_bars("MADE", H1, date(2025, 4, 1), date(2040, 1, 1))
    assert all(given == got for given, got in zip(bars, streamed, strict=True))


def test_writers_wait_for_each_other(any_store: Store) -> None:
    bars = [bar(n) for n in range(3000)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: any_store.add_bars(batch(), bars), range(4)))
    assert sorted(each.new for each in counts) == [0, 0, 0, 3000]
    assert [each.corrected for each in counts] == [0] * 4


def test_bars_out_of_order_and_given_twice_are_each_stored_once(any_store: Store) -> None:
    """Those in order go straight in; one that falls behind, and all after it, are compared with them."""
    given = [bar(n, 100 + n) for n in (5, 7, 9, 6, 9, 5, 11)]
    assert any_store.add_bars(batch(), given) == Counts(7, 5, 0)
    assert [each.close for each in any_store.bars_as_of("MADE", H1, LONG_AFTER, 9)] == [105, 106, 107, 109, 111]
    assert count(any_store, "batches") == 1


def test_a_gap_is_filled_and_what_lies_behind_it_is_compared(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(n) for n in (0, 3, 4, 6)])
    assert any_store.add_bars(batch(hour(50)), [bar(1), bar(2), bar(3), bar(4, 200), bar(5)]) == Counts(5, 3, 1)
    assert [each.close for each in any_store.bars_as_of("MADE", H1, hour(49), 9)] == [100] * 7
    assert [each.close for each in any_store.bars_as_of("MADE", H1, hour(50), 9)] == [100, 100, 100, 100, 200, 100, 100]


def test_series_may_alternate_in_a_batch(any_store: Store) -> None:
    given = [
        bar(n, 100 + n, symbol=symbol, interval=interval)
        for n in range(3)
        for symbol, interval in (("MADE", H1), ("OTHER", H1), ("MADE", Interval.M30))
    ]
    assert any_store.add_bars(batch(), given) == Counts(9, 9, 0)
    for symbol, interval in (("MADE", H1), ("OTHER", H1), ("MADE", Interval.M30)):
        assert [each.close for each in any_store.bars_as_of(symbol, interval, LONG_AFTER, 9)] == [100, 101, 102]


@pytest.mark.parametrize("order", [(0, 1, 2, 1), (1, 0, 2, 1), (0, 2, 1, 1), (2, 1, 0, 1)])
def test_a_contradiction_is_found_wherever_it_stands(any_store: Store, order: tuple[int, ...]) -> None:
    given = [bar(n, 100 + place) for place, n in enumerate(order)]
    with pytest.raises(DataError, match=r"two different bars of MADE for 2025-04-01 01:00 UTC in one batch"):
        any_store.add_bars(batch(), given)
    assert (count(any_store, "bars"), count(any_store, "batches")) == (0, 0)


@pytest.mark.parametrize("synthetic", [True, False])
def test_every_bar_is_of_its_batch(any_store: Store, synthetic: bool) -> None:
    any_store.add_bars(batch(synthetic=synthetic), [bar(2), bar(3), bar(1)])
    with any_store.engine.connect() as connection:
        marked = text("SELECT synthetic, batch_id = (SELECT max(batch_id) FROM market.batches) FROM market.bars")
        assert [tuple(row) for row in connection.execute(marked)] == [(synthetic, True)] * 3


def test_a_bar_of_no_batch_is_refused(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0)])
    columns = 'symbol, "interval", version, known_at, session_on, open, high, low, close, volume, flags, synthetic'
    copy = f"""
        INSERT INTO market.bars ({columns}, open_time, batch_id)
        SELECT {columns}, open_time - make_interval(hours => 1 + :further), batch_id + :further FROM market.bars
    """
    with any_store.engine.begin() as connection:
        connection.execute(text(copy), {"further": 0})
    with pytest.raises(DBAPIError, match="batch that does not exist"), any_store.engine.begin() as connection:
        connection.execute(text(copy), {"further": 1})


def test_an_instant_without_an_offset_is_refused(any_store: Store) -> None:
    for position in (0, 1):
        given = [bar(0), bar(1)]
        given[position] = replace(given[position], open_time=datetime(2025, 4, 1, 12))  # noqa: DTZ001
        with pytest.raises((TypeError, ValueError), match="naive"):
            any_store.add_bars(batch(), given)
    assert count(any_store, "bars") == 0


def test_fractions_of_a_second_and_other_zones_are_kept(any_store: Store) -> None:
    opened = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    elsewhere = (opened + timedelta(microseconds=7)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    any_store.add_bars(batch(), [bar(0, open_time=opened, known_at=elsewhere)])
    (found,) = any_store.bars_as_of("MADE", H1, LONG_AFTER, 1)
    assert (found.open_time, found.known_at) == (opened, elsewhere)


@pytest.mark.parametrize("page", [1, 2, 3, 4])
def test_pages_leave_no_bar_out_and_give_none_twice(
    any_store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_rows, "PAGE", page)
    any_store.add_bars(batch(), [bar(n, 100 + n) for n in range(3)])
    any_store.add_bars(batch(), [bar(n, 200 + n) for n in range(3)])
    assert list(any_store.first_bars("MADE", H1, *DAYS)) == [bar(n, 100 + n) for n in range(3)]


def test_more_series_are_read_at_once_than_there_are_connections(any_store: Store) -> None:
    names = [f"S{number:02}" for number in range(40)]
    any_store.add_bars(batch(), [bar(n, 100 + n, symbol=name) for name in names for n in range(3)])
    reading = [any_store.first_bars(name, H1, *DAYS) for name in names]
    assert all(len({each.close for each in row}) == 1 for row in zip(*reading, strict=True))
    pool = any_store.engine.pool
    assert isinstance(pool, QueuePool)
    assert (pool.checkedout(), pool.checkedin() <= CONNECTIONS) == (0, True)
