"""Makes a run's renderings again from its log: `python -m scripts.report RUN` (its id or its folder)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from backtesting.audit.renderings import write_renderings
from data.model.errors import AgentraderError, UsageError
from data.model.escape import escape_line

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints where the report is; `--json` prints every file's SHA-256. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.report", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    options = parser.parse_args(argv)
    try:
        folder = _folder(options.run)
        digests = write_renderings(folder)
    except AgentraderError as error:
        print(f"error: {escape_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"run_dir": str(folder), "files": digests}))
    else:
        print(folder / "report.html")
    return 0


def _folder(run: str) -> Path:
    for folder in (Path(run), RUNS / run):
        if folder.is_dir():
            return folder
    raise UsageError(f"there is no run {run}: neither a folder nor an id in {RUNS}")


if __name__ == "__main__":
    raise SystemExit(main())
