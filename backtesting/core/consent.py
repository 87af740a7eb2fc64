"""Whether a run may cost what it would cost: shown for `--estimate`, asked before one that is dear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

from rich.console import Console
from rich.markup import escape

from backtesting.core.estimate import Estimate, Range
from data.model.canonical import Json, to_json
from data.model.errors import UsageError

ASK_ABOVE_USD = Decimal(1)

Ask = Callable[[str], bool]
"""Puts a question to whoever sits at the terminal."""


def require_consent(found: Estimate, budget_usd: Decimal | None, ask: Ask | None) -> None:
    """Raises UsageError if the run would likely cost more than a dollar, or nobody knows, and nobody agreed to that."""
    likely = None if found.usd is None else Decimal(str(found.usd.likely))
    most = likely if budget_usd is None else budget_usd if likely is None else min(likely, budget_usd)
    if most is not None and most <= ASK_ABOVE_USD:
        return
    what = f"this run would cost {_money(found, ' ')}"
    if ask is None:
        raise UsageError(f"{what}; say --yes to pay that, --budget_usd for less, --estimate to see more")
    if not ask(f"{what}. Go on? [y/N] "):
        raise UsageError("nothing was asked of any model; --estimate shows what it would have cost")


def show_estimate(console: Console, found: Estimate) -> None:
    """For people."""
    for name, value in _rows(found):
        console.print(f"[bold]{name:<15}[/bold] {escape(value)}", soft_wrap=True, highlight=False)


def for_programs(found: Estimate) -> dict[str, Json]:
    """The one object of `--json`. Dollars are a number, seconds and bytes too."""
    told = to_json(asdict(found))
    assert isinstance(told, dict)
    return {"estimate": told}


def _rows(found: Estimate) -> Iterator[tuple[str, str]]:
    yield "estimate", "nothing was sent to any model"
    yield "model", ", ".join(found.models)
    yield "decisions", f"{found.decisions:,}  (real prompts of {found.sampled} of them were counted)"
    yield "", "likely  (low to high)"
    yield "calls", _three(found.calls, "{:,.0f}")
    yield "tokens in", _three(found.input_tokens, "{:,.0f}")
    yield "tokens out", _three(found.output_tokens, "{:,.0f}")
    yield "cost", _money(found)
    in_flight = "one call at a time" if found.concurrency == 1 else f"{found.concurrency} calls in flight"
    spans = [_span(each) for each in (found.wall_s.likely, found.wall_s.low, found.wall_s.high)]
    yield "time", f"{spans[0]}  ({spans[1]} to {spans[2]}), {in_flight}"
    megabytes = Range(*(each / 1e6 for each in (found.disk_bytes.low, found.disk_bytes.likely, found.disk_bytes.high)))
    yield "disk", _three(megabytes, "{:,.1f}", " MB")


def _money(found: Estimate, between: str = "  ") -> str:
    if found.usd is None:
        names = ", ".join(found.unpriced)
        return f"an unknown sum: {names} has no list price (--price {found.unpriced[0]}=IN,OUT says it)"
    if found.is_free:
        return "nothing"
    likely, low, high = (f"{each:,.2f}" for each in (found.usd.likely, found.usd.low, found.usd.high))
    return f"{likely} USD{between}({low} to {high})"


def _three(found: Range, form: str, unit: str = "") -> str:
    likely, low, high = (form.format(each) for each in (found.likely, found.low, found.high))
    return f"{likely}{unit}  ({low} to {high})"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
