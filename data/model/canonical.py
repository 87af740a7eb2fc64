"""Canonical JSON (RFC 8785) and digests over it.

Money becomes a plain decimal string without exponent or trailing zeros, an instant RFC 3339 in UTC, a date its ISO
form, an enum its value, a dataclass an object of its fields. NaN and infinity are refused.

The package rfc8785 says what the bytes are. What is common is written here, because a journal writes a lot of it;
whatever is rare or wrong is left to the package.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias

import rfc8785
from pydantic import BaseModel, TypeAdapter

from data.model.instants import iso

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_EXACT = 2**53
_ATOMS = frozenset({str, int, bool, type(None)})
_FEW = 32


MOST_DIGITS = 1000


def decimal_text(value: Decimal) -> str:
    """Plain notation: `1E+2` is `100`, `1.50` is `1.5`, a negative zero is `0`.

    Raises ValueError if it is not finite, or so large or small that plain notation would be a text without end.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    exponent = value.as_tuple().exponent
    if value.adjusted() > MOST_DIGITS or (isinstance(exponent, int) and exponent < -MOST_DIGITS):
        raise ValueError(f"{value:.6E} is out of all range")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def to_json(value: object) -> Json:
    """The JSON form of any of the house's values. Raises TypeError for what has none, ValueError for NaN."""
    kind = type(value)
    if kind in _ATOMS:
        return value  # type: ignore[return-value]
    form = _FORMS.get(kind) or _form(kind)
    return form(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no JSON form")
    return value


def _object(value: Mapping[Any, Any]) -> Json:
    return {str(key): item if type(item) in _ATOMS else to_json(item) for key, item in value.items()}


def _array(value: Iterable[Any]) -> Json:
    return [item if type(item) in _ATOMS else to_json(item) for item in value]


_Form: TypeAlias = Callable[[Any], Json]
_FORMS: dict[type, _Form] = {dict: _object, list: _array, float: _finite, Decimal: decimal_text}
# The first that fits counts.
_ANCESTORS: tuple[tuple[type, _Form], ...] = (
    (Enum, lambda member: to_json(member.value)),
    (str, lambda text: text),
    (int, lambda number: number),
    (float, _finite),
    (Decimal, decimal_text),
    (datetime, iso),
    (date, lambda day: day.isoformat()),
    (Mapping, _object),
    (list, _array),
    (tuple, _array),
)


def _form(kind: type) -> _Form:
    """The form of a type's values, found once. Raises TypeError if they have none."""
    found = next((form for ancestor, form in _ANCESTORS if issubclass(kind, ancestor)), None)
    _FORMS[kind] = form = found or _fields_form(kind)
    return form


def _fields_form(kind: type) -> _Form:
    if issubclass(kind, BaseModel):
        names = tuple(kind.model_fields)
    elif dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
    else:
        raise TypeError(f"{kind.__name__} has no canonical JSON form")
    return lambda value: {name: to_json(getattr(value, name)) for name in names}


def canonical_bytes(value: object) -> bytes:
    """The one byte string of a value: RFC 8785 over its JSON form. Raises as `to_json`, and ValueError for the rest."""
    try:
        return _written(value)
    except (ValueError, TypeError, RecursionError):
        pass  # left to the package: it writes the rare ones, and says what is wrong with the others
    return rfc8785.dumps(to_json(value))


def _written(value: object) -> bytes:
    """Canonical JSON. Raises ValueError where that is in doubt."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    plain = to_json(value)
    return _WRITERS[type(plain)](plain) if type(plain) in _WRITERS else _in_doubt(plain)


# Pydantic escapes what RFC 8785 says, as it says, many times as fast as Python can.
_write_text: Callable[[str], bytes] = TypeAdapter(str).serializer.to_json


def _write_object(value: dict[str, object]) -> bytes:
    layout = _layout(*value) if len(value) <= _FEW else _arranged(value)
    found = _WRITERS.get
    pairs = [written + found(type(item := value[name]), _written)(item) for name, written in layout]
    return b"{" + b",".join(pairs) + b"}"


def _arranged(names: Collection[Any]) -> tuple[tuple[str, bytes], ...]:
    """The names in the order of UTF-16, each with what is written for it."""
    if any(type(name) is not str for name in names):
        raise ValueError("a name that is no text is left to the package")
    return tuple((name, _write_text(name) + b":") for name in sorted(names, key=_utf16))


# Records of one kind have the same names.
@lru_cache(1024, typed=True)
def _layout(*names: object) -> tuple[tuple[str, bytes], ...]:
    return _arranged(names)


def _write_array(value: Iterable[object]) -> bytes:
    return b"[" + b",".join([_written(item) for item in value]) + b"]"


def _write_int(value: int) -> bytes:
    return b"%d" % value if -_EXACT < value < _EXACT else _in_doubt(value)


def _write_float(value: float) -> bytes:
    """ECMAScript's form is Python's where neither takes an exponent, but for a trailing `.0`."""
    text = repr(value)
    if value == 0 or "e" in text or "n" in text:
        return rfc8785.dumps(value)
    return text.removesuffix(".0").encode()


def _utf16(name: str) -> bytes:
    return name.encode("utf-16be")


def _in_doubt(value: object) -> bytes:
    raise ValueError(f"{value!r} is left to the package")


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: _write_text,
    dict: _write_object,
    list: _write_array,
    tuple: _write_array,
    int: _write_int,
    float: _write_float,
    bool: {True: b"true", False: b"false"}.__getitem__,
    type(None): {None: b"null"}.__getitem__,
}


def digest(value: object) -> str:
    """Lower-case hex SHA-256 over the canonical JSON."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
