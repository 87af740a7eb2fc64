"""What a run came to: its summary, and the records that end its journal."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from agents.llm.channel import Totals
from backtesting.accounting.metrics import Metrics
from backtesting.accounting.significance import Significance
from backtesting.audit.renderings import write_renderings
from backtesting.audit.result import run_metrics, run_significance
from backtesting.audit.story import parse
from backtesting.audit.summary import Summary
from backtesting.core.preparation import Prepared
from backtesting.core.run import Ending, Tally
from data.journal.checkpoints import read_checkpoints
from data.model.errors import RunIncomplete
from data.model.protocols import Journal, Record


@dataclass(frozen=True)
class Result:
    """A run that is over, before anybody has summed it up."""

    prepared: Prepared
    ending: Ending
    tally: Tally
    totals: Totals
    note: str
    wall_s: float

    def metrics(self) -> Metrics | None:
        """The run's numbers against buy and hold over the same bars; None before the first bar."""
        tape, prepared = self.ending.tape, self.prepared
        return run_metrics(
            prepared.question, prepared.instruments, tape.equity, tape.trades, tape.fills, tape.benchmark
        )

    def significance(self) -> Significance | None:
        """How far the numbers could differ by luck; drawn with a fixed seed, so equal runs say the same."""
        return run_significance(self.prepared.question, self.prepared.instruments, self.ending.tape.equity)

    def summary(self, run_id: str, folder: Path, log: Path) -> Summary:
        """The run in numbers."""
        tape, numbers = self.ending.tape, self.metrics()
        return Summary(
            run_id=run_id,
            run_dir=str(folder),
            status=self.ending.status,
            reason=self.ending.reason,
            model=self.note.removeprefix("model: "),
            result_digest=self.ending.digest,
            bars=tape.bars,
            decisions=len(tape.decisions),
            failed=tape.failed,
            failures=dict(self.tally.failures),
            replies=self.tally.replies,
            replies_traced=self.tally.traced,
            fills=len(tape.fills),
            trades=len(tape.trades),
            final_equity=tape.equity[-1].equity if tape.equity else None,
            total_return=numbers.total_return if numbers else None,
            buy_and_hold_return=numbers.buy_and_hold_return if numbers else None,
            costs_paid=sum((fill.commission + fill.slippage for fill in tape.fills), Decimal(0)),
            calls=self.totals.calls,
            retries=self.totals.retries,
            input_tokens=self.totals.input_tokens,
            output_tokens=self.totals.output_tokens,
            cost_usd=self.totals.cost_usd,
            wall_s=round(self.wall_s, 3),
            report=str(folder / "report.html"),
            communications_log=str(log),
            warnings=self.prepared.warnings,
            wasted_calls=len(self.tally.unused),
            wasted_usd=_sum(self.tally.unused.values()),
            possibly_paid=self.totals.possibly_paid,
        )


def _sum(costs: Collection[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def recorded_summary(end: Record, folder: Path) -> Summary:
    """What a complete run recorded of itself, where it lies now."""
    summary = parse(Summary, end.body["summary"])
    points, _ = read_checkpoints(folder)
    return replace(
        summary,
        run_dir=str(folder),
        report=str(folder / "report.html"),
        communications_log=str(folder / "agent_comms.log"),
        head=points[-1][0].head if points else None,
    )


def end(journal: Journal, folder: Path, result: Result, summary: Summary) -> None:
    """The last records: the summary, and the digest of each file made from the log. Raises RunIncomplete."""
    journal.append(
        "run.end",
        {
            "status": summary.status,
            "reason": summary.reason,
            "result_digest": summary.result_digest,
            "summary": replace(summary, run_dir=".", report="report.html", communications_log="agent_comms.log"),
            "metrics": result.metrics(),
            "significance": result.significance(),
        },
    )
    journal.sync()
    try:
        rendered = write_renderings(folder)
    except OSError as error:
        raise RunIncomplete(
            f"the log in {folder} is whole, but its report could not be written ({error.strerror or error}); "
            f"mend that, then go on with --resume {folder}"
        ) from error
    journal.append("rendered", {"files": rendered})
    journal.sync()
