"""A run's log at hand: where each record lies, so that any of them can be read again without keeping it in memory."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from data.journal.line import decode
from data.journal.reading import LOG_NAME, Cut, read_cuts
from data.model.errors import DataError
from data.model.protocols import Record

_TEXT = r'"(?:[^"\\]|\\.)*"'
_NAMES = ("at", "audit.caused_by", "audit.seq", "audit.slot", "body")
_VALUES = (r'"[^"]*",', r"\[([0-9,]*)\],", "([0-9]+),", f"(null|{_TEXT}),", "")
_PAIRS = (f'"{re.escape(name)}":{value}' for name, value in zip(_NAMES, _VALUES, strict=True))
_HEAD = re.compile((r"\{" + "".join(_PAIRS)).encode())
_KIND = re.compile(rb',"kind":"([a-z._]+)"\}\n\Z')
_ASKED = re.compile(rb'"audit\.request_sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Place:
    """A record without its body. `asked` is the digest of an `llm.request`'s body."""

    seq: int
    kind: str
    slot: str | None
    caused_by: tuple[int, ...]
    offset: int
    length: int
    asked: str | None = None


class Shelf:
    """All records of a folder by number. Raises DataError for a log that is not in the journal's own spelling."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cuts: tuple[Cut, ...] = read_cuts(folder)
        self._file = (folder / LOG_NAME).open("rb")
        self.places: list[Place] = []
        offset = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self.places.append(self._place(line, offset))
            offset += len(line)

    @property
    def run_id(self) -> str:
        """As the first record says."""
        return str(self.read(self.places[0]).body["run_id"])

    def read(self, place: Place) -> Record:
        """The whole record, blobs resolved."""
        self._file.seek(place.offset)
        try:
            return decode(self._file.read(place.length), self.folder)
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise self._broken(place.seq) from error

    def live(self) -> list[Place]:
        """Those that count: without what a recovery set aside."""
        return [place for place in self.places if not any(cut.sets_aside(place.seq, place.kind) for cut in self.cuts)]

    def close(self) -> None:
        self._file.close()

    def _place(self, line: bytes, offset: int) -> Place:
        head, kind = _HEAD.match(line), _KIND.search(line, max(0, len(line) - 64))
        number = len(self.places)
        if head is None or kind is None or int(head[2]) != number:
            raise self._broken(number)
        asked = _ASKED.search(line, head.end()) if kind[1] == b"llm.request" else None
        return Place(
            seq=number,
            kind=kind[1].decode(),
            slot=json.loads(head[3]),
            caused_by=tuple(int(cause) for cause in head[1].split(b",") if cause),
            offset=offset,
            length=len(line),
            asked=asked[1].decode() if asked else None,
        )

    def _broken(self, number: int) -> DataError:
        return DataError(
            f"record {number} of {self.folder / LOG_NAME} does not read; see: python -m scripts.verify {self.folder}"
        )
