"""Where two JSON values first differ, as a JSON pointer (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from data.model.canonical import Json

ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """The place, and both values as text; `absent` where one side has none."""

    pointer: str
    before: str
    now: str

    def around(self) -> Difference:
        """The same, of long texts only what lies around the place where they part."""
        pairs = enumerate(zip(self.before, self.now, strict=False))
        same = min(len(self.before), len(self.now))
        start = max(0, next((at for at, (one, other) in pairs if one != other), same) - 30)
        return Difference(self.pointer, _part(self.before, start), _part(self.now, start))


def first_difference(before: Json, now: Json) -> Difference | None:
    """None if they are equal."""
    return next(differences(before, now), None)


def differences(before: object, now: object, pointer: str = "") -> Iterator[Difference]:
    """All of them, in the order of the keys."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            inner = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
            yield from differences(before.get(name, ABSENT), now.get(name, ABSENT), inner)
    elif isinstance(before, list) and isinstance(now, list):
        for number, (one, other) in enumerate(zip_longest(before, now, fillvalue=ABSENT)):
            yield from differences(one, other, f"{pointer}/{number}")
    elif before != now or isinstance(before, bool) is not isinstance(now, bool):
        yield Difference(pointer, _text(before), _text(now))


def _text(value: object) -> str:
    return "absent" if value is ABSENT else str(value)


def _part(text: str, start: int) -> str:
    return f"{'…' if start else ''}{text[start : start + 90]}{'…' if len(text) > start + 90 else ''}"
