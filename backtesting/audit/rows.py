"""Values of the house out of a record, and only if the record is written as the house writes them."""

from __future__ import annotations

from typing import TypeVar

from backtesting.audit.story import parse
from data.model.canonical import to_json

T = TypeVar("T")


def read_row(kind: type[T], body: object) -> T:
    """Raises ValueError for anything besides that value's own JSON form: other spellings, other keys."""
    row = parse(kind, body)  # type: ignore[arg-type]
    if to_json(row) != body:
        raise ValueError(f"a {kind.__name__.lower()} is not written as one")
    return row
