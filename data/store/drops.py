"""Takes a batch out of what counts, without deleting anything: what it brought is followed by later versions.

Of each of its rows that version counts from then on which other batches brought last; where there is none, a tombstone
does (a bar with the flag `dropped`, a fact of the unit `dropped` without value and text). A view as of an instant
before the drop is what it was. The drop is a batch of its own, so that whoever remembers rows sees something new.
Limit: a file that brought nothing new left no batch, so it does not hold up what it repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from data.model.canonical import Json
from data.model.errors import UsageError
from data.store.batches import Batch, begin_batch

_BATCH = text("""
    SELECT source, digest, synthetic, adjustment, details->>'drops', EXISTS (
        SELECT FROM market.batches later WHERE later.details->>'drops' = batch.batch_id::text
    ) FROM market.batches batch WHERE batch_id = :number
""")
_BARS = text("""
    WITH gone (batch_id) AS (
        SELECT unnest(ARRAY[batch_id, (details->>'drops')::bigint]) FROM market.batches
        WHERE details->>'drops' IS NOT NULL
    ),
    touched AS (
        SELECT DISTINCT symbol, "interval", open_time FROM market.bars WHERE batch_id = :number
    ),
    stored AS (
        INSERT INTO market.bars (symbol, "interval", open_time, version, known_at, session_on,
                                 open, high, low, close, volume, flags, synthetic, batch_id)
        SELECT t.symbol, t."interval", t.open_time, latest.version + 1, greatest(:ingested_at, latest.known_at),
               counts.session_on, counts.open, counts.high, counts.low, counts.close, counts.volume,
               CASE WHEN held.version IS NULL THEN ARRAY['dropped'] ELSE held.flags END, counts.synthetic, :batch_id
        FROM touched t
        JOIN LATERAL (
            SELECT * FROM market.bars b
            WHERE b.symbol = t.symbol AND b."interval" = t."interval" AND b.open_time = t.open_time
            ORDER BY version DESC LIMIT 1
        ) latest ON true
        LEFT JOIN LATERAL (
            SELECT * FROM market.bars b
            WHERE b.symbol = t.symbol AND b."interval" = t."interval" AND b.open_time = t.open_time
              AND b.batch_id NOT IN (SELECT batch_id FROM gone)
            ORDER BY version DESC LIMIT 1
        ) held ON true
        JOIN LATERAL (
            SELECT * FROM market.bars b
            WHERE b.symbol = t.symbol AND b."interval" = t."interval" AND b.open_time = t.open_time
              AND b.version = coalesce(held.version, latest.version)
        ) counts ON true
        WHERE ('dropped' = ANY(latest.flags)) <> coalesce('dropped' = ANY(held.flags), true)
           OR (counts.open, counts.high, counts.low, counts.close, counts.volume)
              IS DISTINCT FROM (latest.open, latest.high, latest.low, latest.close, latest.volume)
        RETURNING flags
    )
    SELECT count(*) FILTER (WHERE 'dropped' = ANY(flags)), count(*) FROM stored
""")
# Of a name all publications are looked at: one of an earlier instant may be what another one was set back to.
_FACTS = text("""
    WITH gone (batch_id) AS (
        SELECT unnest(ARRAY[batch_id, (details->>'drops')::bigint]) FROM market.batches
        WHERE details->>'drops' IS NOT NULL
    ),
    touched AS (
        SELECT DISTINCT symbol, kind, key, period, published_at FROM market.facts JOIN (
            SELECT DISTINCT symbol, kind, key, period FROM market.facts WHERE batch_id = :number
        ) named USING (symbol, kind, key, period)
    ),
    placed AS (
        SELECT t.*, latest.known_at, latest.synthetic AS was_synthetic,
               held.source, held.value, coalesce(held.unit, 'dropped') AS unit, held.body, held.effective_on,
               held.synthetic, latest.source AS was_from,
               ROW(trim_scale(latest.value), latest.unit, latest.body, latest.effective_on)::text AS was
        FROM touched t
        JOIN LATERAL (
            SELECT * FROM market.facts f
            WHERE f.symbol = t.symbol AND f.kind = t.kind AND f.key = t.key AND f.period = t.period
              AND f.published_at = t.published_at
            ORDER BY f.known_at DESC, f.fact_id DESC LIMIT 1
        ) latest ON true
        LEFT JOIN LATERAL (
            SELECT * FROM market.facts f
            WHERE f.symbol = t.symbol AND f.kind = t.kind AND f.key = t.key AND f.period = t.period
              AND f.published_at <= t.published_at AND f.batch_id NOT IN (SELECT batch_id FROM gone)
            ORDER BY f.published_at DESC, f.known_at DESC, f.fact_id DESC LIMIT 1
        ) held ON true
    ),
    stored AS (
        INSERT INTO market.facts (symbol, kind, key, period, published_at, known_at, since, source, value, unit, body,
                                  effective_on, synthetic, batch_id)
        SELECT symbol, kind, key, period, published_at, greatest(:ingested_at, known_at),
               greatest(:ingested_at, known_at), coalesce(source, was_from), value, unit, body, effective_on,
               coalesce(synthetic, was_synthetic), :batch_id
        FROM placed WHERE was <> ROW(trim_scale(value), unit, body, effective_on)::text
        ORDER BY symbol, kind, key, period, published_at
        RETURNING value, unit, body
    )
    SELECT count(*) FILTER (WHERE unit = 'dropped' AND value IS NULL AND body IS NULL), count(*) FROM stored
""")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows of which nothing counts any more, and rows that went back to what another batch says."""

    batch_id: int
    source: str
    bars: int
    facts: int
    set_back: int


def drop_batch(engine: Engine, number: int, reason: str, dropped_at: datetime) -> Dropped:
    """Raises UsageError for a batch that is not there, was dropped already, or is a drop itself."""
    with engine.begin() as connection:
        source, digest, synthetic, adjustment = _batch(connection, number)
        details: dict[str, Json] = {"drops": number, "reason": reason}
        batch = Batch(f"drop of batch {number}", digest, dropped_at, synthetic, adjustment, details)
        asked = {**begin_batch(connection, batch), "number": number}
        bars, bar_rows = connection.execute(_BARS, asked).one()
        facts, fact_rows = connection.execute(_FACTS, asked).one()
    return Dropped(number, source, bars, facts, bar_rows + fact_rows - bars - facts)


def _batch(connection: Connection, number: int) -> tuple[str, str, bool, str]:
    row = connection.execute(_BATCH, {"number": number}).one_or_none()
    if row is None:
        raise UsageError(f"there is no batch {number}; python -m scripts.data list shows what there is")
    source, digest, synthetic, adjustment, drops, is_dropped = row
    if drops is not None:
        raise UsageError(f"batch {number} is a drop itself; ingest the file of batch {drops} again to bring it back")
    if is_dropped:
        raise UsageError(f"batch {number} was dropped already")
    return source, digest, synthetic, adjustment
