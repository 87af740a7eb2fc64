"""`scripts.runs export`: three formats of the same tables, exact where money is, and every row names its record."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from recordings import Recorder, live

from backtesting.audit.frames import Frame, write_frames
from backtesting.audit.tables import csv_text
from data.journal.reading import read_records
from data.model.errors import DataError
from scripts import runs

TABLES = ("decisions", "opinions", "replies", "fills", "trades", "equity", "positions")
KINDS = {"fills": "fill", "trades": "trade", "equity": "equity", "replies": "agent.reply", "opinions": "opinion"}


def export(folder: Path, output: Path, kind: str) -> None:
    assert runs.main(["export", str(folder), "--format", kind, "--output", str(output)]) == 0


def parquet(output: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(output / f"{name}.parquet").to_pylist()


def plain(value: Any) -> str:
    """As a cell of a CSV file says it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


@pytest.mark.parametrize("name", TABLES)
def test_the_formats_agree(recorder: Recorder, tmp_path: Path, name: str) -> None:
    for kind in ("csv", "parquet", "json"):
        export(recorder.both(), tmp_path, kind)
    rows = parquet(tmp_path, name)
    assert rows
    with (tmp_path / f"{name}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    objects = json.loads((tmp_path / f"{name}.json").read_text())
    shown = [{column: plain(value) for column, value in row.items()} for row in rows]
    assert [{column: plain(value) for column, value in row.items()} for row in objects] == shown
    assert [{column: cell.removeprefix("'") for column, cell in line.items()} for line in lines] == shown


@pytest.mark.parametrize("name", KINDS)
def test_every_record_of_its_kind_is_one_row(recorder: Recorder, tmp_path: Path, name: str) -> None:
    export(recorder.model(), tmp_path, "parquet")
    records = {record.seq: record.body for record in live(recorder.model()) if record.kind == KINDS[name]}
    rows = {row["record"]: row for row in parquet(tmp_path, name)}
    assert rows.keys() == records.keys()
    for seq, row in rows.items():
        for column in row.keys() & records[seq].keys() & {"price", "quantity", "cash", "equity", "profit", "costs"}:
            assert row[column] == Decimal(str(records[seq][column]))
        if name == "replies":
            assert row["text"] == records[seq]["text"]


def test_positions_and_cash_are_the_equity(recorder: Recorder, tmp_path: Path) -> None:
    export(recorder.both(), tmp_path, "parquet")
    held = dict.fromkeys((row["record"] for row in parquet(tmp_path, "equity")), Decimal(0))
    for row in parquet(tmp_path, "positions"):
        held[row["record"]] += row["quantity"] * row["mark"]
    assert any(held.values())
    for row in parquet(tmp_path, "equity"):
        assert row["cash"] + held[row["record"]] == row["equity"]


def test_a_spreadsheet_computes_nothing_of_it(hostile_dir: Path, tmp_path: Path) -> None:
    export(hostile_dir, tmp_path, "csv")
    cells = [cell for path in tmp_path.iterdir() for row in csv.reader(path.open(newline="")) for cell in row]
    assert any("owned" in cell for cell in cells)
    assert [cell for cell in cells if cell[:1] in "=+@|%" and cell] == []
    assert not set("".join(cells)) & set("\x1b\u202e\n")


def test_a_small_loss_is_a_number_in_a_spreadsheet() -> None:
    assert csv_text(("rate", "text"), [(-1e-05, "-1e-05"), (1e22, "-5")]) == "rate,text\n-1e-05,'-1e-05\n1e+22,-5\n"


def test_what_parquet_would_round_is_refused_in_one_line(tmp_path: Path) -> None:
    frame = Frame("replies", ("cost_usd",), ((Decimal("1E-19"),),))
    with pytest.raises(DataError, match="a cost_usd in replies has more digits"):
        write_frames([frame], tmp_path, "parquet")
    (file,) = write_frames([frame], tmp_path, "json")
    assert json.loads(file.read_text()) == [{"cost_usd": "0.0000000000000000001"}]


def test_the_run_itself_is_left_alone(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorder.rules()
    before = sorted(path.name for path in folder.iterdir())
    assert runs.main(["export", str(folder), "--output", str(folder / "tables")]) == 2
    assert "choose another --output" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_run_that_was_cut_off_is_exported_as_far_as_it_went(recorder: Recorder, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    lines = (recorder.rules() / "log.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "log.jsonl").write_bytes(b"".join(lines[:100]))
    (folder / "blobs").symlink_to(recorder.rules() / "blobs")
    export(folder, tmp_path / "out", "parquet")
    said = [record for record in read_records(folder) if record.kind == "agent.reply"]
    assert [row["text"] for row in parquet(tmp_path / "out", "replies")] == [record.body["text"] for record in said]


def test_a_place_that_cannot_be_written_is_one_line(
    recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert runs.main(["export", str(recorder.rules()), "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
