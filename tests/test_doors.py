"""What every command does alike: with a reader who leaves, a poor terminal, a full disk, a misspelt word or run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import house
import pytest

from backtesting.core import authentic_backtest
from data.command_line import Parser
from data.door import run_folder
from data.model.errors import UsageError
from scripts import report, runs, verify

ENDLESS = "[print(number) for number in range(10**7)]"
TABLE = "[sheet.print('x' * 90) for sheet in [__import__('scripts.sheet').sheet.Sheet()] for _ in range(10**5)]"


def speaking(work: str) -> list[str]:
    return [sys.executable, "-c", f"from data.door import enter\nraise SystemExit(enter(lambda: 0 if {work} else 0))"]


@pytest.mark.parametrize("work", [ENDLESS, TABLE])
def test_a_reader_may_leave_before_the_end(work: str) -> None:
    with subprocess.Popen(
        speaking(work), cwd=house.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(60) == 141


def test_any_other_broken_pipe_is_a_bug_and_crashes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from data.door import enter\ndef work(): raise BrokenPipeError\nenter(work)"],
        cwd=house.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def test_a_terminal_without_a_letter_for_it_gets_it_spelled_out() -> None:
    poor = {**os.environ, "PYTHONIOENCODING": "ascii"}
    said = subprocess.run(
        speaking("print('RE\u2026DERIVED \xb7')"), cwd=house.ROOT, env=poor, capture_output=True, text=True, check=True
    )
    assert said.stdout == "RE\\u2026DERIVED \\xb7\n"
    help_words = [sys.executable, "-m", "scripts.replay", "--help"]
    told = subprocess.run(help_words, cwd=house.ROOT, env=poor, capture_output=True, text=True, check=True)
    assert "20250401-\\u2026" in told.stdout


def test_a_full_disk_under_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            speaking("print('x')"), cwd=house.ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "error: no space is left for what this writes; make room, then say it again\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    "main",
    [
        lambda name: verify.main([name]),
        lambda name: runs.main(["show", name]),
        lambda name: runs.main(["list", "--runs", name]),
        lambda name: report.main([name]),
        lambda name: authentic_backtest.main(["--resume", name]),
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(
    main: Callable[[str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("9" * 5000) == 2
    assert capsys.readouterr().err == f"error: a name is too long for a file: it begins with {'9' * 40}\n"


@pytest.mark.parametrize("gone", ["a reader", "room on the disk"])
@pytest.mark.parametrize(("ends", "code"), [("return 3", 3), ("raise UsageError('x')", 2)])
def test_whether_standard_error_is_read_changes_nothing(gone: str, ends: str, code: int) -> None:
    reading, pipe = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    work = f"""
from rich.console import Console
from data.door import enter
from data.model.errors import UsageError
from scripts import report, runs, verify
def work():
    console = Console(stderr=True)
    console.print("one")
    console.print("two")
    print("result")
    {ends}
raise SystemExit(enter(work))
"""
    done = subprocess.run(
        [sys.executable, "-c", work],
        cwd=house.ROOT,
        stdout=subprocess.PIPE,
        stderr=pipe if gone == "a reader" else full,
        check=False,
    )
    os.close(pipe)
    os.close(full)
    assert (done.stdout, done.returncode) == (b"result\n", code)


def test_a_command_without_any_output_works() -> None:
    work = "import sys; print('x'); print('x', file=sys.stderr); sys.stdout.flush()"
    words = speaking(f"exec({work!r})")
    assert subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words], cwd=house.ROOT, check=False).returncode == 0
    words = speaking("__import__('json').dump({}, __import__('sys').stdout)")
    assert subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], cwd=house.ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("20261121-1500", "perhaps 20261121-150046-BTCUSDT-1h-657352$"),
        ("2026", r"perhaps 20261121-150046-BTCUSDT-1h-657352 \(1 more have it in their id\)$"),
        ("20261121-145954-BTCUDST-1h-ab5480", "perhaps 20261121-145954-BTCUSDT-1h-ab5480$"),
        ("nothing", "python -m scripts.runs list shows what there is$"),
        (__file__, "it is a file: name the folder that it is in$"),
    ],
)
def test_a_run_that_is_not_there_is_answered_with_the_likeliest(tmp_path: Path, said: str, hint: str) -> None:
    for run in ("20261121-145954-BTCUSDT-1h-ab5480", "20261121-150046-BTCUSDT-1h-657352"):
        (tmp_path / run).mkdir()
    with pytest.raises(UsageError, match=hint):
        run_folder(said, tmp_path)


def test_a_misspelt_flag_of_a_word_is_told_the_one_it_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="python -m scripts.data")
    parser.add_subparsers(dest="way").add_parser("gaps").add_argument("--symbol")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["gaps", "--symbl=X"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean --symbol?" in line
    assert line.endswith("(python -m scripts.data --help shows what there is)")
