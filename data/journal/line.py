"""One record as one line: RFC 8785 JSON. Large values of its body lie beside the log as blobs, by their SHA-256."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from data.model.canonical import Json, canonical_bytes, sha256_hex
from data.model.instants import iso, parse_instant
from data.model.protocols import Record

SPILL_BYTES = 48 * 1024
LONGEST_LINE = 16 * 1024 * 1024


def encode(record: Record, body: bytes) -> bytes:
    """The record's bytes without line end, around its body's canonical JSON. The names stand in order."""
    return b'{"at":"%b","audit.caused_by":[%b],"audit.seq":%d,"audit.slot":%b,"body":%b,"kind":%b}' % (
        iso(record.at).encode(),
        ",".join(map(str, record.caused_by)).encode(),
        record.seq,
        _word(record.slot),
        body,
        _word(record.kind),
    )


@lru_cache(1024)
def _word(word: str | None) -> bytes:
    """Of kinds there are few, and a slot stands in several records."""
    return canonical_bytes(word)


def decode(line: bytes, folder: Path) -> Record:
    """The record of a line, its blobs resolved. Raises ValueError, KeyError, TypeError or OSError for what is none."""
    whole = json.loads(line, parse_int=_number)
    if not isinstance(whole, dict):
        raise ValueError("it is no object")
    body, caused_by, seq, slot = whole["body"], whole["audit.caused_by"], whole["audit.seq"], whole["audit.slot"]
    if not (isinstance(body, dict) and isinstance(caused_by, list) and isinstance(seq, int)):
        raise ValueError("a field has the wrong type")
    return Record(
        seq=seq,
        at=parse_instant(str(whole["at"])),
        kind=str(whole["kind"]),
        body={name: _resolve(value, folder) for name, value in body.items()},
        slot=None if slot is None else str(slot),
        caused_by=tuple(int(cause) for cause in caused_by if isinstance(cause, int)),
    )


def blob_path(folder: Path, name: str) -> Path:
    """Where the blob of that digest lies. Raises ValueError for what is no digest."""
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise ValueError(f"{name!r} is not a SHA-256")
    return folder / "blobs" / "sha256" / name[:2] / name


def is_reference(value: Json) -> bool:
    """Whether a value of a body stands for a blob."""
    return isinstance(value, dict) and value.keys() == {"blob", "media"}


def _resolve(value: Json, folder: Path) -> Json:
    if not (isinstance(value, dict) and is_reference(value)):
        return value
    data = blob_path(folder, str(value["blob"])).read_bytes()
    if sha256_hex(data) != value["blob"]:
        raise ValueError(f"blob {value['blob']} does not have its digest")
    if value["media"] == "text":
        return data.decode()
    resolved: Json = json.loads(data, parse_int=_number)
    return resolved


def _number(digits: str) -> int | float:
    """JSON numbers are doubles: a large one was written from a double and is read back as that."""
    value = int(digits)
    return value if abs(value) < 2**53 else float(digits)
