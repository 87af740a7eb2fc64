"""Lists, shows, compares and exports runs, and watches one that goes on.

python -m scripts.runs list                      every run, the newest first
python -m scripts.runs show RUN                  one run, checked as scripts.verify does
python -m scripts.runs show RUN --bar T          everything behind one decision
python -m scripts.runs watch RUN                 the live display of a run that another process plays
python -m scripts.runs compare RUN OTHER         on the same bars: returns, decisions, what was said, cost, time
python -m scripts.runs export RUN                as tables, in CSV, Parquet or JSON

RUN is a run's id or its folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import ROOT, enter

EXIT = "exit codes: 0 good; 1 a check failed; 2 wrong use; 3 the run is incomplete"
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
_Ways = argparse._SubParsersAction  # noqa: SLF001 (argparse names the type of add_subparsers nowhere else)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _run(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.runs",
        description=__doc__,
        epilog=EXIT,
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="list|show|watch|compare|export")
    _add_list(ways)
    _add_show(ways)
    _add_watch(ways)
    _add_compare(ways)
    _add_export(ways)
    return parser


def _add_list(ways: _Ways[Parser]) -> None:
    way = _way(
        ways, "list", "every run: status, window, model, return with its interval, costs, digest", "list --last 5"
    )
    way.add_argument("--last", type=int, metavar="N", help="only the N that began last")
    way.add_argument(
        "--verify", action="store_true", help="check each as scripts.verify does, not only with a fast look"
    )


def _add_show(ways: _Ways[Parser]) -> None:
    about = "one run: what it was asked, what came of it, and whether that is proved; or all that is behind a decision"
    way = _way(ways, "show", about, "show RUN --bar 2025-04-03T12:00")
    way.add_argument("run", metavar="RUN", help="a run's id or its folder")
    way.add_argument("--fast", action="store_true", help="a fast look only: nothing is derived again")
    way.add_argument(
        "--bar",
        metavar="T",
        help="one decision: its bar's open time (UTC unless it says otherwise), its day, or its number",
    )
    way.add_argument("--prompts", action="store_true", help="with --bar: the agents' standing instructions, too")


def _add_watch(ways: _Ways[Parser]) -> None:
    about = "the live display of a run that another process plays, until it is over; Ctrl-C ends the watching alone"
    way = _way(ways, "watch", about, "watch --wait 60")
    way.add_argument("run", nargs="?", metavar="RUN", help="a run's id or its folder; default the run that began last")
    way.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a run that is to begin")


def _add_compare(ways: _Ways[Parser]) -> None:
    about = "the first run beside each of the others, on the same bars: returns, decisions, what was said, cost, time"
    way = _way(ways, "compare", about, "compare RUN OTHER --show 50")
    way.add_argument("run", nargs="+", metavar="RUN", help="two runs or more: ids or folders")
    way.add_argument("--show", type=int, default=10, metavar="N", help="decisions that differ to tell of; default 10")


def _add_export(ways: _Ways[Parser]) -> None:
    about = (
        "a run as tables: decisions, opinions, replies, fills, trades, equity, positions; a file each; money is exact: "
        "decimals in Parquet, text in JSON; instants are UTC"
    )
    way = _way(ways, "export", about, "export RUN --format parquet --output tables")
    way.add_argument("run", metavar="RUN", help="a run's id or its folder")
    way.add_argument("--format", choices=("csv", "parquet", "json"), default="csv", help="default csv")
    way.add_argument("--output", type=Path, metavar="DIR", help="where to write; default export-RUN in this folder")


def _way(ways: _Ways[Parser], name: str, about: str, example: str) -> argparse.ArgumentParser:
    epilog = f"example: python -m scripts.runs {example}\n\n{EXIT}"
    way = ways.add_parser(
        name, help=about, description=about, epilog=epilog, formatter_class=AS_WRITTEN, allow_abbrev=False
    )
    way.add_argument("--runs", type=Path, default=ROOT / "data/runs", metavar="DIR", help="default data/runs")
    way.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return way


def _run(options: argparse.Namespace) -> int:
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from scripts.runs_work import WAYS  # noqa: PLC0415

    return WAYS[options.way](options)


if __name__ == "__main__":
    sys.exit(main())
