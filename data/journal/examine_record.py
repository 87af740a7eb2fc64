"""Whether a line's value is a record of this run: its fields, their types, its number, what it says it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from data.journal.line import is_reference
from data.model.canonical import Json

_NAMES = ("at", "audit.caused_by", "audit.seq", "audit.slot", "body", "kind")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.(?!0{6})[0-9]{6})?Z", re.ASCII)
_KIND = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)*", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class NotARecord(ValueError):
    """What is wrong with it, in one line."""


def require_record(value: Json, seq: int, run_id: str) -> dict[str, Json]:
    """The `seq`-th record of that run. Raises NotARecord."""
    if not isinstance(value, dict) or tuple(value) != _NAMES:
        raise NotARecord("it has not the six fields of a record")
    at, causes, number, slot, body, kind = value.values()
    if type(number) is not int or number != seq:
        raise NotARecord(f"it says that it is record {number!s:.40}")
    if not (isinstance(kind, str) and _KIND.fullmatch(kind) and isinstance(body, dict)):
        raise NotARecord("its kind is no name, or its body no object")
    if not (isinstance(at, str) and _AT.fullmatch(at) and _is_instant(at)):
        raise NotARecord(f"it was written at {at!s:.40}, which is no instant as the journal writes them")
    if not (isinstance(causes, list) and _point_back(causes, seq)):
        raise NotARecord("it rests on what is not before it")
    if slot is not None and not (isinstance(slot, str) and slot.startswith(f"{run_id}/")):
        raise NotARecord(f"its slot {slot!s:.80} is not of the run {run_id}")
    return value


def blobs_of(body: dict[str, Json]) -> Iterator[str]:
    """The digests of the blobs that a body refers to. Raises NotARecord for a reference that is none."""
    for value in body.values():
        if isinstance(value, dict) and is_reference(value):
            name = value["blob"]
            if not (isinstance(name, str) and _DIGEST.fullmatch(name) and value["media"] in ("text", "json")):
                raise NotARecord("it refers to a blob by no SHA-256, or of no known media type")
            yield name


def run_of(value: Json) -> str | None:
    """The run that a line says it is of: as its slot begins, or as a `run.begin` names it; None if it does not say."""
    if not isinstance(value, dict):
        return None
    slot, body = value.get("audit.slot"), value.get("body")
    if isinstance(slot, str) and "/" in slot:
        return slot.partition("/")[0]
    named = body.get("run_id") if isinstance(body, dict) and value.get("kind") == "run.begin" else None
    return named if isinstance(named, str) else None


def _is_instant(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _point_back(causes: list[Json], seq: int) -> bool:
    return all(type(cause) is int and 0 <= cause < seq for cause in causes)
