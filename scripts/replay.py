"""Plays a recorded run again, with the network and the database shut, and compares each step with the record.

python -m scripts.replay 20250401-…                              the same result, or the first place that differs
python -m scripts.replay RUN --until 2025-04-03T12:00            stops behind that bar and shows what was decided there
python -m scripts.replay RUN --from-prompts my_prompts           what would have been asked with other prompts
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from data.command_line import Parser, flags
from data.door import SystemClock, enter, run_folder
from data.model.errors import UsageError

if TYPE_CHECKING:
    from backtesting.core.replay import Replayed

EXIT = "exit codes: 0 the same result; 1 it parts from the record; 2 wrong use; 3 the record has no end"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    parser = Parser(
        prog="python -m scripts.replay",
        description=__doc__,
        epilog=EXIT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", help="a run's id or its folder")
    parser.add_argument("--until", metavar="BAR", help="the bar's open time in UTC, 2025-04-03 or 2025-04-03T12:00")
    parser.add_argument("--from_prompts", type=Path, metavar="DIR", help="four prompt files to ask with instead")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    options = parser.parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _replay(options))


def _replay(options: argparse.Namespace) -> int:
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from rich.console import Console  # noqa: PLC0415

    from backtesting.core.display import counting  # noqa: PLC0415
    from backtesting.core.replay import Replay  # noqa: PLC0415
    from scripts.replay_report import for_people, for_programs  # noqa: PLC0415

    folder, until = run_folder(options.run), _instant(options.until)
    with counting(Console(stderr=True), "replaying") as watch:
        found = Replay(folder, SystemClock(), until, options.from_prompts, watch).run()
    if options.json:
        print(json.dumps(for_programs(found)))
    else:
        print("\n".join(for_people(found, detailed=until is not None)))
    return exit_code(found, partial=until is not None)


def exit_code(found: Replayed, *, partial: bool) -> int:
    """`partial`: the user asked for a part only."""
    if found.divergence is not None or (found.digest is not None and not found.is_same):
        return 1
    return 0 if found.digest is not None or partial else 3


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text!r} is no instant; write it as 2025-04-03 or 2025-04-03T12:00") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


if __name__ == "__main__":
    raise SystemExit(main())
