"""From a file to the store: what is new, what a second time changes, what is refused and leaves nothing."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from source_files import HEADER, NOW, FixedClock, bar_line, utc, write

from data.model.errors import DataError, UsageError
from data.model.instants import Interval
from data.model.market import AssetClass, FactKind, IngestReport
from data.sources import ingest as sources
from data.sources.ingest import ingest_bar_file, ingest_fact_file, ingest_sample, missing_window_command
from data.store.store import Store
from data.view import build_market_view, reach

CLOCK = FixedClock()
HOUR = Interval.H1


def ingest(store: Store, path: Path, symbol: str = "BTCUSDT", interval: str = "1h", **named: object) -> IngestReport:
    return ingest_bar_file(store, path, symbol, Interval(interval), clock=CLOCK, **named)  # type: ignore[arg-type]


def codes(report: IngestReport) -> dict[str, int]:
    return {finding.code: finding.count for finding in report.findings}


def stored(store: Store) -> int:
    return sum(window.bars for window in store.windows())


def digest_from(store: Store, start_on: date) -> str:
    return store.data_digest(("BTCUSDT",), HOUR, reach(start_on, utc("2025-04-11T00:00")))


def test_the_same_file_twice_changes_nothing(store: Store, shared_data: Path) -> None:
    path = shared_data / "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    first, second = ingest(store, path), ingest(store, path)
    march, april = digest_from(store, date(2025, 3, 5)), digest_from(store, date(2025, 4, 1))
    assert (first.rows_read, first.rows_new, first.rows_corrected) == (1_104, 1_104, 0)
    assert (second.rows_read, second.rows_new, second.rows_corrected) == (1_104, 0, 0)
    assert first.batch_digest == second.batch_digest
    ingest(store, shared_data / "crypto_spot/BTCUSDT_1h.csv.gz")
    assert stored(store) == 63_952
    known = store.bars_as_of("BTCUSDT", HOUR, utc("2025-04-01T01:00"), 1)[0]
    assert (known.open, known.close) == (Decimal("82550.00"), Decimal("82651.10"))
    assert digest_from(store, date(2025, 3, 5)) != march
    assert digest_from(store, date(2025, 4, 1)) == april, "years that no view of April shows are no part of it"


def test_the_instrument_is_stored_with_the_first_bars_and_stays(store: Store, tmp_path: Path) -> None:
    ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z")))
    instrument = store.instrument("BTCUSDT")
    assert instrument is not None
    assert (instrument.asset_class, instrument.calendar) == (AssetClass.CRYPTO, "24/7")
    with pytest.raises(UsageError, match="stored with the calendar 24/7, not XNYS"):
        ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T01:00:00Z")), market="XNYS")
    assert stored(store) == 1


def test_a_changed_price_is_a_correction_known_from_its_ingest(store: Store, tmp_path: Path) -> None:
    ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z", "100")))
    report = ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z", "101")))
    assert (report.rows_new, report.rows_corrected) == (0, 1)
    before, after = (store.bars_as_of("BTCUSDT", HOUR, at, 1)[0].close for at in (NOW - timedelta(seconds=1), NOW))
    assert (before, after) == (100, 101)


def test_a_rejected_file_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3"):
        ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z"), bar_line("2025-04-01T01:00:00Z", "x")))
    assert store.windows() == ()
    assert store.instrument("BTCUSDT") is None


def test_of_two_at_once_the_second_does_not_mix_its_levels_in(
    store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = shared_data / "us_equity_daily"
    inspect = sources.inspect

    def meanwhile(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(sources, "inspect", inspect)
        ingest(store, prices / "unadjusted/AAPL_1d.csv.gz", "AAPL", "1d")
        return inspect(*given, **named)

    monkeypatch.setattr(sources, "inspect", meanwhile)
    with pytest.raises(DataError, match="holds bars with 'none'"):
        ingest(store, prices / "adjusted_rebuilt/AAPL_1d.csv.gz", "AAPL", "1d")
    assert store.bars_as_of("AAPL", Interval.D1, NOW, 999)[-1].close == Decimal("250.42")


def test_adjusted_levels_are_named_and_never_mixed_with_others(store: Store, shared_data: Path) -> None:
    prices = shared_data / "us_equity_daily"
    ingest(store, prices / "unadjusted/AAPL_1d.csv.gz", "AAPL", "1d")
    adjusted = prices / "adjusted_rebuilt/AAPL_1d.csv.gz"
    with pytest.raises(DataError, match=r"holds bars with 'none'; .* --symbol AAPL.ADJ --rename AAPL AAPL.ADJ"):
        ingest(store, adjusted, "AAPL", "1d")
    report = ingest(store, adjusted, "AAPL.ADJ", "1d", rename={"AAPL": "AAPL.ADJ"})
    warning = next(finding for finding in report.findings if finding.code == "adjusted")
    assert (warning.severity, warning.count) == ("warning", 594)
    assert "later corporate actions" in warning.message
    assert store.adjustments(("AAPL", "AAPL.ADJ"), Interval.D1)["AAPL"] == "none"
    assert store.adjustments(("AAPL.ADJ",), Interval.D1)["AAPL.ADJ"].startswith("split+dividend")
    assert codes(ingest(store, adjusted, "AAPL.ADJ", "1d", rename={"AAPL": "AAPL.ADJ"}))["adjusted"] == 594


def test_made_up_rows_are_marked(store: Store, tmp_path: Path) -> None:
    report = ingest(store, write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z")), synthetic=True)
    assert codes(report)["synthetic"] == 1
    assert store.synthetic_sources(("BTCUSDT",), HOUR, NOW) == ("csv file.csv",)


def test_facts_twice_change_nothing_and_restatements_are_read_as_of(store: Store, shared_data: Path) -> None:
    path = shared_data / "fundamentals/sec_companyfacts_AAPL.csv.gz"
    first = ingest_fact_file(store, path, clock=CLOCK)
    second = ingest_fact_file(store, path, clock=CLOCK)
    assert (first.rows_read, first.rows_new + first.rows_corrected) == (23_259, 11_930)
    assert (second.rows_new, second.rows_corrected) == (0, 0)
    assert codes(first)["no_bars"] == 1


def test_what_the_sec_accepted_at_half_past_four_is_not_known_at_noon(store: Store, shared_data: Path) -> None:
    ingest(store, shared_data / "us_equity_daily/unadjusted/AAPL_1d.csv.gz", "AAPL", "1d")
    ingest_fact_file(store, shared_data / "fundamentals/sec_submissions_AAPL.csv.gz", clock=CLOCK)
    # The report of 2024-10-31 reads 16:30:41.000Z: taken as UTC it would be known before that day's close at 20:00.
    close = utc("2024-10-31T20:00")
    view = build_market_view(store, "AAPL", Interval.D1, close)
    after = build_market_view(store, "AAPL", Interval.D1, utc("2024-11-01T20:00"))
    assert view.last.known_at == close
    assert max(fact.known_at for fact in view.facts) <= close
    reports = [fact.known_at for fact in after.facts if fact.key == "sec_report"]
    assert any(utc("2024-10-31T20:30") <= at < utc("2024-10-31T21:00") for at in reports)


def test_a_split_fact_restates_the_bars_before_it(store: Store, shared_data: Path, tmp_path: Path) -> None:
    ingest(store, shared_data / "us_equity_daily/unadjusted/NVDA_1d.csv.gz", "NVDA", "1d")
    split = write(tmp_path, "ticker,execution_date,split_from,split_to", "NVDA,2024-06-10,1,10")
    assert ingest_fact_file(store, split, clock=CLOCK).rows_new == 1
    (action,) = store.actions_between("NVDA", date(2024, 6, 1), date(2024, 6, 30))
    assert (action.kind, action.value, action.known_at) == (FactKind.SPLIT, 10, utc("2024-06-10T13:30"))
    before = build_market_view(store, "NVDA", Interval.D1, utc("2024-06-07T20:00"))
    after = build_market_view(store, "NVDA", Interval.D1, utc("2024-06-10T20:00"))
    assert before.last.close == pytest.approx(Decimal("1208.88"))
    assert after.bars[-2].close == pytest.approx(Decimal("120.888"))


def test_a_facts_day_ends_where_its_bars_trade(store: Store, tmp_path: Path) -> None:
    """The stored calendar decides, not the look of the name."""
    ingest(store, write(tmp_path, HEADER, bar_line("2025-04-05T00:00:00Z")), "DOGE")
    events = write(tmp_path, "symbol,date,title", "DOGE,2025-04-05,to the moon", name="events.csv")
    report = ingest_fact_file(store, events, clock=CLOCK)
    assert report.first == utc("2025-04-06")


def test_the_sample_is_real_daily_data_with_two_macro_series(store: Store) -> None:
    reports = ingest_sample(store, clock=CLOCK)
    assert [(report.symbol, report.rows_read, report.rows_new) for report in reports] == [
        ("SP500", 5_031, 5_031),
        ("NASDAQ", 5_031, 5_031),
        ("*", 1_305, 1_259),
        ("*", 8_611, 8_321),
    ]
    assert [codes(report) for report in reports] == [{}, {"zero_volume": 2}, {"no_value": 46}, {"no_value": 290}]
    assert all(report.rows_new == 0 for report in ingest_sample(store, clock=CLOCK))
    close = utc("2018-12-24T18:00")  # an early close
    bar = store.bars_as_of("SP500", Interval.D1, close, 1)[0]
    assert (bar.session_on, bar.close, bar.known_at) == (date(2018, 12, 24), Decimal("2351.100098"), close)


def test_each_macro_series_is_known_at_the_close_of_its_own_market(store: Store) -> None:
    ingest_sample(store, clock=CLOCK)
    macro = {"VIX": utc("2018-07-02T20:15"), "WTI": utc("2018-07-02T22:00")}
    for key, close in macro.items():
        for at, newest in ((close, "2018-07-02"), (close - timedelta(seconds=1), "2018-06-29")):
            facts = store.facts_as_of("SP500", at, per_key={FactKind.MACRO: 1})
            assert [fact.period for fact in facts if fact.key == key] == [newest]


@pytest.mark.parametrize(
    ("symbol", "interval", "command"),
    [
        ("BTCUSDT", "1h", "binance --symbol BTCUSDT --interval 1h --start 2025-04-01 --end 2025-04-10"),
        ("CL=F", "1d", "yahoo --symbol CL=F --interval 1d --start 2025-04-01 --end 2025-04-10"),
        ("^GSPC", "1d", "yahoo --symbol '^GSPC' --interval 1d --start 2025-04-01 --end 2025-04-10"),
        ("BTC-USD", "1d", "yahoo --symbol BTC-USD --interval 1d --start 2025-04-01 --end 2025-04-10"),
        ("AAPL", "4h", "csv FILE --symbol AAPL --interval 4h"),
        ("SP500", "1d", "sample"),
        ("BTCUSDT.P", "1h", "csv FILE --symbol BTCUSDT.P --interval 1h"),
        ("A B", "1d", "yahoo --symbol 'A B' --interval 1d --start 2025-04-01 --end 2025-04-10"),
    ],
)
def test_a_missing_window_names_the_command_that_brings_it(symbol: str, interval: str, command: str) -> None:
    found = missing_window_command(symbol, Interval(interval), date(2025, 4, 1), date(2025, 4, 10))
    assert found == f"python -m scripts.ingest {command}"


def test_bars_between_those_that_are_stored_are_no_bars_of_the_series(store: Store, tmp_path: Path) -> None:
    stamps = {"full": ("13:00", "14:00", "15:00"), "half": ("13:30", "14:30"), "more": ("15:00", "16:00")}
    for name, times in stamps.items():
        lines = [bar_line(f"2025-04-01T{at}:00Z") for at in times]
        path = write(tmp_path, HEADER, *lines, name=f"{name}.csv")
        if name == "half":
            with pytest.raises(DataError, match="begin at 2025-04-01 13:00 UTC and the next at 2025-04-01 13:30 UTC"):
                ingest_bar_file(store, path, "AAPL", Interval.H1, clock=FixedClock())
        else:
            ingest_bar_file(store, path, "AAPL", Interval.H1, clock=FixedClock())
    assert [window.bars for window in store.windows()] == [4]


def test_the_market_that_was_said_is_part_of_that_command() -> None:
    found = missing_window_command("VOD.L", Interval.D1, date(2025, 4, 1), date(2025, 4, 10), "XLON")
    assert found.endswith("yahoo --symbol VOD.L --interval 1d --market XLON --start 2025-04-01 --end 2025-04-10")


def test_a_publication_changed_in_a_later_file_is_no_news_of_the_past(store: Store, tmp_path: Path) -> None:
    """The second filing repeats the first; a later copy of the file tells it differently, and only from then on."""
    header = "symbol,kind,key,known_at,value,period"
    first = ["MADE,fundamental,Assets,2024-01-10T00:00:00Z,100,q", "MADE,fundamental,Assets,2024-04-10T00:00:00Z,100,q"]
    changed = [first[0], first[1].replace(",100,", ",90,")]
    asked = {"per_key": {FactKind.FUNDAMENTAL: 5}, "newest": {}, "keys": {FactKind.FUNDAMENTAL: {"Assets"}}}
    for number, rows in enumerate((first, changed)):
        path = tmp_path / f"{number}.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        ingest_fact_file(store, path, clock=FixedClock())
    (known,) = store.facts_as_of("MADE", utc("2024-06-01T00:00"), **asked)
    assert known.value == 100
