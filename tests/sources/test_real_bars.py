"""The traps that really are in the shared bars, each met by its rule."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from source_files import checked, utc


def test_the_long_hourly_file_has_88_missing_hours_in_25_gaps(shared_data: Path) -> None:
    found = checked(shared_data / "crypto_spot/BTCUSDT_1h.csv.gz", "BTCUSDT", "1h")
    assert (len(found.bars), found.instrument.calendar) == (63_952, "24/7")
    assert (found.bars[0].open_time, found.bars[-1].open_time) == (utc("2018-02-09T16:00"), utc("2025-05-31T23:00"))
    gap, still = found.findings.pop("gap"), found.findings.pop("zero_volume")
    assert (gap.count, gap.message) == (88, "1h bars are missing, in 25 gaps")
    assert gap.examples[0] == "2018-06-26 02:00 UTC to 2018-06-26 12:00 UTC"
    assert still.count == 3
    assert found.findings == {}


def test_the_demonstration_window_is_clean_and_exact(shared_data: Path) -> None:
    found = checked(shared_data / "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv", "BTCUSDT", "1h")
    bars = {bar.open_time: bar for bar in found.bars}
    first_of_april = [bar for bar in found.bars if bar.session_on == date(2025, 4, 1)]
    assert found.findings == {}
    assert len(found.bars) == 1_104
    assert (first_of_april[0].open, first_of_april[-1].close) == (Decimal("82550.00"), Decimal("85158.34"))
    assert min(bar.low for bar in found.bars if bar.session_on == date(2025, 4, 7)) == Decimal("74508.00")
    jump = bars[utc("2025-04-09T17:00")]
    assert (jump.open, jump.close, jump.known_at) == (Decimal("78267.69"), Decimal("82202.16"), utc("2025-04-09T18:00"))


def test_crude_settled_below_zero_and_is_kept_as_it_was(shared_data: Path) -> None:
    found = checked(shared_data / "futures_daily/CL=F_1d.csv.gz", "CL=F", "1d")
    day = next(bar for bar in found.bars if bar.session_on == date(2020, 4, 20))
    assert (found.instrument.calendar, len(found.bars)) == ("CMES", 6_115)
    assert (day.close, day.flags) == (Decimal("-37.63000107"), ("non_positive_price",))
    assert (day.open_time, day.known_at) == (utc("2020-04-20T00:00"), utc("2020-04-20T22:00"))
    counts = {code: finding.count for code, finding in found.findings.items()}
    assert counts == {"ohlc": 7, "zero_volume": 7, "non_positive_price": 2, "off_calendar": 1, "gap": 168}


def test_unadjusted_nvidia_shows_its_split(shared_data: Path) -> None:
    found = checked(shared_data / "us_equity_daily/unadjusted/NVDA_1d.csv.gz", "NVDA", "1d")
    split = found.findings["split_like"]
    assert (found.adjustment, split.count, split.examples) == ("none", 1, ("2024-06-10 (10:1)",))
    assert "gap" not in found.findings
    assert found.bars[-1].known_at == utc("2024-12-31T21:00"), "the close, not the open plus a day"


@pytest.mark.parametrize("symbol", ["AAPL", "AMZN", "GOOGL", "META", "MSFT"])
def test_the_other_unadjusted_shares_have_every_session_and_nothing_odd(shared_data: Path, symbol: str) -> None:
    found = checked(shared_data / f"us_equity_daily/unadjusted/{symbol}_1d.csv.gz", symbol, "1d")
    assert set(found.findings) == {"ignored_column"}
    assert len(found.bars) == 594


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("adjusted_yahoo_long/AAPL_1d.csv.gz", "split+dividend (Yahoo auto_adjust)"),
        ("adjusted_yahoo_long/SPY_1d.csv.gz", "split+dividend (Yahoo auto_adjust)"),
        ("adjusted_rebuilt/MSFT_1d.csv.gz", "split+dividend, backward from 2025-05-15 "),
    ],
)
def test_adjusted_levels_are_named(shared_data: Path, path: str, text: str) -> None:
    symbol = path.split("/")[1].split("_", maxsplit=1)[0]
    found = checked(shared_data / "us_equity_daily" / path, symbol, "1d")
    assert found.adjustment.startswith(text)
    assert "split_like" not in found.findings
    assert "gap" not in found.findings
