"""What the user asked of the main job, as a frozen `Settings`: flags, the environment, and the run that goes on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from backtesting.core import values
from backtesting.core.config_file import with_config
from backtesting.core.flags import SAMPLE_END, SAMPLE_START, SAMPLE_SYMBOL, build_parser
from data.command_line import flags
from data.door import run_folder
from data.model.canonical import Json
from data.model.errors import UsageError
from data.model.instants import Interval, parse_day

_LISTS = frozenset({"symbol", "agent_model", "accept_models", "price", "notify"})
_UNSAID = object()
# What a resumed run must have in common with the run it goes on with, and what it takes over unless told otherwise.
_QUESTION = (
    "symbols", "interval", "start_on", "end_on", "mini", "market", "model", "agent_models", "protocol", "temperature",
    "seed", "initial_cash", "position_size", "allow_short", "commission_bps", "slippage_bps", "decide_every",
)  # fmt: skip
MOST_IN_FLIGHT = 256
_RECORDED = frozenset((
    "symbol", "interval", "start_date", "end_date", "mini", "market", "sample", "model", "agent_model", "protocol",
    "temperature", "seed", "initial_cash", "position_size", "allow_short", "commission_bps", "slippage_bps",
    "decide_every", "base_url", "accept_models", "price", "max_failures", "timeout", "budget_usd",
    "concurrency", "requests_per_minute", "tokens_per_minute",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked for. Everything that may change a result goes on into the run's Question.

    With `budget_goes_on` there is what is left of the budget of the run that goes on, and no more.
    """

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
    prices: Mapping[str, tuple[Decimal, Decimal]]
    estimate: bool
    yes: bool
    max_failures: int
    timeout_s: float
    concurrency: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    accept_models: tuple[str, ...]
    output_dir: Path
    database_url: str | None
    market: str | None
    mini: bool
    sample: bool
    fetch: bool
    json: bool
    log_level: str
    resume: Path | None
    timestamp_url: str | None
    notify: tuple[str, ...]
    share: bool
    invocation: Mapping[str, Json]
    budget_goes_on: bool = False


Recall = Callable[[Path], Mapping[str, Json] | None]
"""The `invocation` of the run in a folder, None if the folder holds no complete record. Raises DataError."""


def read_arguments(argv: Sequence[str], environ: Mapping[str, str], recall: Recall = lambda _folder: None) -> Settings:
    """Raises UsageError in one line; argparse itself exits with 2 for unknown flags.

    With `--resume` everything that is not said again is as it was in that run.
    """
    parser, own = build_parser(), flags(argv)
    words = with_config(parser, own, environ)
    options = parser.parse_args(words)
    if not options.resume:
        return _settings(options, environ)
    options.resume = run_folder(options.resume, options.output_dir)
    before = recall(options.resume)
    if before is None and not (options.symbol or options.sample):
        raise UsageError(
            f"{options.resume} holds no complete record, so nothing was asked yet; say the run's flags again beside "
            "--resume, and it starts anew"
        )
    if before is None:
        return _settings(options, environ)
    now, was = _agreeing(parser, words, options, before, environ)
    if "budget_usd" in _given(parser, own):
        return now
    _require_same_budget(now, was)
    return replace(now, budget_goes_on=True)


def _agreeing(
    parser: argparse.ArgumentParser,
    words: Sequence[str],
    options: argparse.Namespace,
    before: Mapping[str, Json],
    environ: Mapping[str, str],
) -> tuple[Settings, Settings]:
    """The recorded flags under those given now, and as they were. Raises UsageError where the question would change."""
    recorded = argparse.Namespace(**{**vars(options), **before})
    given = {**_given(parser, words), "resume": options.resume}
    was = _settings(recorded, {})
    now = _settings(argparse.Namespace(**{**vars(recorded), **given}), environ)
    for name in _QUESTION:
        if getattr(was, name) != getattr(now, name):
            flag = name.removesuffix("s") if name in ("symbols", "agent_models") else name.replace("_on", "_date")
            raise UsageError(
                f"--{flag} does not agree with the run in {options.resume}, which was begun with "
                f"{_shown(getattr(was, name))}; leave the flag out, or begin another run"
            )
    return now, was


def _given(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, object]:
    """What these words say, without any default."""
    names = vars(parser.parse_args([]))
    unsaid = argparse.Namespace(**{name: None if name in _LISTS else _UNSAID for name in names})
    said = vars(parser.parse_args(words, unsaid))
    return {name: value for name, value in said.items() if value is not (None if name in _LISTS else _UNSAID)}


def _require_same_budget(now: Settings, was: Settings) -> None:
    """A file is read at each start: what it says is one budget, however often its run goes on. Raises UsageError."""
    if now.budget_usd != was.budget_usd:
        raise UsageError(
            f"the budget_usd of the file is not the one that the run in {now.resume} was begun with; new money is said "
            "on the command line: --budget_usd USD"
        )


def _settings(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    invocation = {name: value for name, value in vars(options).items() if name in _RECORDED}
    if not 1 <= options.concurrency <= MOST_IN_FLIGHT:
        raise UsageError(f"--concurrency must be from 1 to {MOST_IN_FLIGHT}")
    symbols, interval, start, end = _window(options)
    model = values.model(options.model, environ)
    return Settings(
        symbols=symbols,
        interval=interval,
        start_on=start,
        end_on=end,
        model=model,
        agent_models=values.agent_models(options.agent_model),
        base_url=options.base_url,
        protocol=options.protocol,
        prompts=options.prompts,
        temperature=options.temperature,
        seed=options.seed,
        initial_cash=values.decimal(options.initial_cash, "--initial_cash"),
        position_size=values.decimal(options.position_size, "--position_size"),
        allow_short=options.allow_short,
        commission_bps=values.decimal(options.commission_bps, "--commission_bps"),
        slippage_bps=values.decimal(options.slippage_bps, "--slippage_bps"),
        decide_every=options.decide_every,
        budget_usd=values.budget(options.budget_usd),
        prices=values.prices(options.price, model),
        estimate=options.estimate,
        yes=options.yes,
        max_failures=values.counted(options.max_failures, "--max_failures"),
        timeout_s=values.timeout(options.timeout),
        concurrency=options.concurrency,
        requests_per_minute=values.limit(options.requests_per_minute, "--requests_per_minute"),
        tokens_per_minute=values.limit(options.tokens_per_minute, "--tokens_per_minute"),
        accept_models=tuple(options.accept_models or ()),
        output_dir=options.output_dir,
        database_url=options.database or environ.get("DATABASE_URL") or None,
        market=options.market,
        mini=options.mini,
        sample=options.sample,
        fetch=options.fetch,
        json=options.json,
        log_level=options.log_level.upper(),
        resume=options.resume or None,
        timestamp_url=options.timestamp_url or environ.get("AGENTRADER_TIMESTAMP_URL") or None,
        notify=tuple(options.notify or environ.get("AGENTRADER_NOTIFY", "").split()),
        share=options.share,
        invocation={**invocation, "model": model},
    )


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


def _shown(value: object) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, tuple) else str(value)
