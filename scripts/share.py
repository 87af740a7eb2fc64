"""Packs a finished run for somebody else: `certificate.html`, which checks the run in the reader's browser, beside
`run-<id>.tar.zst`, whose digest it names. The run is verified first; what does not hold is not shared.

python -m scripts.share 20250401-…                          into data/shared/<id>
python -m scripts.share RUN --output elsewhere --json        digests for programs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import ROOT, enter, run_folder

EXIT = "exit codes: 0 good; 1 the run does not hold, nothing was shared; 2 wrong use; 3 the run is incomplete"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _share(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.share",
        description=__doc__,
        epilog=f"example: python -m scripts.share 20250401-093000-btcusdt-1h-5f0c2a\n\n{EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; default data/shared/<id>")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _share(options: argparse.Namespace) -> int:
    folder = run_folder(options.run)

    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from backtesting.core.handing_on import hand_on  # noqa: PLC0415

    made = hand_on(folder, ROOT, options.output)
    print(json.dumps(made.for_programs()) if options.json else "\n".join(made.for_people()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
