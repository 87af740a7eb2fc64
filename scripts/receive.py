"""Takes in a packed run on standard input, as scripts/fetch_run.sh brings it home. It checks names alone.

ssh HOST 'bash agentrader/scripts/rented.sh pack RUN' | python -m scripts.receive RUN --to results
python -m scripts.verify results/RUN
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import ROOT, enter

EXIT = "exit codes: 0 good; 2 wrong use, or what arrived is no packed run"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _receive(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.receive",
        description=__doc__,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="the run's id; nothing else is taken in")
    parser.add_argument("--to", type=Path, default=ROOT / "results", metavar="DIR", help="default results")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _receive(options: argparse.Namespace) -> int:
    from backtesting.audit.arrival import receive  # noqa: PLC0415

    folder = receive(sys.stdin.buffer, options.run, options.to)
    print(json.dumps({"run": options.run, "folder": str(folder)}) if options.json else folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
