"""Time stamps: asked for without harm; refused when forged or of something else; doubted when nobody is trusted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from timestamps import NOW, YEAR, Authority, Manner, serving

from data.journal import stamping
from data.journal.anchors import (
    AnchorError,
    Moment,
    Stamp,
    UntrustedAuthority,
    check_anchors,
    read_stamp,
    verify_stamp,
)
from data.journal.merkle import leaf_hash
from data.journal.notes import Checkpoint, SigningKey, sign_note
from data.journal.stamping import NotStamped, request_stamp, stamp_checkpoint
from data.model.errors import JournalBroken

KEY = SigningKey.new("agentrader/run/r1")
POINTS = [Checkpoint(KEY.public.name, size, bytes([size]) * 32, (leaf_hash(b"x"),)) for size in (1, 2, 3)]
AUTHORITY = Authority()
DATA = POINTS[0].text().encode()
STAMP = AUTHORITY.stamp(sha256(DATA).digest())


def run(tmp_path: Path, *, begin: bytes | None = None, head: bytes | None = None) -> Path:
    (tmp_path / "checkpoints").write_text("".join(f"{sign_note(point.text(), KEY)}\n" for point in POINTS))
    (tmp_path / "anchors").mkdir()
    for name, data in (("begin", begin), ("head", head)):
        if data is not None:
            (tmp_path / "anchors" / f"{name}.tsr").write_bytes(data)
    return tmp_path


def stamp_of(point: Checkpoint, authority: Authority = AUTHORITY) -> bytes:
    return authority.stamp(sha256(point.text().encode()).digest())


def test_a_checkpoint_is_stamped_kept_and_checked(tmp_path: Path) -> None:
    folder = run(tmp_path)
    with serving(AUTHORITY) as (url, asked):
        for moment, point in ((Moment.BEGIN, POINTS[0]), (Moment.HEAD, POINTS[2])):
            found = stamp_checkpoint(folder, moment, point, url)
            data = (folder / "anchors" / f"{moment}.tsr").read_bytes()
            assert found == Stamp(NOW, "CN=Test Authority", sha256(data).hexdigest())
    assert len(asked) == 2
    assert all(b"agentrader" not in query for query in asked)
    begin, head = check_anchors(folder, [AUTHORITY.root])
    assert (begin.moment, begin.checkpoint, begin.doubt, begin.stamp.stamped_at) == (Moment.BEGIN, POINTS[0], None, NOW)
    assert (head.moment, head.checkpoint, head.doubt) == (Moment.HEAD, POINTS[2], None)


def test_a_run_without_stamps_has_none(tmp_path: Path) -> None:
    assert check_anchors(tmp_path, []) == ()
    assert check_anchors(run(tmp_path), [AUTHORITY.root]) == ()


def test_a_stamp_says_when_and_by_whom(tmp_path: Path) -> None:
    assert verify_stamp(STAMP, DATA, [Authority("Other").root, AUTHORITY.root, AUTHORITY.root]) == NOW
    assert read_stamp(STAMP).authority == "CN=Test Authority"


def test_a_run_that_went_on_after_its_head_was_stamped_shows_how_far(tmp_path: Path) -> None:
    (anchor,) = check_anchors(run(tmp_path, head=stamp_of(POINTS[1])), [AUTHORITY.root])
    assert anchor.checkpoint == POINTS[1]


@pytest.mark.parametrize("roots", [[], [Authority("Other").root], [Authority().root]])
def test_an_authority_nobody_trusts_is_doubted(tmp_path: Path, roots: list[bytes]) -> None:
    """Also one that only bears the name of a trusted one."""
    (anchor,) = check_anchors(run(tmp_path, begin=STAMP), roots)
    assert anchor.doubt
    with pytest.raises(UntrustedAuthority):
        verify_stamp(STAMP, DATA, roots)


@pytest.mark.parametrize(
    "authority", [Authority(until=NOW - timedelta(days=1)), Authority(at=NOW - 2 * YEAR), Authority(at=NOW + 2 * YEAR)]
)
def test_a_certificate_that_was_not_valid_then_is_doubted(authority: Authority) -> None:
    with pytest.raises(UntrustedAuthority, match=r"expired|not yet valid"):
        verify_stamp(authority.stamp(sha256(DATA).digest()), DATA, [authority.root])


def changed(old: bytes, new: bytes) -> bytes:
    assert old in STAMP
    return STAMP.replace(old, new)


BAD_STAMPS = {
    "empty": b"",
    "cut": STAMP[:-1],
    "longer": STAMP + b"\0",
    "huge": b"\x30" * 100_000,
    "text": b"not a stamp",
    "another time": changed(b"20250401", b"20250301"),
    "another imprint": changed(sha256(DATA).digest(), sha256(b"x").digest()),
    "a broken signature": STAMP[:-1] + bytes([STAMP[-1] ^ 1]),
    "of another checkpoint": stamp_of(POINTS[1]),
    "of the same number in another run": stamp_of(Checkpoint("agentrader/run/r2", 1, POINTS[0].root)),
    "refused": Authority(status=2).stamp(b""),
    "with changes": Authority(status=1).stamp(b""),
}


@pytest.mark.parametrize("name", BAD_STAMPS)
def test_a_forged_or_retargeted_stamp_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AnchorError) as caught:
        check_anchors(run(tmp_path, begin=BAD_STAMPS[name]), [AUTHORITY.root])
    assert not isinstance(caught.value, UntrustedAuthority)
    assert "\n" not in str(caught.value)


def test_a_stamp_of_another_runs_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnchorError, match="not a time stamp of any checkpoint"):
        check_anchors(run(tmp_path, head=STAMP.replace(sha256(DATA).digest(), b"x" * 32)), [])


def test_no_changed_byte_moves_a_stamp_or_crashes() -> None:
    """What no signature covers (the algorithm's name) may change; time, imprint and authority may not."""
    passed = 0
    for at in range(len(STAMP)):
        for bit in (1, 0x80):
            mutant = STAMP[:at] + bytes([STAMP[at] ^ bit]) + STAMP[at + 1 :]
            try:
                assert verify_stamp(mutant, DATA, [AUTHORITY.root]) == NOW
                assert read_stamp(mutant).sha256 != read_stamp(STAMP).sha256
                passed += 1
            except AnchorError:
                continue
    assert passed < 30


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    folder = run(tmp_path)
    (folder / "elsewhere").write_bytes(STAMP)
    path = folder / "anchors" / "begin.tsr"
    path.symlink_to(folder / "elsewhere")
    with pytest.raises((AnchorError, OSError)):
        check_anchors(folder, [AUTHORITY.root])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AnchorError, match="not a regular file"):
        check_anchors(folder, [AUTHORITY.root])


def test_a_root_that_is_no_certificate_is_named() -> None:
    with pytest.raises(AnchorError, match="not a certificate in PEM"):
        verify_stamp(STAMP, DATA, [b"nothing"])


@pytest.mark.parametrize("authority", [Authority(nonce=5), Authority(imprint=b"x" * 32), Authority(status=2)])
def test_an_answer_to_another_question_is_not_kept(authority: Authority) -> None:
    with pytest.raises(AnchorError):
        request_stamp("nowhere", DATA, lambda _, query: authority.answer(query))


def test_an_old_answer_is_not_kept() -> None:
    """It fits the data, but not the nonce of this question."""
    with pytest.raises(AnchorError, match="another question"):
        request_stamp("nowhere", DATA, lambda *_: STAMP)


TROUBLE: dict[str, tuple[Callable[[], Manner], str]] = {
    "status": (lambda: Manner(code=500), "status 500"),
    "redirect": (lambda: Manner(code=302, location="http://127.0.0.1:1/"), "status 302"),
    "type": (lambda: Manner(kind="text/html"), "text/html"),
    "garbage": (lambda: Manner(body=b"\x30\x03\x02\x01\x00"), "not a readable time stamp"),
    "empty": (lambda: Manner(body=b""), "not a readable time stamp"),
    "flood": (lambda: Manner(body=b"x" * 10_000_000), "its answer is larger than"),
    "silence": (lambda: Manner(hang=threading.Event()), "did not answer within 0.5 s"),
    "drip": (lambda: Manner(drip=threading.Event()), "did not answer within 0.5 s"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_a_warning_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(stamping, "LONGEST_WAIT", 0.5)
    manner, said = TROUBLE[name]
    with serving(AUTHORITY, manner()) as (url, _):
        found = stamp_checkpoint(run(tmp_path), Moment.HEAD, POINTS[2], url.replace("//", "//user:canary@"))
    assert isinstance(found, NotStamped)
    assert said in found.warning
    assert "127.0.0.1" in found.warning
    assert "canary" not in found.warning
    assert "\n" not in found.warning
    assert not (tmp_path / "anchors" / "head.tsr").exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ftp://127.0.0.1/", "nowhere", "", "http://[", "http://a\nb/"])
def test_an_address_that_leads_nowhere_is_a_warning(tmp_path: Path, url: str) -> None:
    found = stamp_checkpoint(run(tmp_path), Moment.BEGIN, POINTS[0], url)
    assert isinstance(found, NotStamped)
    assert "\n" not in found.warning


def test_no_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with serving(AUTHORITY) as (url, asked):
        assert isinstance(stamp_checkpoint(run(tmp_path), Moment.BEGIN, POINTS[0], url), Stamp)
    assert len(asked) == 1


def test_a_full_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(stamping, "keep", full)
    with serving(AUTHORITY) as (url, _), pytest.raises(JournalBroken, match="No space left"):
        stamp_checkpoint(run(tmp_path), Moment.BEGIN, POINTS[0], url)
