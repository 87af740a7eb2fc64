"""What a run's folder says of how it began and whether it ended, to whoever goes on with it or plays it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.prompt_files import Prompt
from backtesting.audit.story import parse
from backtesting.core.environment import changed_files
from data.journal.checkpoints import signed_size
from data.journal.reading import read_first, read_live
from data.model.canonical import Json, to_json
from data.model.decisions import Role
from data.model.differences import first_difference
from data.model.errors import DataError
from data.model.protocols import Record
from data.model.question import Question


@dataclass(frozen=True)
class Begun:
    """The run's first record."""

    record: Record

    @property
    def run_id(self) -> str:
        return str(self.record.body["run_id"])

    @property
    def question(self) -> Question:
        return parse(Question, self.record.body["question"])

    @property
    def invocation(self) -> Mapping[str, Json]:
        found = self.record.body["invocation"]
        assert isinstance(found, dict)
        return found

    @property
    def prompts(self) -> Mapping[Role, Prompt]:
        """The instructions of the four agents, as they were."""
        found = self.record.body["prompts"]
        assert isinstance(found, dict)
        return {role: parse(Prompt, found[role.value]) for role in Role}

    @property
    def has_own_prompts(self) -> bool:
        """Whether the run was asked with prompts from a folder of the user's."""
        return self.record.body.get("own_prompts") is True

    @property
    def budget(self) -> str | None:
        """As it was said when the run began."""
        said = self.invocation.get("budget_usd")
        return None if said is None else str(said)

    @property
    def files(self) -> Json:
        """Digests of the code, the prompts and the lock that were at work."""
        environment = self.record.body["environment"]
        return environment.get("files") if isinstance(environment, dict) else None

    def hint(self) -> str:
        """What to do where the run cannot be met again."""
        changed, environment = changed_files(self.files), self.record.body["environment"]
        revision = environment.get("revision") if isinstance(environment, dict) else None
        if not changed:
            return "nothing was added to it"
        named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        began = f"go on with the version that began it{f', {revision}' if revision else ''}"
        return f"since it began the program was changed: {named}; {began}"

    def require_same(self, question: Question, data_digest: str) -> None:
        """Raises DataError where the question or the rows behind it are no longer those of the run."""
        if data_digest != self.record.body["data_digest"]:
            why = f" ({self.hint()})" if changed_files(self.files) else ""
            raise DataError(
                f"the database no longer holds the rows that run {self.run_id} began with{why}; bring them back, or "
                "begin another run"
            )
        found = first_difference(to_json(self.question), to_json(question))
        if found is not None:
            raise DataError(
                f"run {self.run_id} asked another question: {found.pointer[1:]} was {found.before}, now {found.now}"
            )


def read_begun(folder: Path) -> Begun | None:
    """None for a folder without one complete record. Raises DataError for a log that does not begin as a run's."""
    log = folder / "log.jsonl"
    if not log.is_file() or b"\n" not in _beginning(log):
        return None
    first = read_first(folder)
    if first is None or first.kind != "run.begin" or not isinstance(first.body.get("invocation"), dict):
        raise DataError(f"the log in {folder} does not begin as a run's; see: python -m scripts.verify {folder}")
    return Begun(first)


def read_end(folder: Path) -> tuple[Record | None, bool]:
    """The `run.end` of a complete run, and whether its files were rendered after it, and all of that is signed."""
    end, rendered, signed = None, False, signed_size(folder)
    for record in read_live(folder):
        if record.kind == "run.end":
            end, rendered = (record if record.body["status"] == "complete" else None), False
        rendered = rendered or (record.kind == "rendered" and end is not None and record.seq < signed)
    return end, rendered


def decided(folder: Path) -> int:
    """How many decisions are on record there."""
    return sum(record.kind == "decision" for record in read_live(folder))


def _beginning(log: Path) -> bytes:
    with log.open("rb") as file:
        return file.readline(16 * 1024 * 1024)
