"""Shows what market data there is, where it has gaps, takes it out as a file, and makes longer bars of shorter ones.

python -m scripts.data list
python -m scripts.data gaps --symbol BTCUSDT
python -m scripts.data export BTCUSDT_1h.csv.gz --symbol BTCUSDT --interval 1h
python -m scripts.data resample --symbol BTCUSDT --interval 1m --into 1h
python -m scripts.data drop-batch 7 --reason "closes of another market"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from data.command_line import Parser, flags
from data.door import SystemClock, enter, settings
from data.model.errors import UsageError
from data.model.instants import Interval, parse_day, parse_instant
from scripts.ingest import SYMBOL

EXIT = "exit codes: 0 good; 1 gaps were found; 2 wrong use, and nothing was changed\n"
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
GAPS = """Only what the market was open for is missing. Futures trade for some hours on holidays of the United States,
for which sources print no daily bar: these sessions are named, too.

example: python -m scripts.data gaps --symbol BTCUSDT
"""
EXPORT = """The file has the columns that `python -m scripts.ingest csv` reads; a name that ends in .gz is compressed.
It holds each bar as it was known then, not since when: where it is ingested, a correction counts as printed first.

example: python -m scripts.data export - --symbol SP500 --interval 1d --start 2018-07-01 | head
"""
RESAMPLE = """A bar is made only where all of its parts are there: a hole is never bridged. On an exchange bars begin
at the session's open and never reach over its close; parts that begin between its steps fit in none. Running it again
takes in what is new, corrected or dropped, known from then on, and otherwise changes nothing.

example: python -m scripts.data resample --symbol BTCUSDT --interval 1h --into 1d
"""
DROP = """Nothing is deleted. From now on a row of the batch is what another batch last said of it, or absent. Views as
of an instant before the drop still see it, and so does a backtest of such a window, which says so: where data was wrong
from the beginning, ingest the right file under another symbol. Longer bars made of its rows go with the next resample.
The same file again brings the rows back, known from then on.

example: python -m scripts.data drop-batch 7 --reason "closes of another market"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _work(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.data", description=__doc__, epilog=EXIT, formatter_class=AS_WRITTEN, allow_abbrev=False
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="list|gaps|export|resample|drop-batch")
    listed = _way(ways, "list", "series and batches", "example: python -m scripts.data list --symbol BTCUSDT\n")
    holes = _way(ways, "gaps", "bars and sessions that are missing", GAPS)
    for each in (listed, holes):
        each.add_argument("--symbol", metavar="S", help="this one alone")
    holes.add_argument("--interval", metavar="I", help="this one alone")
    export = _way(ways, "export", "bars into a CSV file", EXPORT)
    export.add_argument("file", type=Path, metavar="FILE", help="where to; - is standard output")
    export.add_argument("--start", default=date.min.isoformat(), metavar="DAY", help="first session; default all")
    export.add_argument("--end", default=date.max.isoformat(), metavar="DAY", help="last session, included")
    for each in (listed, holes, export):
        each.add_argument("--as_of", metavar="INSTANT", help="as it was known then, 2025-04-03T12:00Z; default now")
    longer = _way(ways, "resample", "longer bars out of shorter ones", RESAMPLE)
    longer.add_argument("--into", required=True, metavar="I", help="length of the bars to make")
    longer.add_argument("--as_symbol", metavar="NAME", help="store them under another symbol")
    longer.add_argument(
        "--keep_partial", action="store_true", help="make and keep bars of which parts are missing, too"
    )
    drop = _way(ways, "drop-batch", "let nothing count any more that a batch brought", DROP)
    drop.add_argument("batch", type=int, metavar="N", help="its number, as `list` shows it")
    drop.add_argument("--reason", required=True, metavar="TEXT", help="why; kept with the drop")
    for each in (export, longer):
        each.add_argument("--symbol", required=True, metavar="S")
        each.add_argument("--interval", required=True, metavar="I", help=f"one of {', '.join(Interval)}")
    return parser


def _way(ways: argparse._SubParsersAction[Parser], name: str, about: str, more: str) -> argparse.ArgumentParser:
    way = ways.add_parser(
        name, help=about, description=about, epilog=f"{more}\n{EXIT}", formatter_class=AS_WRITTEN, allow_abbrev=False
    )
    way.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else an embedded PostgreSQL")
    way.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return way


def _work(options: argparse.Namespace) -> int:
    clock = SystemClock()
    _check(options, clock.now())
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from scripts.data_work import work  # noqa: PLC0415

    return work(options, settings(), clock)


def _check(options: argparse.Namespace, now: datetime) -> None:
    """Turns words into values, in place. Raises UsageError in one line."""
    for name in ("interval", "into"):
        if getattr(options, name, None):
            setattr(options, name, Interval.parse(getattr(options, name)))
    if getattr(options, "as_symbol", None) is not None and not SYMBOL.fullmatch(options.as_symbol):
        raise UsageError(f"--as_symbol {options.as_symbol!r} is no symbol; write it like BTCUSDT, AAPL or CL=F")
    if "start" in options:
        options.start, options.end = parse_day(options.start, "--start"), parse_day(options.end, "--end")
        if options.end < options.start:
            raise UsageError(f"--end {options.end} lies before --start {options.start}")
        if str(options.file) == "-" and options.json:
            raise UsageError("--json and the bars would both go to standard output; name a file")
    if "as_of" in options:
        options.as_of = _instant(options.as_of) if options.as_of else now


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise UsageError(f"--as_of {text!r} is no instant; write it as 2025-04-03 or 2025-04-03T12:00Z") from None


if __name__ == "__main__":
    sys.exit(main())
