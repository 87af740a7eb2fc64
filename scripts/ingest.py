"""Brings market data and facts into the database, and says what is odd about them.

python -m scripts.ingest csv FILE --symbol BTCUSDT --interval 1h
python -m scripts.ingest csv 'klines/*-1h-*.csv.gz'
python -m scripts.ingest facts FILE
python -m scripts.ingest sample
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from data.command_line import Parser, flags
from data.door import SystemClock, enter, settings
from data.model.errors import UsageError
from data.model.instants import Interval, parse_day

FILES = """Several files and patterns are taken at once, in the order of their names; each is a batch of its own, and a
bad one ends it: those before it are stored, and all of them can be ingested again. Where
--symbol or --interval is not said, a file's name says it: BTCUSDT_1h.csv, ETHUSDT-1h-2025-01.csv.gz.

example: python -m scripts.ingest csv 'klines/*-1h-*.csv.gz'

"""
BARS = """columns, by name and in any order:
  open_time   start of the bar with its offset (2025-04-01T00:00:00Z), or in milli- or microseconds since 1970; for
              daily bars a date alone is its session
  open high low close volume
  symbol, interval   optional; must agree with the flags
  session_date, adjustment   optional; adjustment names what earlier prices were restated for (none)
  synthetic   optional; anything but `no` marks the whole file as made up

files of data.binance.vision are taken as they are downloaded: klines/BTCUSDT-1h-2025-04.zip
"""
FACTS_EXAMPLE = "example: python -m scripts.ingest facts news.csv splits.csv --market XNYS\n\n"
FACTS = """layouts, recognised by the header:
  our own             symbol,kind,key,known_at and, where wanted, value,unit,text,period,source,effective_on
      kind            fundamental, news, macro, alternative, split (new shares per old), dividend (cash per share)
      symbol          * is every symbol
      known_at        when it became public, with an offset; of a date alone its end counts, in the market's zone;
                      may be empty for a split or a dividend: the open of the session effective_on
  SEC companyfacts    symbol,concept,unit,period_start,period_end,value,accession,form,filed
  SEC submissions     symbol,accessionNumber,acceptanceDateTime,form,reportDate
  Polygon quarterly   symbol,period_start,period_end,filing_date,acceptance_datetime,item,value,unit
  news                symbol,published_at,title and, where there, description,source,url
  dated events        symbol,date,title
  dividends           ticker,cash_amount,ex_dividend_date and, where there, declaration_date,dividend_type
  splits              ticker,execution_date,split_from,split_to
"""
NAMED = re.compile(
    rf"(?P<symbol>[A-Za-z0-9^][A-Za-z0-9.^=]{{0,39}})[_-](?P<interval>{'|'.join(Interval)})(?![A-Za-z0-9])"
)
SAMPLE = "example: python -m scripts.ingest sample\n"
YEAR = "--start 2024-01-01 --end 2024-12-31"
FEEDS = {
    "binance": f"example: python -m scripts.ingest binance --symbol BTCUSDT --interval 1h {YEAR}\n",
    "yahoo": f"example: python -m scripts.ingest yahoo --symbol CL=F --interval 1d {YEAR}\n",
}
SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.^=/:_-]{0,39}")
AS_WRITTEN = argparse.RawDescriptionHelpFormatter
EXIT = "exit codes: 0 good; 1 the feed failed; 2 wrong use or data, and nothing of that file was stored\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the value is its exit code."""
    options = build_parser().parse_args(flags(sys.argv[1:] if argv is None else argv))
    return enter(lambda: _ingest(options))


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m scripts.ingest",
        description=__doc__,
        epilog=EXIT,
        formatter_class=AS_WRITTEN,
        allow_abbrev=False,
    )
    ways = parser.add_subparsers(dest="way", required=True, metavar="csv|facts|sample|binance|yahoo")
    bars = _way(ways, "csv", "bars out of CSV files, plain, gzip or zip", FILES + BARS)
    _add_series(bars, required=False)
    facts = _way(ways, "facts", "facts out of CSV files, plain, gzip or zip", f"{FACTS_EXAMPLE}{FACTS}")
    for each in (bars, facts):
        each.add_argument("file", nargs="+", metavar="FILE", help="a file, or a pattern in quotes")
        _add_market(each)
        each.add_argument(
            "--rename", nargs=2, action="append", default=[], metavar=("A", "B"), help="the file's symbol A is our B"
        )
        each.add_argument("--synthetic", action="store_true", help="mark the rows as made up; backtests refuse them")
    _way(ways, "sample", "S&P 500 and Nasdaq daily bars, VIX and WTI as facts: real, offline, 1999 to 2018", SAMPLE)
    for name, help_text in (("binance", "spot bars from Binance"), ("yahoo", "bars from Yahoo Finance")):
        feed = _way(ways, name, help_text, f"{FEEDS[name]}\nneeds: pip install -r requirements-feeds.txt\n")
        _add_series(feed)
        feed.add_argument("--start", "--start_date", required=True, metavar="DAY", help="first day, YYYY-MM-DD")
        feed.add_argument("--end", "--end_date", required=True, metavar="DAY", help="last day, included")
        _add_market(feed)
        if name == "binance":
            feed.add_argument("--host", default="api.binance.com", help="another host that speaks Binance's API")
    return parser


def _way(ways: argparse._SubParsersAction[Parser], name: str, about: str, more: str = "") -> argparse.ArgumentParser:
    epilog = f"{more}\n{EXIT}".lstrip()
    way = ways.add_parser(
        name, help=about, description=about, epilog=epilog, formatter_class=AS_WRITTEN, allow_abbrev=False
    )
    way.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else an embedded PostgreSQL")
    way.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    return way


def _add_series(way: argparse.ArgumentParser, *, required: bool = True) -> None:
    way.add_argument("--symbol", required=required, metavar="S", help="e.g. BTCUSDT, AAPL, CL=F")
    way.add_argument("--interval", required=required, metavar="I", help=f"length of a bar: {', '.join(Interval)}")


def _add_market(way: argparse.ArgumentParser) -> None:
    way.add_argument("--market", metavar="CALENDAR", help="24/7, XNYS, CMES, …; inferred if not given")


def _ingest(options: argparse.Namespace) -> int:
    _check(options)
    # Heavy imports wait until the flags are known to be good: --help and a typo answer at once.
    from scripts.ingest_work import ingest  # noqa: PLC0415

    return ingest(options, settings(), SystemClock())


def _check(options: argparse.Namespace) -> None:
    """Turns words into values, in place. Raises UsageError in one line."""
    if "symbol" in options:
        if options.symbol is not None and not SYMBOL.fullmatch(options.symbol):
            raise UsageError(f"--symbol {options.symbol!r} is no symbol; write it like BTCUSDT, AAPL or CL=F")
        options.interval = None if options.interval is None else Interval.parse(options.interval)
    if "start" in options:
        options.start, options.end = parse_day(options.start, "--start"), parse_day(options.end, "--end")
        if options.end < options.start:
            raise UsageError(f"--end {options.end} lies before --start {options.start}")
    if "file" in options:
        options.files = _files(options.file)
        options.rename = dict(options.rename)
    if options.way == "csv":
        _refuse_two_under_one(options.files, options.symbol)
        options.series = [_series(path, options.symbol, options.interval) for path in options.files]


def _files(words: Sequence[str]) -> list[Path]:
    """What files and patterns name, each once, in the order of their paths. Raises UsageError for what names none."""
    found: dict[Path, None] = {}
    for word in words:
        try:
            files = [path for path in _named(Path(word)) if path.is_file()] if word else []
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{word[:200]} names no file: {why}") from None
        if word and Path(word).is_dir():
            raise UsageError(f"{word} is a folder; name the files in it: '{word.rstrip('/')}/*.csv'")
        if not files:
            raise UsageError(f"there is no file {word or repr(word)}")
        found.update(dict.fromkeys(files))
    return sorted(found)


def _named(path: Path) -> list[Path]:
    """The path itself or, where there is none and it is a pattern, whatever fits it."""
    if path.exists() or not set(str(path)) & set("*?["):
        return [path]
    return list(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _refuse_two_under_one(files: Sequence[Path], symbol: str | None) -> None:
    """A pattern that takes in too much would write one market's prices over another's."""
    names = sorted({found["symbol"] for path in files if (found := NAMED.match(path.name))})
    if symbol and len(names) > 1:
        raise UsageError(
            f"--symbol {symbol}, but files name {names[0]} and {names[1]}; leave it out, or name fewer files"
        )


def _series(path: Path, symbol: str | None, interval: Interval | None) -> tuple[str, Interval]:
    """Whose bars a file holds: by the flags, else by its name. Raises UsageError."""
    named = NAMED.match(path.name)
    if (symbol is None or interval is None) and named is None:
        raise UsageError(
            f"{path.name} does not begin like BTCUSDT_1h: say whose bars it holds, --symbol S --interval I"
        )
    told = named.groupdict() if named else {}
    return symbol or told["symbol"], interval or Interval(told["interval"])


if __name__ == "__main__":
    sys.exit(main())
