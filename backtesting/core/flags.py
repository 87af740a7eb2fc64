"""The flags of the main job. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.command_line import Parser
from data.door import ROOT
from data.model.instants import Interval

SAMPLE_SYMBOL, SAMPLE_START, SAMPLE_END = "SP500", "2018-07-02", "2018-12-31"

EXAMPLE = """example:
  python -m scripts.ingest csv BTCUSDT_1h.csv --symbol BTCUSDT --interval 1h
  python -m backtesting.core.authentic_backtest --symbol BTCUSDT --interval 1h \\
      --start_date 2025-04-01 --end_date 2025-04-10 --model rules

  python -m backtesting.core.authentic_backtest --sample --model openai/gpt-4o-mini --estimate
  python -m backtesting.core.authentic_backtest --resume RUN

exit codes: 0 good; 1 a check failed; 2 wrong use or configuration; 3 the run is incomplete
"""


def build_parser() -> argparse.ArgumentParser:
    """Flags are written with underscores or hyphens alike."""
    parser = Parser(
        prog="python -m backtesting.core.authentic_backtest",
        usage="%(prog)s --symbol S --interval I --start_date DAY --end_date DAY --model M [more flags]",
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
    group.add_argument("--config", type=Path, metavar="FILE", help="flags from a TOML file, see config.example.toml")
    group.add_argument("--estimate", action="store_true", help="say what the run would take; sends nothing")
    group.add_argument("--yes", action="store_true", help="do not ask before a run of more than 1 USD")
    group.add_argument("--budget_usd", metavar="X", help="a call that could exceed it is not sent")
    group.add_argument(
        "--price",
        nargs="+",
        action="extend",
        metavar="M=IN,OUT",
        help="a model's price: USD a million tokens in, and out",
    )
    group.add_argument("--max_failures", type=int, default=3, metavar="N", help="failures in a row that stop it")
    group.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds to wait for a reply")
    group.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped: its id or its folder")
    group.add_argument("--timestamp_url", metavar="URL", help="an RFC 3161 authority; stamps begin and head")
    group.add_argument(
        "--notify",
        nargs="+",
        action="extend",
        metavar="TO",
        help="https://… or mailto:…, told at the end, at a stop and at 80 %% of the budget; default $AGENTRADER_NOTIFY",
    )
    group.add_argument("--share", action="store_true", help="pack the complete run, as scripts.share does")
    group.add_argument("--output_dir", type=Path, default=ROOT / "data/runs", metavar="DIR", help="default data/runs")
    group.add_argument("--database", metavar="URL", help="default $DATABASE_URL, else an embedded PostgreSQL")
    group.add_argument("--concurrency", type=int, default=1, metavar="N", help="calls in flight, default 1")
    group.add_argument("--requests_per_minute", type=int, metavar="N", help="a provider's limit")
    group.add_argument("--tokens_per_minute", type=int, metavar="N", help="likewise")
    group.add_argument("--log_level", default="WARNING", choices=("DEBUG", "INFO", "WARNING", "ERROR"), type=str.upper)
    group.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
