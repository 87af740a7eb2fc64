"""Makes the golden run of a release: `python tests/releases/make_release.py VERSION`, on purpose and once.

Four decisions of the built-in rules over real daily bars, with a resume in the middle; the project's public key and the
head lie beside it. It is never made again: later versions must verify it as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASES = Path(__file__).parent
WINDOW = ("--start_date", "2018-07-02", "--end_date", "2018-07-31", "--decide_every", "6")
WORDS = ("--sample", *WINDOW, "--model", "rules")


def python(*words: str, keys: Path) -> str:
    environ = os.environ | {"AGENTRADER_KEYS": str(keys)}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return done.stdout


def main(version: str) -> None:
    target = RELEASES / version
    if target.exists():
        raise SystemExit(f"{target} is there already: a release is never made again")
    with tempfile.TemporaryDirectory() as scratch:
        keys, runs = Path(scratch, "keys"), Path(scratch, "runs")
        job = "backtesting.core.authentic_backtest"
        first = json.loads(python(job, *WORDS, "--output_dir", str(runs), "--json", keys=keys))
        folder = Path(first["run_dir"])
        cut_in_the_middle(folder)
        again = json.loads(python(job, "--resume", str(folder), "--json", keys=keys))
        assert again["result_digest"] == first["result_digest"]
        target.mkdir()
        shutil.copytree(folder, target / folder.name)
        (target / "project.pub").write_text(python("scripts.keys", "export", keys=keys))
        (target / "head").write_text(again["head"] + "\n")


def cut_in_the_middle(folder: Path) -> None:
    """As a power cut leaves it: half a record at the log's end."""
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


if __name__ == "__main__":
    main(sys.argv[1])
