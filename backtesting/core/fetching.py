"""Data that the user asked to be brought before the run: the sample, or a missing window from a feed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rich.console import Console

from backtesting.core.arguments import Settings
from data.model.escape import escape_line
from data.model.instants import show
from data.model.market import ALWAYS_OPEN, IngestReport
from data.model.protocols import Clock
from data.sources.calendars import session_close, session_open, sessions_between
from data.sources.ingest import ingest_sample, ingest_window
from data.sources.instruments import calendar_of
from data.store.store import Store


def bring_data(settings: Settings, store: Store, clock: Clock, console: Console) -> None:
    """Does nothing for a window that is there. Raises what the ingest of a symbol raises."""
    missing = [symbol for symbol in settings.symbols if not _is_covered(settings, store, symbol)]
    if not missing or not (settings.sample or settings.fetch):
        return
    with console.status("bringing data") as status:
        if settings.sample:
            ingest_sample(store, clock=clock, watch=status.update)
            console.print("brought the sample: S&P 500 and Nasdaq daily bars, VIX and WTI", markup=False)
            return
        for symbol in missing:
            window = f"{settings.interval} bars of {symbol} from {settings.start_on} to {settings.end_on}"
            _say(console, f"the data lacks {window}: fetching them")
            report = ingest_window(
                store,
                symbol,
                settings.interval,
                settings.start_on,
                settings.end_on,
                clock=clock,
                market=settings.market,
                watch=status.update,
            )
            for line in _told(report):
                _say(console, line)


def _told(report: IngestReport) -> Iterator[str]:
    """What came, from where, and what is odd about it."""
    span = f", {show(report.first)} to {show(report.last)}" if report.first and report.last else ""
    corrected = f" and {report.rows_corrected:,} corrections" if report.rows_corrected else ""
    yield f"fetched {report.rows_new:,} bars{corrected} of {report.symbol} from {report.source}{span}"
    for finding in report.findings:
        if finding.severity == "warning":
            examples = f" [{'; '.join(finding.examples)}]" if finding.examples else ""
            yield f"warning: {finding.count:,} {finding.message}{examples}"


def _say(console: Console, line: str) -> None:
    console.print(escape_line(line), markup=False, highlight=False, soft_wrap=True)


def _is_covered(settings: Settings, store: Store, symbol: str) -> bool:
    """Whether the store's bars reach from the beginning of the window's first session to the end of its last.

    A hole between bars is no missing window: the exchange may have it, too.
    """
    instrument = store.instrument(symbol)
    calendar = instrument.calendar if instrument else calendar_of(symbol, settings.market)
    expected = sessions_between(calendar, settings.start_on, settings.end_on)
    held = next((window for window in store.windows(symbol) if window.interval == settings.interval), None)
    if not expected or held is None or held.first_on > expected[0] or held.last_on < expected[-1]:
        return False
    if settings.interval.is_daily:
        return True
    # On an exchange sources begin at the open or at the full hour, and leave out minutes without a trade.
    loose = timedelta(0) if calendar == ALWAYS_OPEN else max(settings.interval.length, timedelta(hours=1))
    begins, ends = session_open(calendar, expected[0]) + loose, session_close(calendar, expected[-1]) - loose
    first, last = (list(store.first_bars(symbol, settings.interval, on, on)) for on in (held.first_on, held.last_on))
    return first[0].open_time <= begins and last[-1].known_at >= ends
