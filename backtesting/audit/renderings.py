"""Everything in a run's folder that people and programs read, made from its `log.jsonl` alone.

The same log gives the same bytes, so a rendering is never evidence: it can be made again and compared. Files are
replaced whole; a folder that was received from elsewhere cannot direct a write to a place outside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backtesting.audit.report import report_html
from backtesting.audit.story import Story
from backtesting.audit.story_reader import read_story
from backtesting.audit.tables import decisions_csv, equity_csv, trades_csv
from data.journal.comms import lines
from data.journal.reading import read_live
from data.model.canonical import Json, canonical_bytes, sha256_hex
from data.model.errors import DataError
from data.model.protocols import Record


@dataclass(frozen=True, slots=True)
class Rendered:
    """Each file by its name, and the last record that says what was rendered, if there is one."""

    files: Mapping[str, bytes]
    record: Record | None


def render(run_dir: Path) -> Rendered:
    """Every rendering, in memory. Raises DataError if the folder holds no readable log."""
    talk: list[str] = []
    last: list[Record] = []

    def heard() -> Iterator[Record]:
        for record in read_live(run_dir):
            talk.extend(lines(record))
            if record.kind == "rendered":
                last[:] = [record]
            yield record

    files = _files(read_story(heard())) | {"agent_comms.log": "".join(f"{line}\n" for line in talk)}
    return Rendered({name: text.encode() for name, text in files.items()}, last[0] if last else None)


def _files(story: Story) -> dict[str, str]:
    return {
        "decisions.csv": decisions_csv(story),
        "trades.csv": trades_csv(story),
        "equity.csv": equity_csv(story),
        "metrics.json": _json(_metrics(story)),
        "spec.json": _json(_spec(story)),
        "report.html": report_html(story),
    }


def write_renderings(run_dir: Path, target: Path | None = None) -> dict[str, str]:
    """Writes every rendering into `target`, or into the run's folder; returns the SHA-256 of each by its file name.

    Raises DataError if the folder holds no readable log, or if what was signed there would be overwritten by something
    else; OSError if it cannot be written.
    """
    made = render(run_dir)
    if target is None:
        _require_as_signed(run_dir, made)
    return {name: _replace((target or run_dir) / name, data) for name, data in made.files.items()}


def _require_as_signed(run_dir: Path, made: Rendered) -> None:
    """Another release may make a file in another way; the signed one in the folder must stay as it is."""
    signed = None if made.record is None else made.record.body.get("files")
    for name, digest in signed.items() if isinstance(signed, dict) else ():
        if name in made.files and sha256_hex(made.files[name]) != digest:
            raise DataError(
                f"this release makes {name} in another way than the one that was signed in {run_dir}, which stays as "
                "it is; write the new ones elsewhere with --output DIR"
            )


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
