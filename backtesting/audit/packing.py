"""A run's folder as one file to hand on: `run-<id>.tar.zst`, the same bytes whenever and wherever it is packed.

Only what a run leaves behind goes in, in the order of its names, with no owner, no mode and no time of its own. The
tar is plain (POSIX ustar), so any tool unpacks it. Limit: another release of the compressor may pack into other bytes,
so the digest of the tar inside is told too; it depends on the run alone.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from data.journal.examine_files import KNOWN, NotRegular, open_regular, survey
from data.journal.line import blob_path
from data.model.errors import DataError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed run: its name, sizes in bytes and SHA-256 of the file and of the tar inside; names of what is in it."""

    name: str
    size: int
    sha256: str
    tar_size: int
    tar_sha256: str
    files: tuple[str, ...]


def pack(folder: Path, run_id: str, target: Path) -> Bundle:
    """Writes `run-<run_id>.tar.zst` into the folder `target`, over one of that name.

    Raises DataError for what is no regular file, OSError for what cannot be read or written, or shrinks meanwhile.
    """
    names = tuple(_names(folder))
    path = target / f"run-{run_id}.tar.zst"
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file, pa.CompressedOutputStream(file, "zstd") as packed:
            tar = _Counted(packed)
            with tarfile.open(fileobj=tar, mode="w|", format=tarfile.USTAR_FORMAT) as archive:  # type: ignore[call-overload]
                for name in names:
                    _add(archive, folder, name, f"{run_id}/{name}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    size, digest = _digest(path)
    return Bundle(path.name, size, digest, tar.size, tar.sha256.hexdigest(), names)


class _Counted:
    """Hands on what is written, and keeps its length and digest."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self.size = 0
        self.sha256 = sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.sha256.update(data)
        self._stream.write(data)
        return len(data)


def _names(folder: Path) -> Iterator[str]:
    found = survey(folder)
    for fault in found.faults:
        raise DataError(f"{folder}: {fault.detail}; a run is packed as it was written")
    own = [name for name in KNOWN if (folder / name).exists()]
    yield from sorted([*own, *(blob_path(Path(), name).as_posix() for name in found.blobs)])


def _add(archive: tarfile.TarFile, folder: Path, name: str, packed_as: str) -> None:
    try:
        with open_regular(folder, name) as file:
            info = tarfile.TarInfo(packed_as)
            info.size = file.seek(0, 2)
            file.seek(0)
            archive.addfile(info, file)
    except NotRegular as error:
        raise DataError(f"{folder}: {error}; a run is packed as it was written") from None
    except ValueError as error:
        raise DataError(f"{folder}: {name} does not fit a tar file: {error}") from None


def _digest(path: Path) -> tuple[int, str]:
    size, found = 0, sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            found.update(chunk)
    return size, found.hexdigest()
