"""Where rows come from, and what the store says of what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from data.model.canonical import Json, canonical_bytes
from data.model.instants import Interval

# So many new rows change the table: the planner looks at it again, without waiting for the server to find the time.
MANY = 1_000
# Writers wait for each other, readers never.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtext('market writers'))")
_INSERT = text("""
    INSERT INTO market.batches (source, digest, ingested_at, synthetic, adjustment, details)
    VALUES (:source, :digest, :ingested_at, :synthetic, :adjustment, CAST(:details AS json)) RETURNING batch_id
""")


@dataclass(frozen=True, slots=True)
class Batch:
    """One ingest: a file or a download, by its source and SHA-256. Corrections in it are known at `ingested_at`.

    `adjustment` is `none` or says what the prices were adjusted for, as `split+dividend`.
    """

    source: str
    digest: str
    ingested_at: datetime
    synthetic: bool = False
    adjustment: str = "none"
    details: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows read, rows stored as new, rows stored as later versions of known ones; the rest was known already."""

    read: int
    new: int
    corrected: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is stored of one series: first and last session, both included, and how many bars."""

    symbol: str
    interval: Interval
    first_on: date
    last_on: date
    bars: int


def begin_batch(connection: Connection, batch: Batch) -> dict[str, object]:
    """What its rows are stamped with, once every other writer is done. Kept only if the caller commits."""
    connection.execute(_ALONE)
    details = None if batch.details is None else canonical_bytes(batch.details).decode()
    row = {
        "source": batch.source,
        "digest": batch.digest,
        "ingested_at": batch.ingested_at,
        "synthetic": batch.synthetic,
        "adjustment": batch.adjustment,
        "details": details,
    }
    batch_id = connection.execute(_INSERT, row).scalar_one()
    return {"batch_id": batch_id, "synthetic": batch.synthetic, "ingested_at": batch.ingested_at}
