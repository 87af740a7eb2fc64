"""The benchmarks run at a tiny size and say what they measured. How long anything took is not judged here."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import bars_at_size, in_flight, journal_cost, kernel_sets, results, session_cost, step_broker, sweeping
from benchmarks.__main__ import main
from benchmarks.registry import FAMILIES
from benchmarks.rows import Goal, Row, in_turn, percentile
from data.store.store import Store

AROUND = {"machine": "one", "python": "3.11", "date": "2026-01-02T03:04:05Z", "commit": "c" * 40}
ROWS = (
    Row("small", 0.25, "ms", "other", 0.5, Goal(0.3)),
    Row("many", 12_345.0, "records/s", "other", 0.0, Goal(15_000, at_least=True)),
    Row("plain", 2.0, "s", "other", 1.0),
)


def test_every_family_is_measured_and_written_down(
    store: Store,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(journal_cost, "REPLIES", 3)
    monkeypatch.setattr(session_cost, "SESSIONS", 2)
    monkeypatch.setattr(in_flight, "LATENCY_S", 0.01)
    monkeypatch.setattr(in_flight, "SESSIONS_A_DAY", 20)
    monkeypatch.setattr(bars_at_size, "BARS", 3_000)
    monkeypatch.setattr(bars_at_size, "OUT", 1_440)
    monkeypatch.setattr(bars_at_size, "VIEWS", 5)
    monkeypatch.setattr(kernel_sets, "BARS", 2_000)
    monkeypatch.setattr(kernel_sets, "SETS", 3)
    monkeypatch.setattr(step_broker, "BARS", 1_000)
    monkeypatch.setattr(sweeping, "BARS", 2_000)
    monkeypatch.setattr(sweeping, "TASKS", 40)
    output = tmp_path / "results.json"
    assert main(["--days", "1", "--rounds", "1", "--database", database_url, "--output", str(output)]) == 0
    said = capsys.readouterr()
    written = json.loads(output.read_text())
    assert {"machine", "python", "date", "commit", "rows"} == set(written)
    names = [row["name"] for row in written["rows"]]
    assert len(names) == len(set(names)) >= len(FAMILIES)
    assert all(row["value"] > 0 for row in written["rows"])
    for name in names:
        assert name in said.out
    for family in FAMILIES:
        assert family in said.err


def test_a_row_says_whether_its_goal_is_reached() -> None:
    assert [row.reached for row in ROWS] == [True, False, None]
    assert [row.ratio for row in ROWS] == [0.5, None, 2.0]


def test_the_table_goes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"before\n{results.BEGIN}old\n{results.END}after\n")
    assert results.write_into(document, AROUND, ROWS)
    once = document.read_text()
    assert once.startswith(f"before\n{results.BEGIN}")
    assert once.endswith(f"{results.END}after\n")
    assert "| small | 0.25 ms | 0.5 (other) | 0.5 | ≤ 0.3 | yes |\n" in once
    assert "| many | 12,345 records/s | 0 (other) |  | ≥ 15,000 | no |\n" in once
    assert "old" not in once
    assert results.write_into(document, AROUND, ROWS)
    assert document.read_text() == once


def test_a_document_without_marks_stays_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"before\n{results.BEGIN}no end\n")
    assert not results.write_into(document, AROUND, ROWS)
    assert document.read_text() == f"before\n{results.BEGIN}no end\n"


def test_the_table_shows_every_row() -> None:
    console = Console(record=True, width=120, file=StringIO())
    results.show(console, ROWS)
    text = console.export_text()
    assert all(row.name in text for row in ROWS)


def test_rounds_alternate_and_the_first_is_thrown_away() -> None:
    order: list[str] = []
    found = in_turn(
        {"a": lambda: order.append("a") or len(order), "b": lambda: order.append("b") or len(order)}, 2, lambda _: None
    )
    assert "".join(order) == "baabba"
    assert found == {"a": (3, 6), "b": (4, 5)}


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (99, 4.0), (100, 4.0), (1, 1.0)])
def test_percentiles_are_nearest_ranks(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value
