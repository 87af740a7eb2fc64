"""Shows the agents' prompts, which runs used which, and what two versions differ in; begins a set of your own.

python -m scripts.prompts list
python -m scripts.prompts new prompts/patient --version patient-1
python -m scripts.prompts diff ours prompts/patient
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import ROOT, enter
from data.model.errors import UsageError

EXIT = "exit codes: 0 good; 1 the prompts differ (diff); 2 wrong use\n"
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
ROLES = ("technical", "fundamental", "portfolio", "decision")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
PLACE = "WHERE is `ours`, a folder of prompts, or a run (its id or its folder)\n\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _work(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.prompts",
        description=__doc__,
        epilog=EXIT,
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="list|show|new|diff")
    listed = _way(ways, "list", "versions, and the runs that used them", "python -m scripts.prompts list")
    listed.add_argument("--prompts", type=Path, metavar="DIR", help="a folder of your own; default ours")
    shown = _way(ways, "show", "the text of prompts", f"{PLACE}python -m scripts.prompts show decision")
    shown.add_argument("role", choices=ROLES)
    shown.add_argument("where", nargs="?", default="ours", metavar="WHERE")
    new = _way(
        ways, "new", "a folder with the four prompts, to change", "python -m scripts.prompts new prompts/patient"
    )
    new.add_argument("folder", type=Path, metavar="DIR", help="a folder that is not there yet")
    new.add_argument("--version", metavar="NAME", help="what to call it; default the folder's name")
    new.add_argument("--start_from", default="ours", metavar="WHERE", help="ours, a folder, or a run; default ours")
    diff = _way(ways, "diff", "what differs", f"{PLACE}python -m scripts.prompts diff ours RUN --role decision")
    diff.add_argument("before", metavar="WHERE")
    diff.add_argument("after", metavar="WHERE")
    diff.add_argument("--role", choices=ROLES, help="this one alone")
    return parser


def _way(ways: argparse._SubParsersAction[Parser], name: str, about: str, example: str) -> argparse.ArgumentParser:
    way = ways.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"{example if example.startswith('WHERE') else f'example: {example}'}\n\n{EXIT}",
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    way.add_argument("--runs", type=Path, default=ROOT / "data" / "runs", metavar="DIR", help="where runs are kept")
    way.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return way


def _work(options: argparse.Namespace) -> int:
    if options.way == "new":
        options.version = options.version or options.folder.name
        if not VERSION.fullmatch(options.version):
            raise UsageError(f"--version {options.version!r}: use up to 40 letters, digits and ._-")
    from scripts.prompts_work import work  # noqa: PLC0415

    return work(options)


if __name__ == "__main__":
    sys.exit(main())
