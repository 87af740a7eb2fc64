"""The command: `python -m benchmarks` measures every family, prints one table, and writes it down.

python -m benchmarks                    everything, into benchmarks/results.json and README
python -m benchmarks journal_cost       one family, printed only
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.registry import FAMILIES
from data.door import ROOT, SystemClock, enter

RESULTS = Path(__file__).with_name("results.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = _parser().parse_args(argv)
    return enter(lambda: _measure(options))


def _measure(options: argparse.Namespace) -> int:
    # Heavy imports wait until the flags are known to be good.
    from rich.console import Console  # noqa: PLC0415

    from benchmarks.place import open_place  # noqa: PLC0415
    from benchmarks.results import save, show, surroundings, write_into  # noqa: PLC0415
    from benchmarks.rows import Row  # noqa: PLC0415

    rows: list[Row] = []
    around = surroundings(SystemClock().now())
    with open_place(options.database, options.days, options.rounds, _tell) as place:
        for family in options.only or FAMILIES:
            _tell(family)
            rows += importlib.import_module(f"benchmarks.{family}").rows(place)
    show(Console(width=None if sys.stdout.isatty() else 160), rows)
    if not options.only:
        save(options.output, around, rows)
        if options.output == RESULTS:
            write_into(ROOT / "README.md", around, rows)
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures what things cost, and shows it."
    )
    parser.add_argument("--only", action="append", choices=FAMILIES, help="measure this family, and only print")
    parser.add_argument("--days", type=int, default=10, metavar="N", help="length of the run, default 10")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times each thing is measured, default 5")
    parser.add_argument("--database", metavar="URL", help="an empty database to use; default a temporary one")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE", help="default benchmarks/results.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
