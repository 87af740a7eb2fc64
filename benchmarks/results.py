"""What was measured, for people as a table, for programs as JSON, and between two marks in README."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row
from data.door import ROOT
from data.model.instants import iso

BEGIN, END = "<!-- benchmarks -->\n", "<!-- /benchmarks -->\n"
_YES = {True: "yes", False: "no", None: ""}


def surroundings(now: datetime) -> dict[str, str]:
    """On what, with what and when it was measured."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "date": iso(now.replace(microsecond=0)),
        "commit": _commit(),
    }


def show(console: Console, rows: Sequence[Row]) -> None:
    """The table."""
    table = Table()
    for heading in ("what", "value", "reference", "ratio", "to reach", "reached"):
        named = heading == "what"
        table.add_column(heading, justify="left" if named else "right", no_wrap=named)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)


def save(path: Path, around: Mapping[str, str], rows: Sequence[Row]) -> None:
    """The same as JSON."""
    whole = {**around, "rows": [_json(row) for row in rows]}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_into(document: Path, around: Mapping[str, str], rows: Sequence[Row]) -> bool:
    """Replaces what stands between the two marks; the value is False for a document that does not have them."""
    text = document.read_text("utf-8")
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        return False
    document.write_text(f"{before}{BEGIN}{_markdown(around, rows)}{END}{after}", "utf-8")
    return True


def _markdown(around: Mapping[str, str], rows: Sequence[Row]) -> str:
    day, commit = around["date"][:10], around["commit"][:12]
    head = f"{around['machine']}; Python {around['python']}; {day}, commit `{commit}`; medians.\n\n"
    titles = "| what | value | reference | ratio | to reach | reached |\n|---|---|---|---|---|---|\n"
    return head + titles + "".join("| " + " | ".join(_cells(row)) + " |\n" for row in rows)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{number(row.value)} {row.unit}",
        f"{number(row.reference)} ({row.against})",
        "" if row.ratio is None else number(row.ratio),
        "" if row.to_reach is None else str(row.to_reach),
        _YES[row.reached],
    )


def _json(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "value": row.value,
        "unit": row.unit,
        "reference": {"name": row.against, "value": row.reference},
        "ratio": row.ratio,
        "to_reach": None if row.to_reach is None else str(row.to_reach),
        "reached": row.reached,
    }


def number(value: float) -> str:
    """Three digits that count; thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """`unknown` outside a git checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()
