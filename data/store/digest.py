"""What a result rests on: one digest over the rows known by an instant, and whether any of them is synthetic.

A row is a line of JSON in a fixed order of fields, instants as microseconds since 1970. Neither when nor in which batch
a row came is part of it, so two databases that hold the same knowledge have the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from data.model.instants import Interval
from data.model.market import EVERY_SYMBOL

STREAM = 10_000

_BARS = text("""
    SELECT json_build_array('bar', symbol, "interval", (extract(epoch FROM open_time) * 1000000)::bigint, version,
        (extract(epoch FROM known_at) * 1000000)::bigint, session_on - DATE '1970-01-01', trim_scale(open),
        trim_scale(high), trim_scale(low), trim_scale(close), trim_scale(volume), to_json(flags))::text
    FROM market.bars WHERE symbol = ANY(:symbols) AND "interval" = :interval AND known_at <= :known_by
    ORDER BY symbol, open_time, version
""")
_FACTS = text("""
    SELECT json_build_array('fact', symbol, kind, key, period, (extract(epoch FROM published_at) * 1000000)::bigint,
        (extract(epoch FROM known_at) * 1000000)::bigint, source, trim_scale(value), unit, body,
        effective_on - DATE '1970-01-01')::text
    FROM market.facts WHERE symbol = ANY(:symbols) AND known_at <= :known_by
    ORDER BY symbol, kind, key, period, published_at, known_at, fact_id
""")
_SYNTHETIC = text("""
    SELECT DISTINCT source COLLATE "C" FROM market.batches JOIN (
        SELECT batch_id FROM market.bars
        WHERE synthetic AND symbol = ANY(:symbols) AND "interval" = :interval AND known_at <= :known_by
        UNION
        SELECT batch_id FROM market.facts WHERE synthetic AND symbol = ANY(:about) AND known_at <= :known_by
    ) made USING (batch_id) ORDER BY 1
""")


def data_digest(connection: Connection, symbols: Sequence[str], interval: Interval, known_by: datetime) -> str:
    total = hashlib.sha256()
    streaming = connection.execution_options(yield_per=STREAM)
    series = {"symbols": list(symbols), "interval": interval.value, "known_by": known_by}
    about = {"symbols": [*symbols, EVERY_SYMBOL], "known_by": known_by}
    for statement, asked in ((_BARS, series), (_FACTS, about)):
        for chunk in streaming.execute(statement, asked).scalars().partitions():
            total.update("".join(f"{line}\n" for line in chunk).encode())
    return total.hexdigest()


def synthetic_sources(
    connection: Connection, symbols: Sequence[str], interval: Interval, known_by: datetime
) -> tuple[str, ...]:
    asked = {
        "symbols": list(symbols),
        "about": [*symbols, EVERY_SYMBOL],
        "interval": interval.value,
        "known_by": known_by,
    }
    return tuple(connection.execute(_SYNTHETIC, asked).scalars())
