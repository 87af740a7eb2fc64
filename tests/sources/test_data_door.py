"""The command over the data at hand: what it shows, what it takes out, what it makes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import house
import pytest
from made_rows import MADE, bar, batch, fact, hour

from data.door import UNREAD
from data.model.instants import Interval
from data.store.store import Store
from scripts import data, ingest

WINDOW = "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv"


@pytest.fixture(autouse=True)
def _own_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


@pytest.fixture
def filled(store: Store) -> Store:
    """Ten hourly bars without the fifth and sixth, one corrected, and a fact."""
    store.put_instrument(MADE)
    store.add_bars(batch(), [bar(number) for number in range(10) if number not in (5, 6)])
    store.add_bars(batch(hour(20), digest="1" * 64), [bar(2, 500)])
    store.add_facts(batch(source="\x1b[31mred"), [fact(1)])
    return store


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert data.main(list(words)) == code
    return capsys.readouterr().out


@pytest.mark.usefixtures("filled")
def test_list_names_series_and_batches(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "list", "--json"))
    (series,) = found["series"]
    assert (series["symbol"], series["interval"], series["bars"]) == ("MADE", "1h", 8)
    assert [(each["bars"], each["facts"]) for each in found["batches"]] == [(8, 0), (1, 0), (0, 1)]
    shown = said(capsys, "list")
    assert "MADE" in shown
    assert "\x1b" not in shown


@pytest.mark.usefixtures("store")
def test_an_empty_list_says_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "list").startswith("nothing is here yet; python -m scripts.ingest --help")
    assert said(capsys, "list", "--symbol", "MADE").startswith("nothing of MADE is here yet; ")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("words", [("export", "-"), ("resample", "--into", "1d")])
def test_bars_of_a_length_that_is_not_there_are_not_spoken_of(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.main([*words, "--symbol", "MADE", "--interval", "15m"]) == 2
    assert capsys.readouterr().err.startswith("error: no such series; python -m scripts.data list")


@pytest.mark.usefixtures("filled")
def test_list_as_of_an_instant(capsys: pytest.CaptureFixture[str]) -> None:
    (series,) = json.loads(said(capsys, "list", "--as_of", "2025-04-01T03:00Z", "--json"))["series"]
    assert series["bars"] == 3


@pytest.mark.usefixtures("filled")
def test_gaps_end_with_1_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "gaps", "--symbol", "MADE", code=1)
    assert "MADE 1h: 2 bars missing, in 1 gap\n" in shown
    assert "2025-04-01 05:00 UTC to 2025-04-01 07:00 UTC: 2 bars" in shown


def test_no_gap_is_good(store: Store, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ingest.main(["csv", str(shared_data / WINDOW), "--symbol", "BTCUSDT", "--interval", "1h", "--json"]) == 0
    capsys.readouterr()
    assert "BTCUSDT 1h: no gap" in said(capsys, "gaps")
    assert store.series(hour(9999))[0].bars == 1104


def test_the_long_series_has_the_gaps_its_document_states(
    store: Store, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data / "crypto_spot/BTCUSDT_1h.csv.gz"
    assert ingest.main(["csv", str(path), "--symbol", "BTCUSDT", "--interval", "1h", "--json"]) == 0
    capsys.readouterr()
    (series,) = json.loads(said(capsys, "gaps", "--json", code=1))["series"]
    assert (len(series["gaps"]), sum(gap["missing"] for gap in series["gaps"])) == (25, 88)
    assert len(store.windows()) == 1


def test_missing_sessions_of_an_exchange_are_gaps(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert ingest.main(["sample", "--json"]) == 0
    capsys.readouterr()
    assert "SP500 1d: no gap" in said(capsys, "gaps", "--symbol", "SP500")
    assert store.instrument("SP500") is not None


def test_what_is_exported_comes_in_again_as_it_was(
    filled: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "made.csv.gz"
    said(capsys, "export", str(file), "--symbol", "MADE", "--interval", "1h")
    assert ingest.main(["csv", str(file), "--symbol", "MADE", "--interval", "1h", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert (report["rows_read"], report["rows_new"], report["rows_corrected"]) == (8, 0, 0)
    before = file.read_bytes()
    said(capsys, "export", str(file), "--symbol", "MADE", "--interval", "1h")
    assert file.read_bytes() == before
    assert gzip.decompress(before).startswith(b"open_time,open,high,low,close,volume,session_date,adjustment\n")
    assert len(filled.batches()) == 3


def test_what_was_made_up_stays_so_through_a_file(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(synthetic=True), [bar(number) for number in range(4)])
    file = tmp_path / "made.csv"
    said(capsys, "export", str(file), "--symbol", "MADE", "--interval", "1h")
    assert ingest.main(["csv", str(file), "--symbol", "OTHER", "--interval", "1h", "--market", "24/7"]) == 0
    assert store.synthetic_sources(("OTHER",), Interval.H1, hour(99)) == ("csv made.csv",)


def test_an_export_says_how_it_comes_in_again(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.put_instrument(replace(MADE, symbol="VOD", calendar="XLON"))
    store.add_bars(batch(), [bar(9, symbol="VOD")])
    file = tmp_path / "a b.csv"
    assert data.main(["export", str(file), "--symbol", "VOD", "--interval", "1h"]) == 0
    assert f"scripts.ingest csv '{file}' --symbol VOD --interval 1h --market XLON" in capsys.readouterr().err


def test_who_reads_from_a_pipe_may_stop(store: Store) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), [bar(number) for number in range(5_000)])
    words = [sys.executable, "-m", "scripts.data", "export", "-", "--symbol", "MADE", "--interval", "1h"]
    with subprocess.Popen(words, cwd=house.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("open_time,")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == UNREAD


@pytest.mark.usefixtures("filled")
def test_an_export_writes_into_a_pipe_and_behind_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    words = ("--symbol", "MADE", "--interval", "1h")
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        said(capsys, "export", str(pipe), *words)
        read = reader.communicate(timeout=20)[0]
    said(capsys, "export", str(link), *words)
    assert (pipe.is_fifo(), link.is_symlink()) == (True, True)
    assert file.read_text() == read
    assert read.startswith("open_time,")
    for folder in (str(tmp_path), "/", ""):
        assert data.main(["export", folder, *words]) == 2
        assert "cannot be written: Is a directory" in capsys.readouterr().err


def test_an_export_of_all_leaves_no_bar_out_however_old(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put_instrument(MADE)
    long_ago = datetime(1850, 1, 4, tzinfo=UTC)
    old = bar(0, open_time=long_ago, known_at=long_ago + timedelta(hours=1), session_on=long_ago.date())
    store.add_bars(batch(), [old, bar(0)])
    assert "1850-01-04T00:00:00Z" in said(capsys, "export", "-", "--symbol", "MADE", "--interval", "1h")
    said(capsys, "gaps", "--symbol", "MADE", code=1)


@pytest.mark.usefixtures("filled")
def test_an_export_is_as_it_was_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("export", str(tmp_path / "x.csv"), "--symbol", "MADE", "--interval", "1h")
    said(capsys, *words, "--as-of", "2025-04-01T19:00Z")
    assert "500" not in (tmp_path / "x.csv").read_text()
    said(capsys, *words)
    assert ",500," in (tmp_path / "x.csv").read_text()


def test_resample_by_hand(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "resample", "--symbol", "MADE", "--interval", "1h", "--into", "4h")
    assert "4h bars with holes in them, left out" in " ".join(shown.split())
    assert [each.known_at for each in filled.bars_as_of("MADE", Interval.H4, hour(99), 9)] == [
        hour(0) + timedelta(hours=4)
    ]


def test_dropping_by_hand(filled: Store, capsys: pytest.CaptureFixture[str]) -> None:
    number = filled.batches()[1].batch_id
    shown = said(capsys, "drop-batch", str(number), "--reason", "typing error")
    assert f"dropped batch {number} (made): 0 bars and 0 facts; 1 rows are again what another batch says" in shown
    assert "(dropped 20" in " ".join(said(capsys, "list").split())
    assert [each.close for each in filled.bars_as_of("MADE", Interval.H1, hour(21), 99)][2] == 500
    said(capsys, "drop-batch", str(number), "--reason", "again", code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gaps"], "no such series"),
        (["export", "-", "--symbol", "X", "--interval", "1h"], "no bars of X are here"),
        (
            ["export", "-", "--symbol", "X", "--interval", "1h", "--start", "2025-04-02", "--end", "2025-04-01"],
            "before",
        ),
        (["export", "-", "--symbol", "X", "--interval", "1h", "--json"], "--json and the bars"),
        (["export", "-", "--symbol", "X", "--interval", "1x"], "unknown interval '1x'"),
        (["list", "--as_of", "noon"], "--as_of 'noon' is no instant"),
        (["list", "--as_of", "2025-04-01T00:00"], "is no instant"),
        (["list", "--as_of", "0001-01-01T00:00:00+14:00"], "is no instant"),
        (["drop-batch", "4", "--reason", "x"], "there is no batch 4"),
        (["resample", "--symbol", "X", "--interval", "1h", "--into", "1d"], "no bars of X are here"),
        (["resample", "--symbol", "X", "--interval", "1h", "--into", "1d", "--as_symbol", ""], "'' is no symbol"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_use_is_one_line_and_ends_with_2(capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    assert data.main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
