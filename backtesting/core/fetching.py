"""Data that the user asked to be brought before the run: the sample, or a missing window from a feed."""

from __future__ import annotations

from rich.console import Console

from backtesting.core.arguments import Settings
from data.model.protocols import Clock
from data.sources.calendars import sessions_between
from data.sources.ingest import ingest_sample, ingest_window
from data.sources.instruments import calendar_of
from data.store.store import Store


def bring_data(settings: Settings, store: Store, clock: Clock, console: Console) -> None:
    """Does nothing for a window that is there. Raises what the ingest raises; then nothing was stored."""
    missing = [symbol for symbol in settings.symbols if not _is_covered(settings, store, symbol)]
    if not missing or not (settings.sample or settings.fetch):
        return
    with console.status("bringing data") as status:
        if settings.sample:
            ingest_sample(store, clock=clock, watch=status.update)
            console.print("brought the sample: S&P 500 and Nasdaq daily bars, VIX and WTI", markup=False)
            return
        for symbol in missing:
            report = ingest_window(
                store,
                symbol,
                settings.interval,
                settings.start_on,
                settings.end_on,
                clock=clock,
                watch=status.update,
            )
            console.print(f"fetched {report.rows_new} bars of {symbol} from {report.source}", markup=False)


def _is_covered(settings: Settings, store: Store, symbol: str) -> bool:
    """Whether the store's bars reach from the window's first session to its last."""
    instrument = store.instrument(symbol)
    calendar = instrument.calendar if instrument else calendar_of(symbol, settings.market)
    expected = sessions_between(calendar, settings.start_on, settings.end_on)
    held = [window for window in store.windows(symbol) if window.interval == settings.interval]
    return bool(expected and held) and held[0].first_on <= expected[0] and held[0].last_on >= expected[-1]
