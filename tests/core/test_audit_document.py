"""The check in docs/AUDIT.md works as printed, on a real run, with nothing of this program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import house
import pytest
from main_job import RULES, play

SCRIPT = re.search(r"```python\n(.*?)```", (house.ROOT / "docs" / "AUDIT.md").read_text("utf-8"), re.DOTALL)


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    assert SCRIPT is not None
    command = [sys.executable, "-I", "-c", SCRIPT[1], str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_third_party_can_check_a_run(bitcoin: str, tmp_path: Path) -> None:
    played = play(tmp_path, bitcoin, *RULES, "--mini", "--decide_every", "12")
    said = check(played.folder)
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith(f"head {played.summary['head']}\n")
    for name, old, new in (("log.jsonl", b"BUY", b"SEL"), ("checkpoints", b"agentrader/run", b"agentrader/fun")):
        copy = tmp_path / name
        shutil.copytree(played.folder, copy)
        (copy / name).write_bytes((copy / name).read_bytes().replace(old, new))
        assert check(copy).returncode != 0
