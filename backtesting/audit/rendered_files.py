"""The files of a run's folder that were made from its log, made again and compared: byte for byte, line by line.

Regular files only: a link is never followed, a pipe never waited for, and no more is read than there should be.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from backtesting.audit.findings import Difference, Findings
from backtesting.audit.renderings import render
from data.model.canonical import Json, sha256_hex

MORE = 4096
"""Bytes that are read beyond those there should be, to show what they are."""


def compare_renderings(run_dir: Path) -> tuple[Difference, ...]:
    """What differs between the last `rendered` record, the files in the folder, and what the log gives now.

    Nothing if the log has no such record: then nothing was promised. Raises DataError for a log that does not read.
    """
    made = render(run_dir)
    if made.record is None:
        return ()
    findings, seq = Findings(), made.record.seq
    recorded = made.record.body["files"]
    for name, digest in _in_order(recorded):
        derived = made.files.get(name)
        if derived is None:
            findings.add(seq, f"{name}, named at record {seq}, is no rendering of a run")
            continue
        if digest != sha256_hex(derived):
            findings.add(seq, f"SHA-256 of {name} at record {seq}", digest, sha256_hex(derived))
        _compare(findings, run_dir / name, derived, seq)
    for name in made.files.keys() - dict(_in_order(recorded)).keys():
        findings.add(seq, f"{name} is not named at record {seq}")
    return findings.in_order()


def _in_order(recorded: Json) -> list[tuple[str, Json]]:
    return sorted(recorded.items()) if isinstance(recorded, Mapping) else []


def _compare(findings: Findings, path: Path, derived: bytes, seq: int) -> None:
    try:
        held = _read(path, len(derived) + MORE)
    except OSError as error:
        findings.add(seq, f"{path.name} cannot be read: {error.strerror or error}")
        return
    if isinstance(held, str):
        findings.add(seq, f"{path.name} is {held}")
    elif held != derived:
        pairs = enumerate(zip_longest(held.split(b"\n"), derived.split(b"\n")), 1)
        number, (one, other) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
        findings.compare(seq, f"{path.name}, line {number}", _line(one), _line(other))


def _read(path: Path, most: int) -> bytes | str:
    """At most so many bytes of a regular file, or what it is instead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return "missing"
    except OSError:
        if path.is_symlink():
            return "a symbolic link, which is not followed"
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "no regular file"
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def _line(line: bytes | None) -> str:
    return "the file's end" if line is None else line.decode(errors="replace") or "an empty line"
