"""The command: what it prints, how it ends, and that nobody waits for its help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import house
import pytest
from rich.console import Console
from rich.status import Status
from source_files import HEADER, bar_line, write

from data import door
from data.command_line import flags
from data.store.store import Store
from scripts import ingest
from scripts.ingest_report import Watched

WINDOW = "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv"


@pytest.fixture(autouse=True)
def _own_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)


def test_json_is_one_object_alone_on_standard_output(
    store: Store, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ingest.main(["csv", str(shared_data / WINDOW), "--symbol", "BTCUSDT", "--interval", "1h", "--json"])
    printed = capsys.readouterr()
    (report,) = json.loads(printed.out)["reports"]
    assert code == 0
    assert printed.out.count("\n") == 1
    assert (report["symbol"], report["rows_new"], report["first"]) == ("BTCUSDT", 1104, "2025-03-01T00:00:00Z")
    assert "BTCUSDT: 1,104 rows read" in printed.err
    assert sum(window.bars for window in store.windows()) == 1_104


def test_people_read_what_was_odd(store: Store, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_data / "futures_daily/CL=F_1d.csv.gz"
    assert ingest.main(["csv", str(path), "--symbol", "CL=F", "--interval", "1d"]) == 0
    printed = capsys.readouterr()
    words = " ".join(printed.out.split())
    assert printed.err == ""
    assert "warning 7 bars whose high and low do not bracket open and close" in words
    assert "warning 2 bars with a price of zero or less" in words
    assert store.instrument("CL=F") is not None


def test_several_files_and_patterns_come_in_at_once(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for symbol, day in (("AAA", 1), ("AAA", 2), ("BBB", 1)):
        file = write(tmp_path, HEADER, bar_line(f"2025-04-0{day}T00:00:00Z"), bar_line(f"2025-04-0{day}T01:00:00Z"))
        file.rename(tmp_path / f"{symbol}-1h-2025-04-0{day}.csv")
    words = [str(tmp_path / "AAA-*.csv"), str(tmp_path / "BBB-1h-2025-04-01.csv"), str(tmp_path / "*-04-01.csv")]
    assert ingest.main(["csv", *words, "--json"]) == 0
    printed = capsys.readouterr()
    reports = json.loads(printed.out)["reports"]
    assert [(each["symbol"], each["rows_new"]) for each in reports] == [("AAA", 2), ("AAA", 2), ("BBB", 2)]
    assert [(each.symbol, each.bars) for each in store.windows()] == [("AAA", 4), ("BBB", 2)]
    assert printed.err.count("rows read") == 3


def test_the_files_before_a_bad_one_are_shown_and_stored(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z")).rename(tmp_path / "AAA_1h_1.csv")
    write(tmp_path, HEADER, "nonsense").rename(tmp_path / "AAA_1h_2.csv")
    assert ingest.main(["csv", str(tmp_path / "AAA_1h_?.csv")]) == 2
    printed = capsys.readouterr()
    assert "AAA: 1 row read, 1 new" in printed.out
    assert "AAA_1h_2.csv, line 2" in printed.err
    assert [window.bars for window in store.windows()] == [1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["csv", "*.nothing"], "there is no file *.nothing"),
        (["csv", "a**b"], "a**b names no file: "),
        (["csv", "x" * 5_000], "x names no file: File name too long"),
        (["csv", ""], "there is no file ''"),
        (["csv", "FILE"], "does not begin like BTCUSDT_1h"),
        (["csv", "FILE", "--symbol", "BTCUSDT"], "does not begin like BTCUSDT_1h"),
        (["csv", "gone.csv", "--symbol", "BTCUSDT", "--interval", "1h"], "there is no file gone.csv"),
        (["csv", "FILE", "--symbol", "BTCUSDT", "--interval", "7h"], "unknown interval '7h'; use one of 1m, 5m"),
        (["csv", "FILE", "--symbol", "*", "--interval", "1h"], "--symbol '*' is no symbol"),
        (
            ["csv", "FILE", "--symbol", "ETHUSDT", "--interval", "1h"],
            "line 2: symbol 'BTCUSDT' is not --symbol ETHUSDT",
        ),
        (["csv", "FILE", "--symbol", "BTCUSDT", "--interval", "1h", "--market", "MOON"], "unknown market 'MOON'"),
        (["facts", "FILE"], "are no known layout of facts"),
        (["facts", "."], ". is a folder; name the files in it: './*.csv'"),
        (
            ["binance", "--symbol", "X", "--interval", "1h", "--start", "2025-04-02", "--end", "2025-04-01"],
            "lies before",
        ),
        (["binance", "--symbol", "X", "--interval", "1h", "--start", "April", "--end", "2025-04-01"], "is not a date"),
        (
            ["yahoo", "--symbol", "X", "--interval", "4h", "--start", "2025-04-01", "--end", "2025-04-01"],
            "Yahoo has no 4h",
        ),
        (["sample", "--database", "postgresql://u:canary@127.0.0.1:1/x"], "127.0.0.1"),
        (["sample", "--database", "mysql://u:canary@host/x"], "postgresql://"),
    ],
)
def test_wrong_use_is_one_line_and_ends_with_2(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    file = write(tmp_path, "symbol," + HEADER, "BTCUSDT," + bar_line("2025-04-01T00:00:00Z"))
    assert ingest.main([str(file) if word == "FILE" else word for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err
    assert "canary" not in printed.err
    assert store.windows() == ()


def test_of_several_files_those_before_a_bad_one_are_stored_and_said(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A", "B", "C"):
        write(
            tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z", price="x" if name == "B" else "1"), name=f"{name}_1h.csv"
        )
    assert ingest.main(["csv", str(tmp_path / "*.csv")]) == 2
    assert "nothing was stored (of 3 files, stored: 1, not read: 1)" in capsys.readouterr().err
    assert [each.symbol for each in store.windows()] == ["A"]


def test_one_symbol_for_files_of_two_is_refused(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BTCUSDT-1h-2025-04", "BTCUSDT-1h-2025-05", "ETHUSDT-1h-2025-04"):
        write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z"), name=f"{name}.csv")
    assert ingest.main(["csv", str(tmp_path / "*.csv"), "--symbol", "BTCUSDT", "--interval", "1h"]) == 2
    assert "files name BTCUSDT and ETHUSDT" in capsys.readouterr().err
    assert store.windows() == ()
    assert ingest.main(["csv", str(tmp_path / "BTC*.csv"), "--symbol", "BTC", "--interval", "1h"]) == 0


def test_what_a_file_says_cannot_move_the_cursor(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "symbol,date,title,\x1b[2Jcolumn", "A,2025-04-01,x\x1b[31m,1", name="a[red]b.csv")
    assert ingest.main(["facts", str(path)]) == 0
    path.write_text("nothing,\x1b[2J\nat,all\n", "utf-8")
    assert ingest.main(["facts", str(path)]) == 2
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "a[red]b.csv" in printed.out
    assert store.windows() == ()


def test_a_name_that_is_no_utf_8_is_kept_in_letters(tmp_path: Path, store: Store) -> None:
    write(tmp_path, HEADER, bar_line("2025-04-01T00:00:00Z")).rename(os.fsdecode(os.fsencode(tmp_path) + b"/A\xff.csv"))
    assert ingest.main(["csv", str(tmp_path / "A*.csv"), "--symbol", "AAA", "--interval", "1h"]) == 0
    assert [each.source for each in store.batches()] == ["csv A\\udcff.csv"]


def test_flags_are_written_with_hyphens_or_underscores() -> None:
    words = ["--start-date", "2025-04-01", "--end_date=a-b", "-x", "a-b", "--start_date=1"]
    assert flags(words) == ["--start_date", "2025-04-01", "--end_date=a-b", "-x", "a-b", "--start_date=1"]


def test_a_report_has_its_lines_to_itself_while_work_goes_on() -> None:
    told: list[str] = []

    class Shown(Status):
        def start(self) -> None:
            told.append("start")

        def stop(self) -> None:
            told.append("stop")

    with Watched(Shown("storing", console=Console(file=StringIO()))).aside():
        told.append("report")
    assert told == ["stop", "report", "start"]


def test_an_interruption_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise KeyboardInterrupt

    assert door.enter(work) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_bug_is_not_hidden() -> None:
    def work() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        door.enter(work)


@pytest.mark.parametrize("way", [[], ["csv"], ["facts"], ["sample"], ["binance"], ["yahoo"]])
def test_help_loads_nothing_slow(way: list[str]) -> None:
    program = "import sys, runpy; sys.argv[1:] = sys.argv[1:] + ['--help']\ntry: runpy.run_module('scripts.ingest', "
    program += "run_name='__main__')\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *way], cwd=house.ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert (
        loaded & {"pandas", "numpy", "ccxt", "yfinance", "sqlalchemy", "exchange_calendars", "rich", "pydantic"}
        == set()
    )
    assert "exit codes" in done.stdout
