"""Looks whether everything a run needs is here; each line that fails says the command that mends it.

It changes nothing but a database, which is brought up to date as every command does, and asks no model unless told to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from scripts.doctor_place import ROOT, Check, packages, python

EXAMPLE = """example:
  python -m scripts.doctor
  python -m scripts.doctor --model openai/gpt-4o-mini --ask_model

exit codes: 0 good; 1 a check failed; 2 wrong use
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    found = [python(), packages()]
    if any(check.state == "bad" for check in found):
        return _tell(options, [*found, Check("the rest", "note", "not looked at: it needs the packages")])
    from data.door import asker, enter  # noqa: PLC0415 - these import packages that may not be there
    from scripts.doctor_checks import look  # noqa: PLC0415

    return enter(lambda: _tell(options, [*found, *look(options, asker())]))


def build_parser() -> argparse.ArgumentParser:
    """Of the standard library alone, like all that is done before the packages are known to be there."""
    parser = Parser(
        prog="python -m scripts.doctor",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--model", metavar="M", help="provider/name whose key is looked for; default $AGENTRADER_MODEL")
    parser.add_argument("--base_url", metavar="URL", help="an OpenAI-compatible server")
    parser.add_argument("--ask_model", action="store_true", help="send the model one token's worth")
    parser.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else the embedded PostgreSQL")
    parser.add_argument("--output_dir", type=Path, default=ROOT / "data" / "runs", metavar="DIR")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return parser


def _tell(options: argparse.Namespace, found: Sequence[Check]) -> int:
    good = all(check.state != "bad" for check in found)
    if options.json:
        print(json.dumps({"good": good, "checks": [check.told() for check in found]}))
    else:
        _show(found)
    return 0 if good else 1


def _show(found: Sequence[Check]) -> None:
    for check in found:
        print(f"{check.state:<5}{check.name:<12}{check.detail}")
        if check.mend:
            print(f"{'':<17}{'mend it: ' if check.state == 'bad' else 'perhaps: '}{check.mend}")


if __name__ == "__main__":
    sys.exit(main())
