"""Makes a run's renderings again from its log: report, tables, text log.

python -m scripts.report RUN
python -m scripts.report RUN --output elsewhere
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import enter, run_folder
from data.model.errors import UsageError

EXIT = "exit codes: 0 good; 2 wrong use, or a folder that is no run's or cannot be written"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints where the report is; `--json` prints every file's SHA-256. Returns the exit code."""
    parser = Parser(
        prog="python -m scripts.report",
        description=__doc__,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; default the run's own folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    options = parser.parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _report(options.run, options.output, as_json=options.json))


def _report(run: str, output: Path | None, *, as_json: bool) -> int:
    folder = run_folder(run)
    if output is not None and output.resolve() == folder.resolve():
        output = None
    if output is not None and output.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{output} lies in the run's own folder, which stays as it is; choose another --output")

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
