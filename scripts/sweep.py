"""Sweeps strategies and agents over parameters, symbols, windows, models and seeds, on this machine or on many.

python -m scripts.sweep sweep.toml                                     on every core of this machine
python -m scripts.sweep sweep.toml --engine ray --address HOST:6379    on a Ray cluster that reaches $DATABASE_URL

Stopped or killed, it goes on with the same command: what is done is in the database and is not done again.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import ROOT, enter
from data.model.errors import UsageError

EXIT = """sweep.example.toml shows every word of a SPEC.

exit codes: 0 good; 2 wrong use or data; 3 stopped, or some tasks failed (the same command goes on with them)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    options = build_parser().parse_args(flags(words))
    options.again = f"python -m scripts.sweep {shlex.join(words)}"
    return enter(lambda: _sweep(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.sweep",
        description=__doc__,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("spec", metavar="SPEC.toml", type=Path, help="what to try; see sweep.example.toml")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="whose cores do the work")
    parser.add_argument("--address", metavar="A", help="the Ray cluster; without it one is started here")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="processes; default one a core")
    parser.add_argument(
        "--claim", type=int, default=200, metavar="N", help="most tasks over arrays that a worker takes at once"
    )
    parser.add_argument("--lease_s", type=float, default=30.0, metavar="S", help="a dead worker's tasks wait so long")
    parser.add_argument(
        "--output_dir", type=Path, default=ROOT / "data/sweeps", metavar="DIR", help="default data/sweeps"
    )
    parser.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else an embedded PostgreSQL")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _sweep(options: argparse.Namespace) -> int:
    if options.address and options.engine != "ray":
        raise UsageError("--address is a Ray cluster's: say --engine ray too")
    if options.jobs == 0 or options.jobs < -1:
        raise UsageError("--jobs must be 1 or more; leave it out for one a core")
    if options.claim < 1 or not options.lease_s > 0:
        raise UsageError("--claim must be 1 or more, --lease_s above zero")
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from scripts.sweep_work import sweep  # noqa: PLC0415

    return sweep(options)


if __name__ == "__main__":
    sys.exit(main())
