"""Files of a run's folder against its log: each change of a file is named with its first line."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from recordings import Recorder

from backtesting.audit.rendered_files import compare_renderings


@pytest.fixture
def copy(recorder: Recorder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorder.rules(), tmp_path / "copy"))


def test_a_run_that_nobody_touched_has_its_files(copy: Path) -> None:
    assert compare_renderings(copy) == ()


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def link(folder: Path) -> None:
    shutil.move(folder / "trades.csv", folder / "elsewhere")
    (folder / "trades.csv").symlink_to("elsewhere")


def pipe(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    os.mkfifo(folder / "metrics.json")


def longer(folder: Path) -> None:
    with (folder / "spec.json").open("a") as file:
        file.write("more")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (edit("decisions.csv", ",HOLD,", ",BUY,"), "decisions.csv, line 2: recorded 1,BTCUSDT,"),
        (edit("equity.csv", "10000", "10001"), "equity.csv, line 2: recorded 2025-04-01T00:00:00Z"),
        (edit("agent_comms.log", " - INFO - ", " - INFO -  "), "agent_comms.log, line 1: recorded 20"),
        (edit("report.html", "became", "grew to"), "report.html, line "),
        (edit("metrics.json", '"total_return":', '"total_return":9'), "metrics.json, line 1: recorded {"),
        (longer, "spec.json, line 2: recorded more, derived an empty line"),
        (lambda folder: (folder / "equity.csv").write_text(""), "equity.csv, line 1: recorded an empty line, derived "),
        (lambda folder: (folder / "report.html").unlink(), "report.html is missing"),
        (link, "trades.csv is a symbolic link, which is not followed"),
        (pipe, "metrics.json is no regular file"),
    ],
)
def test_a_changed_file_is_named_with_its_first_line(copy: Path, change: Callable[[Path], None], found: str) -> None:
    change(copy)
    (difference,) = compare_renderings(copy)
    assert str(difference).startswith(found)


def test_a_directory_in_place_of_a_file_is_named(copy: Path) -> None:
    (copy / "trades.csv").unlink()
    (copy / "trades.csv").mkdir()
    assert [str(one) for one in compare_renderings(copy)] == ["trades.csv is no regular file"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (edit("log.jsonl", '"trades.csv":"', '"trades.csv":"00'), r"SHA-256 of trades.csv at record \d+: recorded 00"),
        (edit("log.jsonl", '"trades.csv":"', '"../x.csv":"'), r"\.\./x\.csv, named at record \d+, is no rendering"),
    ],
)
def test_a_record_that_names_other_files_is_named(copy: Path, change: Callable[[Path], None], found: str) -> None:
    change(copy)
    lines = "\n".join(str(one) for one in compare_renderings(copy))
    assert re.search(found, lines)


def test_a_log_that_promised_no_files_has_none_to_compare(copy: Path) -> None:
    lines = (copy / "log.jsonl").read_text().splitlines(keepends=True)
    (copy / "log.jsonl").write_text("".join(lines[:-1]))
    (copy / "report.html").unlink()
    assert compare_renderings(copy) == ()
