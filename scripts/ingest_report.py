"""What an ingest did and what is odd about the data, for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from data.model.escape import escape_line
from data.model.instants import show
from data.model.market import Finding, IngestReport
from data.sources.gaps import counted


@dataclass(frozen=True)
class Watched:
    """Shows what goes on; quiet without a `status`."""

    status: Status | None

    def __call__(self, words: str) -> None:
        if self.status is not None:
            self.status.update(Text(escape_line(words)))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is printed meanwhile has its lines to itself."""
        if self.status is not None:
            self.status.stop()
        yield
        if self.status is not None:
            self.status.start()


@contextmanager
def watching() -> Iterator[Watched]:
    """Shows on a terminal what goes on; quiet elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Watched(None)
        return
    with console.status("opening the database") as status:
        yield Watched(status)


def show_report(console: Console, report: IngestReport) -> None:
    """One headline, then a line for each finding. What a file said is shown escaped."""
    span = f", {show(report.first)} to {show(report.last)}" if report.first and report.last else ""
    headline = (
        f"{report.symbol}: {counted(report.rows_read, 'rows')} read, {report.rows_new:,} new, "
        f"{counted(report.rows_corrected, 'corrections')}{span} ({report.source})"
    )
    console.print(Text(escape_line(headline), style="bold"), soft_wrap=True)
    if not report.findings:
        console.print("  nothing odd found")
        return
    table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
    for finding in report.findings:
        table.add_row(*_cells(finding))
    console.print(table)


def _cells(finding: Finding) -> tuple[Text, Text, Text]:
    style = "yellow" if finding.severity == "warning" else ""
    examples = f" [{'; '.join(finding.examples)}{'; …' if finding.count > len(finding.examples) else ''}]"
    words = finding.message + (examples if finding.examples else "")
    return Text(finding.severity, style=style), Text(f"{finding.count:,}"), Text(escape_line(words))
