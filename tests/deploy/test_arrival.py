"""A packed run is taken in whole or not at all, and nothing lands outside of its own folders."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.audit.arrival import receive
from data.model.errors import AgentraderError, DataError, UsageError
from scripts import receive as door

RUN = "20250401-000000-BTCUSDT-1h-abc123"
LOG = (f"runs/{RUN}/log.jsonl", b'{"a":1}\n')


def packed(*files: tuple[str, bytes], odd: Sequence[tarfile.TarInfo] = ()) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in odd:
            tar.addfile(member)
    stream.seek(0)
    return stream


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def left_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_a_run_and_its_logs_come_home(tmp_path: Path) -> None:
    stream = packed(LOG, (f"runs/{RUN}/blobs/sha256/ab/abcd", b"x"), ("logs/agent_comms_1.log", b"said"))
    assert receive(stream, RUN, tmp_path / "results") == tmp_path / "results" / RUN
    assert left_in(tmp_path) == {
        f"results/{RUN}/log.jsonl",
        f"results/{RUN}/blobs/sha256/ab/abcd",
        f"results/logs/{RUN}/agent_comms_1.log",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/cron.d/x", "../x", f"runs/{RUN}/../x", "runs/another/log.jsonl", "x", "logs/../x", "logs/a/b"),
        *(f"runs/{RUN}/a/../../../x", f"runs/{RUN}/.hidden", f"runs/{RUN}/a b", f"runs/{RUN}/a\nb", f"runs/{RUN}"),
    ],
)
def test_a_file_with_another_place_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of run"):
        receive(packed(LOG, (name, b"bad")), RUN, tmp_path)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of run"):
        receive(packed(LOG, odd=[special(f"runs/{RUN}/report.html", kind, "/etc/passwd")]), RUN, tmp_path)
    assert left_in(tmp_path) == set()


@given(name=st.text(st.sampled_from("ab./-_\\~ \n"), min_size=1, max_size=30), within=st.booleans())
def test_no_name_leads_out(name: str, tmp_path_factory: pytest.TempPathFactory, *, within: bool) -> None:
    outer = tmp_path_factory.mktemp("outer")
    try:
        receive(packed(LOG, (f"runs/{RUN}/{name}" if within else name, b"x")), RUN, outer / "in")
    except AgentraderError:
        assert left_in(outer) == set()
    assert all(path.startswith(f"in/{RUN}/") for path in left_in(outer))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (io.BytesIO(), "no whole packed run"),
        (io.BytesIO(b"ssh: nobody there"), "no whole packed run"),
        (io.BytesIO(packed(LOG).getvalue()[:-30]), "no whole packed run"),
        (packed(("logs/a.log", b"x")), "no log of run"),
        (packed(LOG, LOG), "twice"),
        (packed(LOG, (f"runs/{RUN}/x", bytes(5000))), "larger than 4096 bytes"),
    ],
)
def test_what_is_no_packed_run_leaves_nothing(stream: io.BytesIO, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        receive(stream, RUN, tmp_path, most_bytes=4096)
    assert list(tmp_path.iterdir()) == []


def header(name: str, kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def extended(records: bytes) -> bytes:
    """A PAX header before the next file."""
    return header("pax", tarfile.XHDTYPE, len(records)) + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    "odd",
    [
        b"22 GNU.sparse.map=a,b\n" + b"21 GNU.sparse.size=9\n",
        b"22 GNU.sparse.major=1\n" + b"22 GNU.sparse.minor=0\n" + b"25 GNU.sparse.realsize=9\n",
        b"14 size=-1024\n",
    ],
)
def test_headers_that_mislead_are_refused(odd: bytes, tmp_path: Path) -> None:
    named = header(f"runs/{RUN}/x", tarfile.REGTYPE, 0)
    with pytest.raises(DataError, match="no whole packed run"):
        receive(zipped(extended(odd) + named + b"no number\n" + bytes(502)), RUN, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_file_is_no_plain_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of run"):
        receive(packed(LOG, odd=[special(f"runs/{RUN}/x", tarfile.GNUTYPE_SPARSE)]), RUN, tmp_path)


def test_no_header_makes_it_take_memory(tmp_path: Path) -> None:
    much = 64 << 20
    bomb = zipped(header("x", tarfile.GNUTYPE_LONGNAME, much) + bytes(much))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="no whole packed run"):
            receive(bomb, RUN, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < much // 8
    finally:
        tracemalloc.stop()


def test_folders_without_end_come_to_an_end(tmp_path: Path) -> None:
    folders = header("runs", tarfile.DIRTYPE, 0) * 10
    with pytest.raises(DataError, match="larger than 4096 bytes"):
        receive(zipped(folders), RUN, tmp_path, most_bytes=4096)


def zipped(raw: bytes) -> io.BytesIO:
    return io.BytesIO(gzip.compress(raw))


def test_a_run_that_went_on_takes_the_earlier_copys_place(tmp_path: Path) -> None:
    receive(packed(LOG, (f"runs/{RUN}/old", b"")), RUN, tmp_path)
    receive(packed((LOG[0], LOG[1] + b'{"b":2}\n')), RUN, tmp_path)
    assert left_in(tmp_path) == {f"{RUN}/log.jsonl"}
    assert (tmp_path / RUN / "log.jsonl").read_bytes() == b'{"a":1}\n{"b":2}\n'


def test_a_torn_last_line_that_the_resume_set_aside_is_no_record(tmp_path: Path) -> None:
    receive(packed((LOG[0], LOG[1] + b'{"b":')), RUN, tmp_path)
    receive(packed((LOG[0], LOG[1] + b'{"recovery":1}\n')), RUN, tmp_path)
    assert (tmp_path / RUN / "log.jsonl").read_bytes() == LOG[1] + b'{"recovery":1}\n'


@pytest.mark.parametrize("other", [b'{"a":2}\n{"b":2}\n', b'{"a"'])
def test_a_copy_that_says_something_else_is_kept(other: bytes, tmp_path: Path) -> None:
    receive(packed(LOG), RUN, tmp_path)
    with pytest.raises(UsageError, match="move it away"):
        receive(packed((LOG[0], other)), RUN, tmp_path)
    assert (tmp_path / RUN / "log.jsonl").read_bytes() == LOG[1]


def test_a_link_in_the_runs_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "log.jsonl").write_bytes(LOG[1])
    (tmp_path / RUN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="move it away"):
        receive(packed(LOG), RUN, tmp_path)


@pytest.mark.parametrize("run", ["..", ".hidden", "a/b", "", "logs", "a b"])
def test_a_name_that_is_no_runs_is_refused(run: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run's id"):
        receive(packed(LOG), run, tmp_path)


def test_the_command_says_where_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, stream, code in (((), packed(LOG), 0), (("--json",), packed(LOG), 0), ((), io.BytesIO(b"x"), 2)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert door.main([RUN, "--to", str(tmp_path), *words]) == code
    told = capfd.readouterr()
    text, found = told.out.splitlines()
    assert (text, json.loads(found)) == (str(tmp_path / RUN), {"run": RUN, "folder": str(tmp_path / RUN)})
    assert told.err.count("\n") == 1
