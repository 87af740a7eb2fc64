"""The list of runs: what was asked, where its folder is, what came of it. The truth about a run is in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

from data.model.canonical import Json, canonical_bytes

_BEGIN = text("""
    INSERT INTO market.runs (run_id, question, run_dir, started_at)
    VALUES (:run_id, CAST(:question AS json), :run_dir, :started_at)
    ON CONFLICT (run_id) DO UPDATE SET status = 'running', ended_at = NULL
""")
_END = text("""
    UPDATE market.runs SET status = :status, result_digest = :result_digest, summary = CAST(:summary AS json),
        ended_at = :ended_at
    WHERE run_id = :run_id
""")
_LIST = text("""
    SELECT run_id, run_dir, status, started_at, ended_at, result_digest, question, summary
    FROM market.runs ORDER BY started_at, run_id
""")


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as its process left it: `running` also if that was killed."""

    run_id: str
    run_dir: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    result_digest: str | None
    question: Json
    summary: Json


def begin(connection: Connection, run_id: str, question: Json, run_dir: str, started_at: datetime) -> None:
    row = {"run_id": run_id, "question": _json(question), "run_dir": run_dir, "started_at": started_at}
    connection.execute(_BEGIN, row)


def end(
    connection: Connection,
    run_id: str,
    status: str,
    result_digest: str | None,
    summary: Mapping[str, object],
    ended_at: datetime,
) -> None:
    row = {
        "run_id": run_id,
        "status": status,
        "result_digest": result_digest,
        "summary": _json(summary),
        "ended_at": ended_at,
    }
    if connection.execute(_END, row).rowcount != 1:
        raise LookupError(f"run {run_id} was never begun")


def listed(connection: Connection) -> tuple[RunRow, ...]:
    return tuple(_run(*row) for row in connection.execute(_LIST))


def _run(
    run_id: str,
    run_dir: str,
    status: str,
    started_at: datetime,
    ended_at: datetime | None,
    result_digest: str | None,
    question: Json,
    summary: Json,
) -> RunRow:
    ended = ended_at and ended_at.astimezone(UTC)
    return RunRow(run_id, run_dir, status, started_at.astimezone(UTC), ended, result_digest, question, summary)


def _json(value: object) -> str:
    return canonical_bytes(value).decode()
