"""Canonical JSON (RFC 8785) and digests over it.

Money becomes a plain decimal string without exponent or trailing zeros, an instant RFC 3339 in UTC, a date its ISO
form, an enum its value, a dataclass an object of its fields. NaN and infinity are refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

import rfc8785
from pydantic import BaseModel

from data.model.instants import iso

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def decimal_text(value: Decimal) -> str:
    """Plain notation: `1E+2` is `100`, `1.50` is `1.5`, a negative zero is `0`. Raises ValueError if not finite."""
    if not value.is_finite():
        raise ValueError(f"{value} is not a finite number")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def to_json(value: object) -> Json:
    """The JSON form of any of the house's values. Raises TypeError for what has none, ValueError for NaN."""
    if value is None or (isinstance(value, (bool, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no JSON form")
        return value
    return _compound(value)


def _compound(value: object) -> Json:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, date):
        return iso(value) if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return {name: to_json(getattr(value, name)) for name in _field_names(type(value))}


_FIELDS: dict[type, tuple[str, ...]] = {}


def _field_names(kind: type) -> tuple[str, ...]:
    if kind not in _FIELDS:
        if issubclass(kind, BaseModel):
            _FIELDS[kind] = tuple(kind.model_fields)
        elif dataclasses.is_dataclass(kind):
            _FIELDS[kind] = tuple(field.name for field in dataclasses.fields(kind))
        else:
            raise TypeError(f"{kind.__name__} has no canonical JSON form")
    return _FIELDS[kind]


def canonical_bytes(value: object) -> bytes:
    """The one byte string of a value."""
    return rfc8785.dumps(to_json(value))


def digest(value: object) -> str:
    """Lower-case hex SHA-256 over the canonical JSON."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
