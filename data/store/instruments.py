"""What is traded, one row a symbol."""

from __future__ import annotations

from dataclasses import astuple, fields

from sqlalchemy import Connection, text

from data.model.errors import DataError
from data.model.market import AssetClass, Instrument

_COLUMNS = [field.name for field in fields(Instrument)]
_READ = text("""
    SELECT symbol, asset_class, calendar, currency, tick, lot, min_notional
    FROM market.instruments WHERE symbol = :symbol
""")
_WRITE = text("""
    INSERT INTO market.instruments (symbol, asset_class, calendar, currency, tick, lot, min_notional)
    VALUES (:symbol, :asset_class, :calendar, :currency, :tick, :lot, :min_notional)
    ON CONFLICT (symbol) DO UPDATE SET asset_class = excluded.asset_class, calendar = excluded.calendar,
        currency = excluded.currency, tick = excluded.tick, lot = excluded.lot, min_notional = excluded.min_notional
""")


def put(connection: Connection, instrument: Instrument) -> None:
    known = get(connection, instrument.symbol)
    if known is not None and known.calendar != instrument.calendar:
        raise DataError(
            f"{instrument.symbol} is stored with the calendar {known.calendar}, which decides when its bars were "
            f"known; with {instrument.calendar} it has to be another symbol"
        )
    connection.execute(_WRITE, dict(zip(_COLUMNS, astuple(instrument), strict=True)))


def get(connection: Connection, symbol: str) -> Instrument | None:
    row = connection.execute(_READ, {"symbol": symbol}).first()
    return None if row is None else Instrument(row[0], AssetClass(row[1]), *row[2:])
