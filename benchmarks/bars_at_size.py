"""A million bars in, a hundred thousand out, and one view among them, beside the server's plain COPY.

The bars are the real ones of the place, laid after each other a minute apart until they are a million: priced like a
history, but none. They are stored as synthetic, under names of their own.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from typing import Any, BinaryIO

from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent
from data.model.instants import Interval
from data.model.market import Bar, MarketView
from data.store.store import Batch
from data.view import MarketViews, build_market_view

BARS, OUT, VIEWS = 1_000_000, 100_000, 200
# A million bars take the server's disk; more rounds than these say little more.
ROUNDS = 2
IN, BACK, VIEW = Goal(8), Goal(0.5), Goal(2)
START, INTERVAL = datetime(2000, 1, 1, tzinfo=UTC), Interval.M1
COLUMNS = """symbol, "interval", open_time, version, known_at, session_on, open, high, low, close, volume, flags,
             synthetic, batch_id"""
LINES = f"COPY (SELECT {COLUMNS} FROM market.bars WHERE symbol = %s ORDER BY open_time) TO STDOUT"  # noqa: S608 - fixed words
NUMBERS = """
    COPY (
        SELECT open_time, known_at, open, high, low, close, volume FROM market.bars
        WHERE symbol = %s AND open_time < %s ORDER BY open_time
    ) TO STDOUT
"""


def rows(place: Place) -> Iterator[Row]:
    """Seconds for bars, milliseconds for a view."""
    tiles = _Tiles(place)
    found = in_turn({"ours": tiles.store, "copy": tiles.copy}, min(ROUNDS, place.rounds), place.tell)
    yield _row(f"{BARS:,} bars in", "s", found, "COPY of the same lines into a table like it", IN)
    found = in_turn({"ours": tiles.columns, "copy": tiles.copy_out}, place.rounds, place.tell)
    yield _row(f"{OUT:,} bars out, as columns", "s", found, "COPY of the same bars to memory, as text", BACK)
    found = in_turn({"ours": tiles.views, "copy": tiles.views_from_scratch}, place.rounds, place.tell)
    yield _row(f"one view, going on in {BARS:,} bars", "ms", found, "the same view read from scratch", VIEW)


def _row(name: str, unit: str, found: dict[str, tuple[float, ...]], against: str, goal: Goal) -> Row:
    return Row(name, middle(found["ours"]), unit, against, middle(found["copy"]), goal)


class _Tiles:
    """Series made of the place's bars; each method works on the last that was stored, and returns how long it took."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stored = 0
        series = place.store.windows()[0]
        instrument = place.store.instrument(series.symbol)
        if instrument is None:
            raise RuntimeError(f"the place has bars of {series.symbol}, but not what it is")
        self._instrument = instrument
        self._real = tuple(place.store.first_bars(series.symbol, series.interval, series.first_on, series.last_on))

    def store(self) -> float:
        self._stored += 1
        bars = self._tiled()
        self._place.store.put_instrument(replace(self._instrument, symbol=self._symbol))
        batch = Batch(f"tiles of {self._instrument.symbol}", "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), synthetic=True)
        return spent(lambda: self._place.store.add_bars(batch, bars)).wall

    def copy(self) -> float:
        """A table of its own, made and dropped outside the time that is taken."""
        lines = self._place.folder / "lines"
        with self._cursor() as cursor, lines.open("w+b") as file:
            if not self._stored:
                self.store()
            cursor.copy_expert(cursor.mogrify(LINES, (self._symbol,)), file)
            file.seek(0)
            cursor.execute("CREATE TABLE market.tiles (LIKE market.bars INCLUDING ALL)")
            cursor.connection.commit()
            try:
                return spent(lambda: _copied(cursor, file)).wall
            finally:
                cursor.execute("DROP TABLE market.tiles")
                cursor.connection.commit()

    def columns(self) -> float:
        """Whole sessions, which may be a few bars more."""
        end = START + INTERVAL.length * (OUT - 1)
        return spent(lambda: self._place.store.columns(self._symbol, INTERVAL, START.date(), end.date())).wall

    def copy_out(self) -> float:
        end = START + INTERVAL.length * OUT
        with self._cursor() as cursor:
            statement = cursor.mogrify(NUMBERS, (self._symbol, end))
            return spent(lambda: cursor.copy_expert(statement, io.BytesIO())).wall

    def views(self) -> float:
        """Milliseconds of one, the middle of many, minute by minute near the end."""
        views = MarketViews(self._place.store, INTERVAL)
        views.at(self._symbol, self._instants()[0] - INTERVAL.length)
        return self._middle(lambda as_of: views.at(self._symbol, as_of))

    def views_from_scratch(self) -> float:
        return self._middle(lambda as_of: build_market_view(self._place.store, self._symbol, INTERVAL, as_of))

    def _middle(self, look: Callable[[datetime], MarketView]) -> float:
        return middle([spent(partial(look, as_of)).wall for as_of in self._instants()]) * 1e3

    def _instants(self) -> list[datetime]:
        last = START + INTERVAL.length * BARS
        return [last - INTERVAL.length * before for before in reversed(range(VIEWS))]

    @property
    def _symbol(self) -> str:
        return f"TILED{self._stored}"

    def _tiled(self) -> list[Bar]:
        """The real bars over and over, a minute apart."""
        return [
            replace(
                bar,
                symbol=self._symbol,
                interval=INTERVAL,
                open_time=(opened := START + INTERVAL.length * number),
                known_at=opened + INTERVAL.length,
                session_on=opened.date(),
            )
            for number, bar in enumerate(islice(cycle(self._real), BARS))
        ]

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """The driver's, which speaks COPY."""
        with self._place.store.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            with driver.cursor() as cursor:
                yield cursor


def _copied(cursor: Any, file: BinaryIO) -> None:
    cursor.copy_expert(f"COPY market.tiles ({COLUMNS}) FROM STDIN", file)
    cursor.connection.commit()
