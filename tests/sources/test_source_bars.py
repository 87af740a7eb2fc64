"""From printed rows to bars: sessions, the instant each is known, what is left out, what is flagged."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import HEADER, NOW, bar_line, checked, utc, write

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Instrument
from data.sources.bars import RawBar, build_series
from data.sources.instruments import instrument_for
from data.sources.quality import inspect

BTC = instrument_for("BTCUSDT")
ONE = Decimal(1)


def hours(count: int) -> list[str]:
    return [bar_line((utc("2025-04-01") + timedelta(hours=n)).isoformat()) for n in range(count)]


def test_an_hourly_bar_is_known_when_its_hour_is_over(tmp_path: Path) -> None:
    bar = checked(write(tmp_path, HEADER, bar_line("2025-04-01T23:00:00Z")), "BTCUSDT", "1h").bars[0]
    assert (bar.open_time, bar.known_at) == (utc("2025-04-01T23:00"), utc("2025-04-02T00:00"))
    assert bar.session_on == date(2025, 4, 1)


@pytest.mark.parametrize("offset", ["2025-04-01T02:00:00+02:00", "2025-03-31T19:00:00-05:00", "2025-04-01T00:00:00Z"])
def test_any_offset_is_the_same_instant(tmp_path: Path, offset: str) -> None:
    bar = checked(write(tmp_path, HEADER, bar_line(offset)), "BTCUSDT", "1h").bars[0]
    assert bar.open_time == utc("2025-04-01")


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-07-03",  # a session's date
        "2024-07-03T13:30:00Z",  # its open
        "2024-07-03T09:30:00-04:00",
        "2024-07-03T00:00:00Z",  # midnight UTC, as many vendors write a date
        "2024-07-03T00:00:00-04:00",  # midnight in New York, as Yahoo does
    ],
)
def test_a_daily_bar_is_one_bar_however_its_day_is_written(tmp_path: Path, stamp: str) -> None:
    found = checked(write(tmp_path, HEADER, bar_line(stamp)), "AAPL", "1d")
    bar = found.bars[0]
    assert bar.session_on == date(2024, 7, 3)
    assert bar.open_time == utc("2024-07-03T13:30")
    assert bar.known_at == utc("2024-07-03T17:00"), "known at the early close, not at the next open"
    assert found.findings == {}


def test_a_local_time_with_a_wrong_zone_is_reported(tmp_path: Path) -> None:
    found = checked(write(tmp_path, HEADER, bar_line("2024-07-02T09:30:00Z")), "AAPL", "1d")
    assert found.findings["bad_zone"].count == 1
    assert found.bars[0].known_at == utc("2024-07-02T20:00")


def test_hours_of_a_local_clock_stamped_as_utc_are_reported(tmp_path: Path) -> None:
    lines = [bar_line(f"2024-07-02T{hour:02}:30:00Z") for hour in range(9, 16)]
    found = checked(write(tmp_path, HEADER, *lines), "AAPL", "1h")
    assert found.findings["off_session"].count == 4
    assert [bar.flags for bar in found.bars][:5] == [("off_session",)] * 4 + [()]


def test_a_session_date_that_contradicts_its_time_rejects(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + ",session_date", bar_line("2024-07-02T13:30:00Z") + ",2024-07-05")
    with pytest.raises(DataError, match=r"line 2: session date 2024-07-05 and open time .* disagree"):
        checked(path, "AAPL", "1d")


def test_a_bar_that_has_not_ended_is_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, *hours(5))
    found = checked(path, "BTCUSDT", "1h", now=utc("2025-04-01T03:59:59"))
    assert len(found.bars) == 3
    assert (found.findings["unfinished"].count, found.findings["unfinished"].severity) == (2, "warning")
    assert len(checked(path, "BTCUSDT", "1h", now=utc("2025-04-01T04:00")).bars) == 4
    with pytest.raises(DataError, match="no bar has ended yet"):
        checked(path, "BTCUSDT", "1h", now=utc("2025-04-01T00:30"))


def test_equal_rows_count_once_and_a_reversed_file_is_sorted(tmp_path: Path) -> None:
    lines = hours(6)
    found = checked(write(tmp_path, HEADER, *reversed(lines), lines[2]), "BTCUSDT", "1h")
    assert [bar.open_time.hour for bar in found.bars] == list(range(6))
    assert found.findings["duplicate"].count == 1
    assert found.findings["out_of_order"].count == 5


@pytest.mark.parametrize(
    ("interval", "symbol", "stamps"),
    [
        ("1h", "BTCUSDT", ["2025-04-01T00:00:00Z", "2025-04-01T04:00:00Z", "2025-04-01T08:00:00Z"]),
        ("1h", "BTCUSDT", ["2025-04-01T00:00:00Z", "2025-04-02T00:00:00Z", "2025-04-03T00:00:00Z"]),
        ("1d", "AAPL", ["2024-07-01", "2024-07-08", "2024-07-15"]),
    ],
)
def test_bars_of_a_longer_interval_are_refused(tmp_path: Path, interval: str, symbol: str, stamps: list[str]) -> None:
    with pytest.raises(DataError, match=f"--interval {interval} is not theirs"):
        checked(write(tmp_path, HEADER, *map(bar_line, stamps)), symbol, interval, "XNYS" if symbol == "AAPL" else None)


@pytest.mark.parametrize(
    ("header", "cells", "says"),
    [
        ("symbol,", "ETHUSDT,", "symbol 'ETHUSDT' is not --symbol BTCUSDT"),
        ("interval,", "4h,", "interval '4h' is not --interval 1h"),
    ],
)
def test_columns_that_disagree_with_the_flags_reject(tmp_path: Path, header: str, cells: str, says: str) -> None:
    path = write(tmp_path, header + HEADER, cells + bar_line("2025-04-01T00:00:00Z"))
    with pytest.raises(DataError, match=f"file.csv, line 2: {says}"):
        checked(path, "BTCUSDT", "1h")


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "when,open,high,low,price", "2025-04-01T00:00:00Z,1,1,1,1")
    with pytest.raises(
        DataError, match=r"no column for close, volume, a time \(open_time\); its columns are when, open"
    ):
        checked(path, "BTCUSDT", "1h")


def test_one_file_has_one_adjustment(tmp_path: Path) -> None:
    lines = [bar_line("2024-07-01") + ",none", bar_line("2024-07-02") + ",split"]
    with pytest.raises(DataError, match="line 3: adjustment 'split' differs from 'none'"):
        checked(write(tmp_path, HEADER + ",adjustment", *lines), "AAPL", "1d")


def test_a_file_with_adjusted_closes_has_prices_restated_for_splits(tmp_path: Path) -> None:
    found = checked(write(tmp_path, "Date,Open,High,Low,Close,Adj Close,Volume", "2024-07-01,1,1,1,1,0.9,5"), "A", "1d")
    assert found.adjustment.startswith("split")


def test_a_perpetuals_bars_are_marked_as_such(tmp_path: Path) -> None:
    found = checked(write(tmp_path, HEADER, *hours(3)), "BTCUSDT.P", "1h")
    assert found.instrument.asset_class is AssetClass.PERPETUAL


def raw(stamp: str, opened: str, high: str, low: str, close: str, volume: str = "1") -> RawBar:
    return RawBar("here", utc(stamp), *map(Decimal, (opened, high, low, close, volume)))


@pytest.mark.parametrize(
    ("bar", "flags"),
    [
        (raw("2025-04-01", "10", "12", "9", "11"), ()),
        (raw("2025-04-01", "10", "10", "10", "10"), ()),
        (raw("2025-04-01", "10", "12", "9", "13"), ("ohlc",)),
        (raw("2025-04-01", "10", "12", "10.5", "11"), ("ohlc",)),
        (raw("2025-04-01", "10", "9", "12", "10"), ("ohlc",)),
        (raw("2025-04-01", "10", "12", "9", "11", "0"), ("zero_volume",)),
        (raw("2025-04-01", "10", "12", "-40", "-37"), ("non_positive_price",)),
        (raw("2025-04-01", "0", "0", "0", "0", "0"), ("zero_volume", "non_positive_price")),
    ],
)
def test_what_is_odd_but_real_is_kept_and_flagged(bar: RawBar, flags: tuple[str, ...]) -> None:
    bars, findings = flagged([bar], BTC)
    assert bars[0].flags == flags
    assert {finding.code for finding in findings} == set(flags)
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (bar.open, bar.high, bar.low, bar.close)


def flagged(raws: list[RawBar], instrument: Instrument) -> tuple[tuple[Bar, ...], list[object]]:
    series = build_series("test", raws, instrument, Interval.H1, NOW)
    bars, findings = inspect(series.bars, instrument, Interval.H1)
    return bars, [*series.findings, *findings]


@given(absent=st.sets(st.integers(1, 58)))
def test_every_missing_hour_is_counted(absent: set[int]) -> None:
    raws = [raw((utc("2025-04-01") + timedelta(hours=n)).isoformat()[:19], "1", "1", "1", "1") for n in range(60)]
    kept = [each for n, each in enumerate(raws) if n not in absent]
    _, findings = flagged(kept, BTC)
    counts = {finding.code: finding.count for finding in findings}  # type: ignore[attr-defined]
    assert counts == ({"gap": len(absent)} if absent else {})


@given(st.permutations(range(8)))
def test_the_order_of_rows_changes_no_bar(order: list[int]) -> None:
    raws = [raw((utc("2025-04-01") + timedelta(hours=n)).isoformat()[:19], "1", "2", "1", f"1.{n}") for n in range(8)]
    shuffled = build_series("test", [raws[n] for n in order], BTC, Interval.H1, NOW)
    assert shuffled.bars == build_series("test", raws, BTC, Interval.H1, NOW).bars


def test_missing_sessions_are_counted_by_the_calendar(tmp_path: Path) -> None:
    # Friday the 5th is absent; the 4th is a holiday and the 6th and 7th a weekend.
    lines = [bar_line(day) for day in ("2024-07-02", "2024-07-03", "2024-07-08", "2024-07-09")]
    found = checked(write(tmp_path, HEADER, *lines), "AAPL", "1d")
    assert (found.findings["gap"].count, found.findings["gap"].examples) == (1, ("2024-07-05",))


def test_a_bar_on_a_holiday_is_kept_flagged_and_known_at_the_end_of_its_day(tmp_path: Path) -> None:
    found = checked(write(tmp_path, HEADER, bar_line("2024-07-03"), bar_line("2024-07-04")), "AAPL", "1d")
    assert found.bars[1].flags == ("off_calendar",)
    assert found.bars[1].known_at == utc("2024-07-05T04:00")


def test_a_bar_between_the_steps_of_the_others_is_no_end_of_a_gap_unseen(tmp_path: Path) -> None:
    stamps = ("2025-04-01T00:00:00Z", "2025-04-01T01:00:00Z", "2025-04-01T02:30:00Z")
    found = checked(write(tmp_path, HEADER, *map(bar_line, stamps)), "BTCUSDT", "1h").findings["gap"]
    assert (found.count, found.examples) == (1, ("2025-04-01 02:00 UTC to 2025-04-01 02:30 UTC",))
