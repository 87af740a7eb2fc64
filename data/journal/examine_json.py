"""Whether bytes are the one spelling that RFC 8785 gives a JSON value.

What is common is parsed, written again by a fast writer, and compared; a number that has several forms in use is left
to `canonical_bytes`. Numbers are doubles, as JSON's are. Limits: what is nested deeper than Python's stack
counts as no JSON, and half of a surrogate pair has no spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from pydantic import TypeAdapter

from data.model.canonical import Json, canonical_bytes

_Pairs = list[tuple[str, Json]]

_BOM = b"\xef\xbb\xbf"
_SAFE_DIGITS = 15
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BLANK = re.compile(rb"[ \t\r\n]")


class Respelled(ValueError):
    """JSON, but not in its one spelling; the message says what is different."""


def read_strict(line: bytes) -> Json:
    """The value that the bytes spell. Raises Respelled, and any other ValueError for what is no JSON."""
    try:
        text = line.decode()
        value, end = _SCAN(text)
        if end == len(text) and _WRITE(value) == line:
            return value  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        pass  # rare or wrong: said below
    value = _lenient(line)
    if canonical_bytes(value) != line:
        raise Respelled(_peculiarity(line))
    return value


def readings(line: bytes) -> Iterator[bytes]:
    """The canonical bytes of what the line may mean: where a name stands twice, its last value counts, or its first."""
    for pick in (dict, _first_wins):
        try:
            yield canonical_bytes(_lenient(line, pick))
        except ValueError:
            return


def _in_order(pairs: _Pairs) -> dict[str, Json]:
    value = dict(pairs)
    if len(pairs) > 1:
        names = list(value)
        if len(names) != len(pairs):
            raise Respelled(f"the name {_twice(pairs)[:80]!a} stands twice")
        ordered = sorted(names)
        if not "".join(names).isascii():
            ordered.sort(key=_utf16)
        if names != ordered:
            raise Respelled(f"the name {_misplaced(names, ordered)[:80]!a} stands out of order")
    return value


def _short_int(digits: str) -> int:
    if len(digits) > _SAFE_DIGITS:
        raise ValueError(f"{digits} may be no integer for a double")
    return int(digits)


def _plain_float(text: str) -> float:
    """Python and ECMAScript spell a float alike where neither takes an exponent, but for a trailing `.0`."""
    if text.endswith(".0") or "e" in text or "E" in text:
        raise ValueError(f"{text} may be spelled otherwise")
    return float(text)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_SCAN = json.JSONDecoder(
    object_pairs_hook=_in_order, parse_int=_short_int, parse_float=_plain_float, parse_constant=_no_constant
).raw_decode
_WRITE: Callable[[Json], bytes] = TypeAdapter(object).serializer.to_json


def _lenient(line: bytes, pick: Callable[[_Pairs], dict[str, Json]] = dict) -> Json:
    """The value of any spelling. Raises ValueError."""
    try:
        text = line.removeprefix(_BOM).decode()
        value: Json = json.loads(text, object_pairs_hook=pick, parse_int=_number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _SAFE_DIGITS else _double(float(digits))


def _double(value: float) -> int | float:
    return int(value) if abs(value) < 2**53 else value


def _first_wins(pairs: _Pairs) -> dict[str, Json]:
    return dict(reversed(pairs))


def _peculiarity(line: bytes) -> str:
    """What is unusual about the spelling, in a few words."""
    if line.startswith(_BOM):
        return "a byte order mark stands before it"
    if line.endswith(b"\r"):
        return "a carriage return stands behind it"
    if _BLANK.search(_STRING.sub(b'""', line)):
        return "white space stands in it"
    try:
        json.loads(line, object_pairs_hook=_in_order, parse_int=_plain_number, parse_float=_plain_number)
    except Respelled as found:
        return str(found)
    return "a text is escaped in another way"


def _plain_number(text: str) -> float:
    if canonical_bytes(float(text)) != text.encode():
        raise Respelled(f"the number {text[:40]} is spelled in another way")
    return float(text)


def _twice(pairs: _Pairs) -> str:
    names = [name for name, _ in pairs]
    return next(name for place, name in enumerate(names) if name in names[:place])


def _misplaced(names: list[str], ordered: list[str]) -> str:
    return next(name for name, due in zip(names, ordered, strict=True) if name != due)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16be")
