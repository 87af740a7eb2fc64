"""The work behind `scripts.sweep`: database, plan, progress, table and report."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from backtesting.research.agent_runs import Hands
from backtesting.research.engines import Engine
from backtesting.research.labour import MARK, Site
from backtesting.research.outcomes import Outcome, Outcomes, read_outcomes
from backtesting.research.page import write_page
from backtesting.research.planning import Plan, plan
from backtesting.research.spec import read_spec
from backtesting.research.sweep import Sweep, Watch
from backtesting.research.table import NAME, write_table
from data.door import ROOT, SystemClock, settings
from data.model.canonical import Json, canonical_bytes
from data.model.errors import UsageError
from data.store.database import open_database
from data.store.store import Store
from data.store.tasks import TaskLedger

SHOWN = 10
LEFT = ("strategy", "parameters", "where")
INCOMPLETE = 3


def sweep(options: argparse.Namespace) -> int:
    """Plans, works, and shows what came of it."""
    environ = settings()
    url = options.database or environ.get("DATABASE_URL") or None
    if options.address and url is None:
        raise UsageError(
            "--address needs a DATABASE_URL that every machine reaches; the embedded database is this machine's"
        )
    spec = read_spec(options.spec)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 160, highlight=False)
    with open_database(url, ROOT / "data" / "postgres") as database:
        planned = plan(spec, Store(database.engine), environ)
        ledger = TaskLedger(database.engine, planned.sweep_id)
        folder = _folder(options.output_dir.resolve(), planned)
        shown = url or database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        hands = Hands(time.monotonic, time.sleep, SystemClock())
        site = Site(shown, planned.sweep_id, options.lease_s, spec.agents, options.output_dir.resolve(), hands)
        engine = Engine(options.engine, options.jobs, options.address)
        work = Sweep(planned, ledger, site, engine, secrets.token_hex(4), options.again, options.claim)
        console.print(f"sweep {planned.sweep_id}: {_told(planned)}", markup=False, soft_wrap=True)
        started = time.monotonic()
        with _progress(console, len(planned.tasks)) as watch:
            work.run(watch)
        outcomes = read_outcomes(ledger)
    write_table(outcomes, folder / NAME)
    write_page(outcomes, planned, folder / "report.html")
    summary = _summary(outcomes, planned, folder, time.monotonic() - started)
    if options.json:
        print(json.dumps(summary))
    _show(console, outcomes, planned, folder, options.again)
    return INCOMPLETE if outcomes.failed else 0


def _folder(all_sweeps: Path, planned: Plan) -> Path:
    """The sweep's own, with its spec in it: a worker knows by that file that it sees the same folder."""
    folder = all_sweeps / planned.sweep_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_bytes(canonical_bytes(planned.spec_json) + b"\n")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Watch]:
    """A live line on a terminal; nothing elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as live:
        task = live.add_task("tasks", total=total, state="")
        yield lambda standing: live.update(
            task, completed=standing.settled, state=f"{standing.leased} at work, {standing.failed} failed"
        )


def _told(planned: Plan) -> str:
    left_out = f", {planned.left_out} combinations left out, which make no sense" if planned.left_out else ""
    return f"{len(planned.tasks)} tasks{left_out}"


def _summary(outcomes: Outcomes, planned: Plan, folder: Path, seconds: float) -> dict[str, Json]:
    """What programs read. Sharpe ratios are annual, but for `expected_max_sharpe_per_bar`."""
    best = outcomes.ranked[0] if outcomes.ranked else None
    return {
        "sweep_id": planned.sweep_id,
        "sweep_dir": str(folder),
        "tasks": len(outcomes.all),
        "done": len(outcomes.done),
        "failed": len(outcomes.failed),
        "left_out": planned.left_out,
        "trials_elsewhere": outcomes.elsewhere,
        "expected_max_sharpe_per_bar": outcomes.selection.expected_max,
        "best": None if best is None else _best(outcomes, best),
        "table": str(folder / NAME),
        "report": str(folder / "report.html"),
        "warnings": list(planned.warnings),
        "wall_s": round(seconds, 3),
    }


def _best(outcomes: Outcomes, best: Outcome) -> dict[str, Json]:
    assert best.trial is not None
    named: Mapping[str, Json] = {"strategy": best.who, "symbol": best.question.symbol, "window": best.window}
    numbers = ("sharpe", "sharpe_per_bar", "total_return", "max_drawdown", "fills", "buy_and_hold_return", "run_dir")
    found: dict[str, Json] = {name: getattr(best.trial, name) for name in numbers}
    deflated = outcomes.selection.deflated(best.trial)
    return {**named, "parameters": dict(best.parameters), **found, "deflated_sharpe": deflated}


def _show(console: Console, outcomes: Outcomes, planned: Plan, folder: Path, again: str) -> None:
    table = Table(title=f"best of {len(outcomes.all)} trials", title_justify="left", box=None)
    rows = [_cells(outcomes, each) for each in outcomes.ranked[:SHOWN]]
    for name in rows[0] if rows else ():
        table.add_column(name, justify="left" if name in LEFT else "right", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
    console.print(outcomes.verdict, markup=False, soft_wrap=True)
    for warning in planned.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    for each in outcomes.failed[:3]:
        console.print(f"failed: {each.who}, {each.question.symbol}: {each.reason}", markup=False, soft_wrap=True)
    if outcomes.failed:
        console.print(
            f"{len(outcomes.failed)} tasks failed; try them again with: {again}", markup=False, soft_wrap=True
        )
    console.print(f"report  {folder / 'report.html'}\ntable   {folder / NAME}", markup=False, soft_wrap=True)


def _cells(outcomes: Outcomes, each: Outcome) -> dict[str, str]:
    trial, deflated = each.trial, outcomes.selection.deflated(each.trial) if each.trial else None
    assert trial is not None
    several = len({other.where for other in outcomes.all}) > 1
    return {
        "strategy": escape(each.who),
        "parameters": escape(", ".join(f"{name} {value}" for name, value in outcomes.varied(each).items()) or "-"),
        **({"where": escape(each.where)} if several else {}),
        "return": f"{trial.total_return:+.2%}",
        "Sharpe": "-" if trial.sharpe is None else f"{trial.sharpe:.2f}",
        "deflated": "-" if deflated is None else f"{deflated:.0%}",
        "drawdown": f"{trial.max_drawdown:.2%}",
        "fills": str(trial.fills),
    }
