"""README shows eleven lines that a first run printed; they stay what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import house
from main_job import play

from data.store.store import Store

DIFFERS_EACH_TIME = ("run ", "calls ", "head ", "report ")


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path, store: Store, database_url: str) -> None:
    played = play(tmp_path, database_url, "--sample", "--model", "rules")
    block = re.search(r"```text\n(run .*?)```", (house.ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block is not None
    shown = block[1].splitlines()
    printed = played.err.splitlines()
    assert len(shown) == 11
    assert [line for line in shown if not line.startswith(DIFFERS_EACH_TIME) and line not in printed] == []
    assert [line for line in shown if not any(line[:16] == other[:16] for other in printed)] == []
