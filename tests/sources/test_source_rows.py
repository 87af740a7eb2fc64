"""Every cell that cannot be read rejects the file, with its line."""

from __future__ import annotations

import gzip
import io
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import HEADER, bar_line, checked, write

from data.model.errors import DataError, UsageError
from data.sources.rows import Row, read_table

GOOD = bar_line("2025-04-01T00:00:00Z")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (bar_line("2025-04-01T01:00:00Z", price="abc"), "open 'abc' is not a number"),
        (bar_line("2025-04-01T01:00:00Z", price="NaN"), "open 'NaN' is not a number"),
        (bar_line("2025-04-01T01:00:00Z", price="inf"), "open 'inf' is not a number"),
        (bar_line("2025-04-01T01:00:00Z", price="1_000"), "open '1_000' is not a number"),
        (bar_line("2025-04-01T01:00:00Z", price="\u0661"), "is not a number"),
        (bar_line("2025-04-01T01:00:00Z", price="1e30"), "too large"),
        (bar_line("2025-04-01T01:00:00Z", price=""), "open is empty"),
        (bar_line("2025-04-01T01:00:00Z", volume="-1"), "volume -1 is negative"),
        (bar_line("2025-04-01T01:00:00"), "has no zone"),
        (bar_line("2025-04-31T01:00:00Z"), "is not a time"),
        (bar_line("9999-12-31T23:30:00Z"), "is a placeholder, and no date"),
        (bar_line("0001-01-01T00:00:00+14:00"), "is a placeholder, and no date"),
        (bar_line("2025-04-01"), "a date alone is no start of a 1h bar"),
        (bar_line("1743469200"), "is not a time"),
        (bar_line("2025-04-01T00:00:00Z", price="101"), "another bar for 2025-04-01 00:00 UTC than in line 2"),
        (bar_line("2025-04-01T00:30:00Z"), "starts 0:30:00 after the bar before"),
        ("2025-04-01T01:00:00Z,1,2", "3 cells under 6 column names"),
        ('2025-04-01T01:00:00Z,"1"x,1,1,1,1', "expected after"),
    ],
)
def test_a_bad_row_rejects_the_file_and_names_its_line(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path, HEADER, GOOD, line, bar_line("2025-04-01T02:00:00Z"))
    with pytest.raises(DataError) as caught:
        checked(path, "BTCUSDT", "1h")
    assert "file.csv, line 3" in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lines_are_counted_through_quoted_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "", "a,b", '"one\ntwo\nthree",1', "", "x,y")
    assert [(row.line, row.cells["b"]) for row in read_table(path).rows()] == [(3, "1"), (7, "y")]


def test_a_file_and_its_gzip_are_one_batch(tmp_path: Path) -> None:
    plain = write(tmp_path, HEADER, GOOD)
    packed = tmp_path / "file.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_table(plain).digest == read_table(packed).digest
    assert [row.cells for row in read_table(plain).rows()] == [row.cells for row in read_table(packed).rows()]


def zipped(**files: str) -> bytes:
    """Equal bytes whatever the time is: the names of tests hold them, and must be those of every process."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@pytest.mark.parametrize("unit", [1_000, 1_000_000])
def test_files_of_binance_are_taken_as_they_are_downloaded(tmp_path: Path, unit: int) -> None:
    hours = [1743465600 + 3600 * number for number in range(3)]
    rows = [f"{at * unit},82550.00,82600,82500,82560,7,{(at + 3600) * unit - 1},5,6,7,8,0" for at in hours]
    path = tmp_path / "BTCUSDT-1h-2025-04-01.zip"
    path.write_bytes(zipped(csv="\n".join(rows) + "\n"))
    found = checked(path, "BTCUSDT", "1h")
    assert [(each.open_time, each.open, each.volume) for each in found.bars] == [
        (datetime.fromtimestamp(at, UTC), Decimal(82550), Decimal(7)) for at in hours
    ]
    assert found.findings == {}


def test_eight_digits_are_a_day(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace("open_time", "date"), bar_line("20250401"), bar_line("20250402"))
    assert [each.session_on.day for each in checked(path, "AAPL", "1d").bars] == [1, 2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no rows"),
        (zipped(a="a,b\n1,2\n", b="a,b\n1,2\n"), "holds 2 files"),
        (zipped(a="a,b\n1,2\n" * 100)[:-30], "damaged zip"),
        (b"a,b\n", "has no rows"),
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b"a,b\n1,\x00\n", "line 2: a NUL"),
        (b"a,A\n1,2\n", "appears twice"),
        (b"2025-04-01T00:00:00Z,100,100.5\n2025-04-01T01:00:00Z,100,101\n", "its first line names no columns"),
        (b"a;b\n1;2\n", "semicolons between the columns; save it with commas"),
        (b"a\tb\n1\t2\n", "tabs between the columns; save it with commas"),
        (gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)[:-30], "damaged gzip"),
        (b"\x1f\x8bnot gzip", "damaged gzip"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(path)


def test_a_missing_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*gone.csv: No such file"):
        read_table(tmp_path / "gone.csv")


def test_headers_are_compared_without_case_blanks_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes("\ufeffDate,Adj Close\r\n2025-01-02,1\r\n".encode())
    assert read_table(path).columns == ("date", "adj_close")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17))
def test_numbers_are_exact(value: Decimal) -> None:
    text = str(value)
    if len(text.partition("E")[2]) <= 3:
        assert Row("f", 1, {"x": text}).number("x") == value


@given(st.text(max_size=12))
def test_any_other_text_is_an_error_and_never_a_crash(text: str) -> None:
    row = Row("f", 1, {"x": text.strip()})
    for read in (row.number, row.day, row.instant, row.instant_or_day):
        with suppress(DataError):
            read("x")
