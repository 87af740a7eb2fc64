"""Makes a run's renderings again from its log: `python -m scripts.report RUN` (its id or its folder)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.door import enter, flags, run_folder
from data.model.errors import UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Prints where the report is; `--json` prints every file's SHA-256. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.report", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; default the run's own folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    options = parser.parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _report(options.run, options.output, as_json=options.json))


def _report(run: str, output: Path | None, *, as_json: bool) -> int:
    folder = run_folder(run)

    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from backtesting.audit.renderings import write_renderings  # noqa: PLC0415

    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        digests = write_renderings(folder, output)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from None
    target = output or folder
    print(json.dumps({"run_dir": str(target), "files": digests}) if as_json else target / "report.html")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
