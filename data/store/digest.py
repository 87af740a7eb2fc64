"""What a result rests on: one digest over the rows that a window can show, and whether any row behind it is synthetic.

A row is a line of JSON in a fixed order of fields, instants as microseconds since 1970. Neither when nor in which batch
a row came is part of it, nor what lies too far back to be shown, so two databases that show the same have the same
digest, whatever else they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from data.model.instants import Interval
from data.model.market import EVERY_SYMBOL, FactKind

STREAM = 10_000


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a window looks: from its first session on, `bars` bars as of the close of its first one, and `facts`
    of each kind that were first told at that instant or later; of a kind that is not named, all. Nothing in it was
    known later than `known_by`.
    """

    start_on: date
    known_by: datetime
    bars: int
    facts: Mapping[FactKind, datetime]


# The first of the bars that the window's first decision is shown. One that was dropped by the end of the window may be
# missing in a view, so it does not count; where there are too few, all that there are can be shown.
_EARLIEST = text("""
    WITH first AS (
        SELECT known_at FROM market.bars
        WHERE symbol = :symbol AND "interval" = :interval AND version = 1 AND session_on >= :start_on
          AND open_time >= CAST(:start_on AS date) - interval '2 days'
        ORDER BY open_time LIMIT 1
    )
    SELECT min(open_time) FROM (
        SELECT open_time FROM market.bars bar
        WHERE symbol = :symbol AND "interval" = :interval AND version = 1
          AND open_time < (SELECT known_at FROM first) AND known_at <= (SELECT known_at FROM first)
          AND NOT EXISTS (
            SELECT FROM market.bars later
            WHERE later.symbol = bar.symbol AND later."interval" = bar."interval" AND later.open_time = bar.open_time
              AND 'dropped' = ANY(later.flags) AND later.known_at <= :known_by
          )
        ORDER BY open_time DESC LIMIT :bars
    ) shown HAVING count(*) = :bars
""")
_BARS = text("""
    SELECT json_build_array('bar', symbol, "interval", (extract(epoch FROM open_time) * 1000000)::bigint, version,
        (extract(epoch FROM known_at) * 1000000)::bigint, session_on - DATE '1970-01-01', trim_scale(open),
        trim_scale(high), trim_scale(low), trim_scale(close), trim_scale(volume), to_json(flags))::text
    FROM market.bars JOIN unnest(CAST(:symbols AS text[]), CAST(:earliest AS timestamptz[])) AS shown (symbol, earliest)
        USING (symbol)
    WHERE "interval" = :interval AND known_at <= :known_by AND open_time >= coalesce(earliest, '-infinity')
    ORDER BY symbol, open_time, version
""")
_FACTS = text("""
    SELECT json_build_array('fact', symbol, kind, key, period, (extract(epoch FROM published_at) * 1000000)::bigint,
        (extract(epoch FROM known_at) * 1000000)::bigint, source, trim_scale(value), unit, body,
        effective_on - DATE '1970-01-01')::text
    FROM market.facts LEFT JOIN unnest(CAST(:kinds AS text[]), CAST(:told AS timestamptz[])) AS reach (kind, told)
        USING (kind)
    WHERE symbol = ANY(:about) AND known_at <= :known_by
      AND (since >= coalesce(told, '-infinity') OR effective_on >= :start_on)
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


def data_digest(connection: Connection, symbols: Sequence[str], interval: Interval, reach: Reach) -> str:
    total = hashlib.sha256()
    streaming = connection.execution_options(yield_per=STREAM)
    window = {"interval": interval.value, "start_on": reach.start_on, "known_by": reach.known_by}
    series = {"symbols": list(symbols), "earliest": [_earliest(connection, each, interval, reach) for each in symbols]}
    told = {"kinds": [kind.value for kind in reach.facts], "told": list(reach.facts.values())}
    about = {"about": [*symbols, EVERY_SYMBOL]}
    for statement, asked in ((_BARS, series), (_FACTS, about | told)):
        for chunk in streaming.execute(statement, window | asked).scalars().partitions():
            total.update("".join(f"{line}\n" for line in chunk).encode())
    return total.hexdigest()


def _earliest(connection: Connection, symbol: str, interval: Interval, reach: Reach) -> datetime | None:
    window = {"start_on": reach.start_on, "known_by": reach.known_by, "bars": reach.bars}
    asked = {"symbol": symbol, "interval": interval.value} | window
    return connection.execute(_EARLIEST, asked).scalar_one_or_none()


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
