"""A run packed as one file: the same bytes wherever it lies, and nothing but the run."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from backtesting.audit.packing import Bundle, pack
from data.model.errors import DataError

RELEASE = next(path for path in sorted((Path(__file__).parents[1] / "releases" / "0.1.0").iterdir()) if path.is_dir())


def packed(folder: Path, target: Path) -> tuple[Bundle, bytes]:
    target.mkdir(exist_ok=True)
    bundle = pack(folder, RELEASE.name, target)
    return bundle, (target / bundle.name).read_bytes()


def unpacked(data: bytes) -> bytes:
    whole: bytes = pa.CompressedInputStream(io.BytesIO(data), "zstd").read()
    return whole


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASE, tmp_path / "copy", copy_function=shutil.copyfile))


def test_equal_runs_pack_into_equal_bytes(copy: Path, tmp_path: Path) -> None:
    for place, path in enumerate(sorted(copy.rglob("*"))):
        os.utime(path, (place * 1000, place * 1000))
        path.chmod(0o700)
    one, other = packed(RELEASE, tmp_path / "one"), packed(copy, tmp_path / "other")
    assert one == other


def test_the_digests_and_sizes_are_those_of_the_file_and_of_the_tar_inside(tmp_path: Path) -> None:
    bundle, data = packed(RELEASE, tmp_path / "out")
    assert bundle.name == f"run-{RELEASE.name}.tar.zst"
    assert (bundle.size, bundle.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    tar = unpacked(data)
    assert (bundle.tar_size, bundle.tar_sha256) == (len(tar), hashlib.sha256(tar).hexdigest())
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / bundle.name]


def test_any_tool_finds_the_run_in_it_and_nobody_s_name_or_time(tmp_path: Path) -> None:
    bundle, data = packed(RELEASE, tmp_path / "out")
    with tarfile.open(fileobj=io.BytesIO(unpacked(data))) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [f"{RELEASE.name}/{name}" for name in bundle.files]
        assert list(bundle.files) == sorted(bundle.files)
        for member, name in zip(members, bundle.files, strict=True):
            opened = archive.extractfile(member)
            assert opened is not None
            assert opened.read() == (RELEASE / name).read_bytes()
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    there = {path.relative_to(RELEASE).as_posix() for path in RELEASE.rglob("*") if path.is_file()}
    assert there == set(bundle.files)


def test_what_is_not_the_run_s_stays_at_home(copy: Path, tmp_path: Path) -> None:
    for name in (".env", "project.key", "blobs/notes.txt", "log.jsonl.part"):
        (copy / name).write_text("secret")
    assert packed(copy, tmp_path / "other") == packed(RELEASE, tmp_path / "one")


def test_a_link_is_not_followed(copy: Path, tmp_path: Path) -> None:
    (copy / "metrics.json").unlink()
    (copy / "metrics.json").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match=r"metrics\.json is a symbolic link"):
        packed(copy, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_shrinks_under_the_packing_leaves_nothing(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("unexpected end of data")

    monkeypatch.setattr(tarfile.TarFile, "addfile", broken)
    with pytest.raises(OSError, match="unexpected end"):
        packed(copy, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
