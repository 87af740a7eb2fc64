"""Everything in a run's folder that people and programs read, made from its `log.jsonl` alone.

The same log gives the same bytes, so a rendering is never evidence: it can be made again and compared. Files are
replaced whole; a folder that was received from elsewhere cannot direct a write to a place outside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backtesting.audit.report import report_html
from backtesting.audit.story import Story, read_story
from backtesting.audit.tables import decisions_csv, equity_csv, trades_csv
from data.journal.comms import lines
from data.journal.run_journal import read_records
from data.model.canonical import Json, canonical_bytes, sha256_hex
from data.model.protocols import Record


def write_renderings(run_dir: Path) -> dict[str, str]:
    """Writes every rendering; returns the SHA-256 of each by its file name.

    Raises DataError if the folder holds no readable log, OSError if it cannot be written.
    """
    talk: list[str] = []

    def heard() -> Iterator[Record]:
        for record in read_records(run_dir):
            talk.extend(lines(record))
            yield record

    story = read_story(heard())
    files = {
        "decisions.csv": decisions_csv(story),
        "trades.csv": trades_csv(story),
        "equity.csv": equity_csv(story),
        "metrics.json": _json(_metrics(story)),
        "spec.json": _json(_spec(story)),
        "agent_comms.log": "".join(f"{line}\n" for line in talk),
        "report.html": report_html(story),
    }
    return {name: _replace(run_dir / name, text.encode()) for name, text in files.items()}


def _metrics(story: Story) -> dict[str, Json]:
    body = story.end.body if story.end else {}
    return {
        "run_id": story.run_id,
        "model_note": story.begin.body.get("model_note"),
        "status": body.get("status", "incomplete"),
        "reason": body.get("reason", "the log ends without run.end"),
        "result_digest": body.get("result_digest"),
        "summary": body.get("summary"),
        "metrics": body.get("metrics"),
        "significance": body.get("significance"),
        "record": story.end.seq if story.end else None,
    }


def _spec(story: Story) -> dict[str, Json]:
    return {**story.begin.body, "record": story.begin.seq}


def _json(value: dict[str, Json]) -> str:
    return canonical_bytes(value).decode() + "\n"


def _replace(path: Path, data: bytes) -> str:
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        file.write(data)
    part.replace(path)
    return sha256_hex(data)
