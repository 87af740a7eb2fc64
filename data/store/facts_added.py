"""What of a batch of facts is stored, as SQL over sets.

A fact is named by symbol, kind, key and period. A row is one publication of it: of those known at an instant the latest
publication counts, in the version known last. So:

- A publication keeps its own date, however late we read it: it was known then.
- Another value for a publication that we had read is a correction without a date: it is known from its ingest on.
- A publication that says what the one before it said, as that was known then, is stored with the date of the first that
  said so (`since`). It is no news, but has to be remembered: or else its correction would look like a publication.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, text

from data.model.errors import DataError
from data.model.instants import show
from data.model.market import Fact
from data.store.batches import MANY, Batch, Counts, begin_batch
from data.store.copying import Value, copy_rows

_INCOMING = text("""
    CREATE TEMPORARY TABLE incoming_facts (
        symbol text COLLATE "C", kind text COLLATE "C", key text COLLATE "C", period text COLLATE "C",
        published_at timestamptz, source text, value numeric, unit text, body text, effective_on date
    ) ON COMMIT DROP
""")
_CONFLICT = text("""
    SELECT kind, key, symbol, published_at FROM incoming_facts
    GROUP BY symbol, kind, key, period, published_at
    HAVING count(DISTINCT ROW(trim_scale(value), unit, body, effective_on)::text) > 1
    ORDER BY symbol, kind, key, period, published_at LIMIT 1
""")
_STORE = text("""
    WITH incoming AS (
        SELECT DISTINCT ON (symbol, kind, key, period, published_at)
               *, ROW(trim_scale(value), unit, body, effective_on)::text AS content
        FROM incoming_facts ORDER BY symbol, kind, key, period, published_at, source COLLATE "C"
    ),
    compared AS (
        SELECT i.*, same.known_at AS corrects_known_at, same.content AS corrects
        FROM incoming i LEFT JOIN LATERAL (
            SELECT f.known_at, ROW(trim_scale(f.value), f.unit, f.body, f.effective_on)::text AS content
            FROM market.facts f
            WHERE f.symbol = i.symbol AND f.kind = i.kind AND f.key = i.key AND f.period = i.period
              AND f.published_at = i.published_at
            ORDER BY f.known_at DESC, f.fact_id DESC LIMIT 1
        ) same ON true
    ),
    fresh AS (
        SELECT c.*, lag(c.published_at) OVER name AS read_before_at, lag(c.content) OVER name AS read_before,
               stored.published_at AS stored_before_at, stored.content AS stored_before, stored.since AS stored_since
        FROM compared c LEFT JOIN LATERAL (
            SELECT f.published_at, f.since, ROW(trim_scale(f.value), f.unit, f.body, f.effective_on)::text AS content
            FROM market.facts f
            WHERE f.symbol = c.symbol AND f.kind = c.kind AND f.key = c.key AND f.period = c.period
              AND f.published_at < c.published_at AND f.known_at <= c.published_at
            ORDER BY f.published_at DESC, f.known_at DESC, f.fact_id DESC LIMIT 1
        ) stored ON true
        WHERE c.corrects IS NULL
        WINDOW name AS (PARTITION BY c.symbol, c.kind, c.key, c.period ORDER BY c.published_at)
    ),
    begun AS (
        SELECT *, CASE WHEN after_stored THEN stored_before ELSE read_before END AS before,
               CASE WHEN after_stored AND content = stored_before THEN stored_since
                    WHEN after_stored OR content IS DISTINCT FROM read_before THEN published_at END AS run_since
        FROM (SELECT *, coalesce(stored_before_at > read_before_at, stored_before_at IS NOT NULL) AS after_stored
              FROM fresh) placed
    ),
    runs AS (
        SELECT *, count(run_since) OVER (PARTITION BY symbol, kind, key, period ORDER BY published_at) AS run FROM begun
    ),
    wanted AS (
        SELECT symbol, kind, key, period, published_at, published_at AS known_at,
               min(run_since) OVER (PARTITION BY symbol, kind, key, period, run) AS since,
               source, value, unit, body, effective_on, before IS NULL AS is_new, before <> content AS is_changed
        FROM runs
        UNION ALL
        SELECT symbol, kind, key, period, published_at, greatest(:ingested_at, corrects_known_at),
               greatest(:ingested_at, corrects_known_at), source, value, unit, body, effective_on, false, true
        FROM compared WHERE corrects <> content
    ),
    stored AS (
        INSERT INTO market.facts (symbol, kind, key, period, published_at, known_at, since, source, value, unit, body,
                                  effective_on, synthetic, batch_id)
        SELECT symbol, kind, key, period, published_at, known_at, since, source, value, unit, body, effective_on,
               :synthetic, :batch_id
        FROM wanted ORDER BY symbol, kind, key, period, published_at
    )
    SELECT count(*), count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE is_changed) FROM wanted
""")


def add_facts(engine: Engine, batch: Batch, facts: Iterable[Fact]) -> Counts:
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(_INCOMING)
        read = copy_rows(connection, "incoming_facts", map(_row, facts))
        if conflict := connection.execute(_CONFLICT).first():
            kind, key, symbol, at = conflict
            raise DataError(
                f"two different values of {kind} {key} of {symbol}, both published {show(at)}, in one batch; "
                "nothing was stored"
            )
        stamp = begin_batch(connection, batch)
        stored, new, corrected = connection.execute(_STORE, stamp).one()
        if not stored:
            transaction.rollback()  # nothing new leaves nothing, not even a batch
        elif stored >= MANY:
            connection.exec_driver_sql("ANALYZE market.facts")
    return Counts(read, new, corrected)


def _row(fact: Fact) -> tuple[Value, ...]:
    return (
        fact.symbol,
        fact.kind.value,
        fact.key,
        fact.period,
        fact.known_at,
        fact.source,
        fact.value,
        fact.unit,
        fact.text,
        fact.effective_on,
    )
