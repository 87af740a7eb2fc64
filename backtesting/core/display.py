"""What people see while a run goes on: bar and date, equity, last decision, cost so far, time left.

Whoever plays the run sees the same as whoever watches it from another process. Everything goes to standard error. Not a
terminal: a line at the start, one at the end, nothing between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from backtesting.audit.standing import Standing
from backtesting.audit.summary import Summary
from backtesting.core.loop import Tape
from backtesting.core.timeline import Step
from data.model.escape import escape_line
from data.model.instants import show

Advance = Callable[[Step, Tape], None]
BESIDE = 76
"""Columns that stand beside a live line's bar: its instant, the count, the time left and the state."""


@contextmanager
def progress(console: Console, total: int, spent: Callable[[], Decimal | None]) -> Iterator[Advance]:
    """A live line; the value is to be called after each step."""
    with _live(console, 0, total) as update:

        def advance(step: Step, tape: Tape) -> None:
            last = tape.decisions[-1] if tape.decisions else None
            said = None if last is None else (last.action or last.status).value
            opened = next(iter(step.bars.values())).open_time
            equity = tape.equity[-1].equity if tape.equity else None
            update(tape.bars, show(opened), _state(equity, said, spent()))

        yield advance


@contextmanager
def watching(console: Console, begun: Standing) -> Iterator[Callable[[Standing], None]]:
    """The same line for a run that another process plays, from where it stands now."""
    with _live(console, begun.bars, begun.of_bars) as update:

        def look(now: Standing) -> None:
            if now.last is not None:
                update(now.bars, show(now.last.opened), _state(now.last.equity, now.said, now.cost_usd))

        look(begun)
        yield look


class _Shortened(TextColumn):
    """The first to give way on a narrow terminal, in its one line."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


@contextmanager
def _live(console: Console, done: int, total: int) -> Iterator[Callable[[int, str, str], None]]:
    """The value takes how many bars are done, the bar, and the state."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=max(4, min(40, console.width - BESIDE))),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        _Shortened("{task.fields[state]}", markup=False, table_column=Column()),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as live:
        task = live.add_task("starting", total=total, completed=done, state="")
        yield lambda now, when, state: live.update(task, completed=now, description=when, state=state)


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A live line; the value is to be called with how many there are done, and of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as live:
        task = live.add_task(what, total=None)
        yield lambda done, of: live.update(task, completed=done, total=of)


def show_summary(console: Console, summary: Summary) -> None:
    """The numbers of a run, for people."""
    for name, value in _rows(summary):
        console.print(f"[bold]{name:<15}[/bold] {escape(value)}", soft_wrap=True, highlight=False)
    for warning in summary.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.print(_last_line(summary), markup=False, soft_wrap=True, highlight=False)


def near(path: str | Path) -> str:
    """As seen from the current folder, if it lies below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else str(path)


def _state(equity: Decimal | None, said: str | None, cost: Decimal | None) -> str:
    held = "-" if equity is None else f"{equity:,.2f}"
    price = "cost unknown" if cost is None else f"${cost:.4f}"
    return f"equity {held}  {'-' if said is None else escape_line(said)}  {price}"


def _rows(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "run", f"{summary.run_id}  ({summary.status})"
    if summary.reason:
        yield "stopped", summary.reason
    yield "model", summary.model
    yield "decisions", f"{summary.decisions:,}, {summary.failed:,} failed{_failures(summary)}"
    yield "replies", f"{summary.replies_traced:,} of {summary.replies:,} replies trace to a recorded provider response"
    yield "fills, trades", f"{summary.fills:,}, {summary.trades:,}"
    if summary.final_equity is not None:
        yield "equity", f"{summary.final_equity:,.2f}  (costs paid {summary.costs_paid:,.2f})"
    yield "return", f"{_percent(summary.total_return)}  (buy and hold {_percent(summary.buy_and_hold_return)})"
    yield "calls", f"{summary.calls:,}, {summary.retries:,} retries, {_usd(summary.cost_usd)}, {summary.wall_s:.1f} s"
    if summary.possibly_paid:
        yield "possibly paid", f"{summary.possibly_paid:,} calls besides: no answer came that can be read"
    if summary.wasted_calls:
        yield "calls used", f"{summary.calls - summary.wasted_calls:,}"
        yield (
            "calls wasted",
            f"{summary.wasted_calls:,}, {_usd(summary.wasted_usd)}: asked ahead, and then it came otherwise",
        )
    if summary.status != "complete":
        money = " --budget_usd USD" if "--budget_usd" in (summary.reason or "") else ""
        yield "go on with", f"python -m backtesting.core.authentic_backtest --resume {near(summary.run_dir)}{money}"
    if summary.result_digest:
        yield "result digest", summary.result_digest
    if summary.head:
        yield "head", f"{summary.head}  (keep it elsewhere)"
        yield "check with", f"python -m scripts.verify {near(summary.run_dir)}"
    if summary.report:
        yield "report", near(summary.report)
    if summary.communications_log:
        yield "communications", near(summary.communications_log)


def _last_line(summary: Summary) -> str:
    """For those who only read the end of a log."""
    came = f"return {_percent(summary.total_return)}, {_usd(summary.cost_usd)}"
    return f"run {summary.run_id} is over: {summary.status}, {summary.decisions:,} decisions, {came}"


def _failures(summary: Summary) -> str:
    return "".join(f", {count} x {reason}" for reason, count in sorted(summary.failures.items()))


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:+.2%}"


def _usd(cost: Decimal | None) -> str:
    return "cost unknown" if cost is None else f"{cost:.4f} USD"
