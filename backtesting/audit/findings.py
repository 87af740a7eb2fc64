"""What an audit finds: where a record is not what follows from the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.model.canonical import Json
from data.model.differences import first_difference
from data.model.escape import escape_line

MOST = 1000
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of an audit. `record` is the number of the record it is about, None for what no record is about.

    `recorded` and `derived` are both values where there are two; text of a run is escaped and cut.
    """

    record: int | None
    what: str
    recorded: str = ""
    derived: str = ""

    def __str__(self) -> str:
        if not self.recorded and not self.derived:
            return self.what
        return f"{self.what}: recorded {self.recorded or 'nothing'}, derived {self.derived or 'nothing'}"


@dataclass
class Findings:
    """Differences as they are found; those beyond `MOST` are only counted."""

    found: list[Difference] = field(default_factory=list)
    more: int = 0

    def add(self, record: int | None, what: str, recorded: object = "", derived: object = "") -> None:
        if len(self.found) < MOST:
            self.found.append(Difference(record, _shown(what), _shown(recorded), _shown(derived)))
        else:
            self.more += 1

    def compare(self, record: int, what: str, recorded: Json, derived: Json) -> bool:
        """Adds the first place where two values differ, as a JSON pointer; true if they are equal."""
        if recorded == derived:
            return True
        first = first_difference(recorded, derived)
        if first is None:
            return True
        self.add(record, f"{what}{f' ({first.pointer})' if first.pointer else ''}", first.before, first.now)
        return False

    def in_order(self) -> tuple[Difference, ...]:
        """By the number of the record, then as found."""
        found = sorted(self.found, key=lambda one: (one.record is None, one.record or 0))
        return (*found, *([Difference(None, f"and {self.more:,} more")] if self.more else []))


def _shown(value: object) -> str:
    text = escape_line(str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
