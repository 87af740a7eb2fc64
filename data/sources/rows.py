"""Rows of a CSV file, plain, gzip or alone in a zip, each with its line number; the cells as exact values.

One rule for every file: what cannot be read rejects the whole file, naming file, line and column (DataError). Cells are
UTF-8; a byte order mark is taken; the header's names are compared in lower case with `_` for blanks. A file is held
in memory while it is read.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TypeVar

from data.model.canonical import sha256_hex
from data.model.errors import DataError, UsageError

OTHER_MARKS = {";": "semicolons", "\t": "tabs", "|": "pipes"}
GZIP_MAGIC, ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\Z")
DAY = re.compile(r"[0-9]{4}(-[0-9]{2}-[0-9]{2}|[0-9]{4})\Z")
# Milliseconds or microseconds since 1970; no way to write a date has as many digits.
EPOCH = re.compile(r"[0-9]{13}([0-9]{3})?\Z")
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = Decimal(10) ** 18
# The first and the last year that a date can have are placeholders, and leave no room to say when their days end.
FIRST_YEAR, LAST_YEAR = date.min.year, date.max.year


Day = TypeVar("Day", date, datetime)


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `cells` by the header's names, blanks around them cut. `line` is where the row begins, from 1."""

    file: str
    line: int
    cells: Mapping[str, str]

    def error(self, what: str) -> DataError:
        return DataError(f"{self.file}, line {self.line}: {what}; nothing was stored")

    def text(self, column: str) -> str:
        """Never empty."""
        value = self.cells.get(column, "")
        if not value:
            raise self.error(f"{column} is empty")
        return value

    def optional(self, column: str) -> str | None:
        return self.cells.get(column) or None

    def number(self, column: str) -> Decimal:
        """Finite and below 1e18 in size."""
        text = self.text(column)
        if not NUMBER.match(text):
            raise self.error(f"{column} {text[:60]!r} is not a number")
        value = Decimal(text)
        if abs(value) >= LARGEST:
            raise self.error(f"{column} {text[:60]!r} is too large to be real")
        return value

    def day(self, column: str) -> date:
        text = self.text(column)
        try:
            if DAY.match(text):
                return self._real(date.fromisoformat(text), column)
        except ValueError:
            pass
        raise self.error(f"{column} {text[:60]!r} is not a date YYYY-MM-DD")

    def _real(self, at: Day, column: str) -> Day:
        if FIRST_YEAR < at.year < LAST_YEAR:
            return at
        raise self.error(f"{column} {self.text(column)[:60]!r} is a placeholder, and no date")

    def optional_day(self, column: str) -> date | None:
        return self.day(column) if self.optional(column) else None

    def wall_time(self, column: str) -> datetime:
        """Date and time as written, with its offset or without one."""
        text = self.text(column)
        try:
            if not DAY.match(text):
                return self._real(datetime.fromisoformat(text), column)
        except ValueError:
            pass
        raise self.error(f"{column} {text[:60]!r} is not a time such as 2025-04-01T00:00:00Z")

    def instant(self, column: str) -> datetime:
        """In UTC. A time without an offset is refused: to guess its zone is to look ahead.

        Milliseconds and microseconds since 1970 need none.
        """
        text = self.text(column)
        if EPOCH.match(text):
            return BEGINNING + timedelta(microseconds=int(text) * 10 ** (16 - len(text)))
        stamp = self.wall_time(column)
        if stamp.tzinfo is None:
            raise self.error(
                f"{column} {text[:60]!r} has no zone; write it with an offset, such as 2025-04-01T00:00:00Z"
            )
        return stamp.astimezone(UTC)

    def instant_or_day(self, column: str) -> datetime | date:
        """A date alone stays a `date`: what it means is the caller's rule."""
        return self.day(column) if DAY.match(self.text(column)) else self.instant(column)


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns and rows. `digest` is the SHA-256 of its unpacked bytes: a file and its gzip are one batch."""

    file: str
    columns: tuple[str, ...]
    digest: str
    text: str
    has_header: bool = True

    def rows(self) -> Iterator[Row]:
        """One at a time, blank lines left out. Raises DataError at a line that does not fit the header."""
        for line, cells in islice(_cells(self.file, self.text), int(self.has_header), None):
            if len(cells) != len(self.columns):
                raise DataError(
                    f"{self.file}, line {line}: {len(cells)} cells under {len(self.columns)} column names; "
                    "nothing was stored"
                )
            yield Row(self.file, line, dict(zip(self.columns, map(str.strip, cells), strict=True)))


def read_table(path: Path, unnamed: Sequence[str] = ()) -> Table:
    """`unnamed` are the columns of a file that begins with a row of as many numbers, and no names.

    Raises UsageError for a file that is not there, DataError for one that is no CSV table with rows.
    """
    content, name = _unpacked(path), path.name.encode("utf-8", "backslashreplace").decode()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line}: not UTF-8 text; nothing was stored") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{name}, line {line}: a NUL character, so no text; nothing was stored")
    first_two = list(islice(_cells(name, text), 2))
    head = first_two[0][1] if first_two else []
    if len(head) == len(unnamed) and head and all(NUMBER.match(cell.strip()) for cell in head):
        return Table(name, tuple(unnamed), sha256_hex(content), text, has_header=False)
    if len(first_two) < 2:
        raise DataError(f"{name} has no rows")
    return Table(name, _header(name, head), sha256_hex(content), text)


def _unpacked(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if packed.startswith(ZIP_MAGIC):
        return _alone_in_zip(path, packed)
    if not packed.startswith(GZIP_MAGIC):
        return packed
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged gzip file: {error}") from None


def _alone_in_zip(path: Path, packed: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            names = archive.namelist()
            if len(names) == 1:
                return archive.read(names[0])
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged zip file: {error}") from None
    raise DataError(f"{path.name} holds {len(names)} files; unpack it, and name those that are meant")


def _cells(file: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, each with its number: quoted cells may hold line breaks."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if any(cell.strip() for cell in cells):
                yield line, cells
    except csv.Error as error:
        raise DataError(f"{file}, line {before + 1}: {error}; nothing was stored") from None


def _header(file: str, cells: Sequence[str]) -> tuple[str, ...]:
    for mark, name in OTHER_MARKS.items():
        if len(cells) == 1 and mark in cells[0]:
            raise DataError(f"{file}: {name} between the columns; save it with commas")
    if sum(bool(NUMBER.match(cell.strip())) for cell in cells) > 1:
        raise DataError(f"{file}: its first line names no columns; put a line before it that does")
    columns = tuple(re.sub(r"[ -]+", "_", cell.strip().lower()) for cell in cells)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError(f"{file}: the column name {twice[0]!r} appears twice")
    return columns
