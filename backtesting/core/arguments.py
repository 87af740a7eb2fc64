"""The command line of the main job, as a frozen `Settings`. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from data.door import ROOT, flags
from data.model.errors import UsageError
from data.model.instants import Interval, parse_day

SAMPLE_SYMBOL, SAMPLE_START, SAMPLE_END = "SP500", "2018-07-02", "2018-12-31"
LATER = ("resume", "estimate", "config")

EXAMPLE = """example:
  python -m scripts.ingest csv BTCUSDT_1h.csv --symbol BTCUSDT --interval 1h
  python -m backtesting.core.authentic_backtest --symbol BTCUSDT --interval 1h \\
      --start_date 2025-04-01 --end_date 2025-04-10 --model rules

exit codes: 0 good; 1 a check failed; 2 wrong use or configuration; 3 the run is incomplete
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for. Everything that may change a result goes on into the run's Question."""

    symbols: tuple[str, ...]
    interval: Interval
    start_on: date
    end_on: date
    model: str
    agent_models: Mapping[str, str]
    base_url: str | None
    protocol: str
    prompts: Path | None
    temperature: float | None
    seed: int | None
    initial_cash: Decimal
    position_size: Decimal
    allow_short: bool
    commission_bps: Decimal
    slippage_bps: Decimal
    decide_every: int
    budget_usd: Decimal | None
    max_failures: int
    timeout_s: float
    accept_models: tuple[str, ...]
    output_dir: Path
    database_url: str | None
    market: str | None
    mini: bool
    sample: bool
    fetch: bool
    json: bool
    log_level: str


def read_arguments(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Raises UsageError in one line; argparse itself exits with 2 for unknown flags."""
    options = build_parser().parse_args(flags(argv))
    for name in LATER:
        if getattr(options, name):
            raise UsageError(f"--{name} is not available in this version; leave it out")
    if options.concurrency != 1:
        raise UsageError("--concurrency above 1 is not available in this version; leave it out")
    symbols, interval, start, end = _window(options)
    return Settings(
        symbols=symbols,
        interval=interval,
        start_on=start,
        end_on=end,
        model=_model(options.model, environ),
        agent_models=_agent_models(options.agent_model),
        base_url=options.base_url,
        protocol=options.protocol,
        prompts=options.prompts,
        temperature=options.temperature,
        seed=options.seed,
        initial_cash=_decimal(options.initial_cash, "--initial_cash"),
        position_size=_decimal(options.position_size, "--position_size"),
        allow_short=options.allow_short,
        commission_bps=_decimal(options.commission_bps, "--commission_bps"),
        slippage_bps=_decimal(options.slippage_bps, "--slippage_bps"),
        decide_every=options.decide_every,
        budget_usd=None if options.budget_usd is None else _decimal(options.budget_usd, "--budget_usd"),
        max_failures=_at_least_one(options.max_failures, "--max_failures"),
        timeout_s=options.timeout,
        accept_models=tuple(options.accept_models or ()),
        output_dir=options.output_dir,
        database_url=options.database or environ.get("DATABASE_URL") or None,
        market=options.market,
        mini=options.mini,
        sample=options.sample,
        fetch=options.fetch,
        json=options.json,
        log_level=options.log_level.upper(),
    )


def build_parser() -> argparse.ArgumentParser:
    """Flags are written with underscores or hyphens alike."""
    parser = argparse.ArgumentParser(
        prog="python -m backtesting.core.authentic_backtest",
        description="Lets a group chat of agents decide bar by bar over real market data, and records all of it.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_window(parser.add_argument_group("what to trade, and when"))
    _add_agents(parser.add_argument_group("who decides"))
    _add_money(parser.add_argument_group("money and limits"))
    _add_running(parser.add_argument_group("how it runs"))
    return parser


def _add_window(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--symbol", nargs="+", metavar="S", help="one or more symbols of one portfolio")
    group.add_argument("--interval", metavar="I", help=f"length of a bar: {', '.join(Interval)}")
    group.add_argument("--start_date", metavar="DAY", help="first session date, YYYY-MM-DD")
    group.add_argument("--end_date", metavar="DAY", help="last session date, included")
    group.add_argument("--market", metavar="CALENDAR", help="24/7, XNYS, …; inferred from the data if not given")
    group.add_argument("--mini", action="store_true", help="only the first two days of the window")
    group.add_argument("--sample", action="store_true", help=f"sample data ({SAMPLE_SYMBOL}, 1d, second half of 2018)")
    group.add_argument("--fetch", action="store_true", help="bring a missing window from Binance or Yahoo first")


def _add_agents(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="M", help="provider/name, or rules (built-in); default $AGENTRADER_MODEL")
    group.add_argument("--agent_model", nargs="+", action="extend", metavar="A=M", help="e.g. decision=openai/gpt-4o")
    group.add_argument("--base_url", metavar="URL", help="any OpenAI-compatible server instead of the provider's")
    group.add_argument("--accept_models", nargs="+", metavar="NAME", help="other model names the server may answer as")
    group.add_argument("--protocol", choices=("group_chat", "consensus"), default="group_chat", help="who concludes")
    group.add_argument("--prompts", type=Path, metavar="DIR", help="own prompt files for the four agents")
    group.add_argument("--temperature", type=float, metavar="T", help="not sent unless given: some models take none")
    group.add_argument("--seed", type=int, metavar="N", help="sent to providers that take one")


def _add_money(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--initial_cash", default="10000", metavar="X", help="default 10000")
    group.add_argument("--position_size", default="1", metavar="F", help="fraction of equity, default 1")
    group.add_argument("--allow_short", action="store_true", help="SELL may open a short position")
    group.add_argument("--commission_bps", default="10", metavar="X", help="of the traded value, default 10")
    group.add_argument("--slippage_bps", default="2", metavar="X", help="of the price, default 2")
    group.add_argument("--decide_every", type=int, default=1, metavar="N", help="decide at every Nth bar, default 1")


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--budget_usd", metavar="X", help="a call that could exceed it is not sent")
    group.add_argument("--max_failures", type=int, default=3, metavar="N", help="failures in a row that stop it")
    group.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds to wait for a reply")
    group.add_argument("--output_dir", type=Path, default=ROOT / "data/runs", metavar="DIR", help="default data/runs")
    group.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else an embedded PostgreSQL")
    group.add_argument("--concurrency", type=int, default=1, metavar="N", help="1 in this version")
    group.add_argument("--log_level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"), type=str.upper)
    group.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    for name in LATER:
        group.add_argument(f"--{name}", nargs="?", const="yes", help=argparse.SUPPRESS)


def _window(options: argparse.Namespace) -> tuple[tuple[str, ...], Interval, date, date]:
    if options.sample:
        options.symbol = options.symbol or [SAMPLE_SYMBOL]
        options.interval = options.interval or "1d"
        options.start_date = options.start_date or SAMPLE_START
        options.end_date = options.end_date or SAMPLE_END
    for flag in ("symbol", "interval", "start_date", "end_date"):
        if not getattr(options, flag):
            raise UsageError(f"--{flag} is missing; try --sample --model rules for a first run, or --help")
    start, end = parse_day(options.start_date, "--start_date"), parse_day(options.end_date, "--end_date")
    if end < start:
        raise UsageError(f"--end_date {end} lies before --start_date {start}")
    symbols = tuple(symbol for word in options.symbol for symbol in word.split(",") if symbol)
    if not symbols or len(set(symbols)) != len(symbols):
        raise UsageError("--symbol names a symbol twice, or none")
    return tuple(sorted(symbols)), Interval.parse(options.interval), start, end


def _model(flag: str | None, environ: Mapping[str, str]) -> str:
    model = flag or environ.get("AGENTRADER_MODEL")
    if not model:
        raise UsageError(
            "no model: set --model PROVIDER/NAME (openai/…, anthropic/…, gemini/…, ollama/…, openrouter/…) or "
            "AGENTRADER_MODEL; --model rules runs the built-in rules, which are no language model and need no key"
        )
    return model


def _agent_models(words: Sequence[str] | None) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for word in words or ():
        role, equals, model = word.partition("=")
        if not (role and equals and model):
            raise UsageError(f"--agent_model {word!r}: write it as AGENT=PROVIDER/NAME")
        chosen[role.lower()] = model
    return chosen


def _decimal(text: str, flag: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{flag} {text!r} is not a number") from None
    if not value.is_finite():
        raise UsageError(f"{flag} {text!r} is not a finite number")
    return value


def _at_least_one(value: int, flag: str) -> int:
    if value < 1:
        raise UsageError(f"{flag} must be 1 or more")
    return value
