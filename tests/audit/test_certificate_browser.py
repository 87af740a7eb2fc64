"""The certificate in a real browser: a good bundle is verified, of a changed one it says what was done, and where."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import chromium
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared_run import RELEASE, Culprit, Sent, rented, respelled, send, send_as

from backtesting.audit.packing import pack
from backtesting.audit.sharing import share
from backtesting.audit.verdict import prove
from backtesting.core.environment import changed_files
from data.door import SystemClock
from data.journal.certificates import Subject, certify
from data.journal.checkpoints import read_checkpoints
from data.journal.examine import Verdict
from data.journal.keyring import Keyring, RunKey
from data.journal.notes import SigningKey
from data.model.canonical import canonical_bytes, sha256_hex

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.find() is None, reason="needs Chromium"),
]
OUTCOME = "document.getElementById('outcome')"
DONE = f"{OUTCOME}.dataset.verdict && {OUTCOME}.dataset.verdict !== 'busy'"
FAULTS = (
    f"Array.from({OUTCOME}.querySelectorAll('tbody tr'), (row) => Array.from(row.cells, (cell) => cell.textContent))"
)
END = 168  # the record of run.end; the one behind it names the renderings
Deed = Callable[[Culprit], object]


@pytest.fixture(scope="module")
def page() -> Iterator[chromium.Page]:
    with chromium.Page() as opened:
        yield opened


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return send(tmp_path_factory.mktemp("shared"))


@pytest.fixture(autouse=True)
def quiet(page: chromium.Page) -> Iterator[None]:
    """Whatever a test does, the page complains of nothing and asks for nothing but itself."""
    page.complaints.clear()
    page.requests.clear()
    page.size(1360, 900)
    yield
    assert page.complaints == []
    assert {url.rsplit("/", 1)[-1] for url in page.requests} <= {"certificate.html", "about:blank"}


def checked(page: chromium.Page, certificate: Path, *paths: Path, head: str = "") -> str:
    """Opens the certificate, gives it the files, and returns the verdict."""
    page.open(certificate)
    page.run(f"document.getElementById('head').value = '{head}'")
    page.give("#files", *paths)
    page.until(DONE)
    return str(page.run(f"{OUTCOME}.dataset.verdict"))


def first(page: chromium.Page) -> tuple[str, str, str]:
    """The first fault: the record, what was done, the file."""
    record, kind, file, _ = page.run(FAULTS)[0]
    return record, kind, file


def told(page: chromium.Page) -> str:
    return str(page.run(f"{OUTCOME}.textContent"))


def test_a_good_bundle_is_verified(page: chromium.Page, sent: Sent) -> None:
    assert checked(page, sent.page, sent.bundle, head=sent.handout.head) == "verified"
    text = told(page)
    for said in (
        "Verified",
        "17 signatures and as many roots hold, over 170 records",
        f"The head is the one that this certificate names: {sent.handout.head}",
        f"The head is the one that you gave: {sent.handout.head}",
        f"SHA-256 {sent.handout.bundle.sha256}",
        "1 blob and 7 other files have the digests that the log names",
        "final equity 10039.6470626; return 0.40 %; 4 decisions, 0 failed",
        "are the log\u2019s",
    ):
        assert said in text
    assert "You gave no head" not in text


def test_a_run_of_a_rented_machine_is_verified(page: chromium.Page, tmp_path: Path) -> None:
    sent = send_as(tmp_path, rented(tmp_path))
    assert checked(page, sent.page, sent.bundle, head=sent.handout.head) == "verified"
    assert page.run("document.body.textContent.includes('rented-1')")


@pytest.mark.parametrize("names", [("log.jsonl", "checkpoints", "run.pub"), ("*",)], ids=["three files", "all files"])
def test_the_loose_files_are_verified(page: chromium.Page, sent: Sent, names: tuple[str, ...]) -> None:
    found = [path for name in names for path in sent.culprit.folder.rglob(name) if path.is_file()]
    assert checked(page, sent.page, *found) == "verified"
    assert ("Not looked at, because not given: 8 files" in told(page)) is (len(found) == 3)


def test_a_dropped_bundle_is_verified(page: chromium.Page, sent: Sent) -> None:
    checked(page, sent.page, sent.bundle)
    page.run(
        "{ const dropped = new DataTransfer(); dropped.items.add(document.getElementById('files').files[0]);"
        f" {OUTCOME}.dataset.verdict = 'busy'; document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true})); }"
    )
    page.until(DONE)
    assert page.run(f"{OUTCOME}.dataset.verdict") == "verified"


def dropped(page: chromium.Page, x: float, y: float, path: Path) -> str:
    """Drops what lies at a path where a reader's hand would let it go, and returns the verdict."""
    data = {"items": [], "files": [str(path.resolve())], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
    page.until(f"document.getElementById('outcome') && {DONE}")
    return str(page.run(f"{OUTCOME}.dataset.verdict"))


def test_what_is_dropped_beside_the_box_is_taken_too(page: chromium.Page, sent: Sent) -> None:
    page.open(sent.page)
    assert dropped(page, 8, 8, sent.bundle) == "verified"
    assert not page.run("document.getElementById('drop').classList.contains('over')")


def test_a_dropped_folder_is_called_that(page: chromium.Page, sent: Sent) -> None:
    page.open(sent.page)
    assert dropped(page, 8, 8, sent.culprit.folder) == "cannot"
    assert "Of a folder, give the files that are in it" in told(page)


def put(lines: list[bytes], *parts: slice | bytes) -> list[bytes]:
    """A log of slices of the old one, and of other lines."""
    return [line for part in parts for line in (lines[part] if isinstance(part, slice) else [part])]


def log(*parts: slice | bytes | int) -> Deed:
    """A log of slices of the old one; a number is the record of that number, again."""

    def deed(culprit: Culprit) -> None:
        lines = culprit.lines
        culprit.lines = put(lines, *(lines[part] if isinstance(part, int) else part for part in parts))

    return deed


def renumbered(culprit: Culprit) -> None:
    log(slice(0, 40), slice(41, None))(culprit)
    for place in range(40, len(culprit.lines)):
        culprit.change(place, lambda record, place=place: record.update({"audit.seq": place}))


def noted(how: Callable[[list[str]], list[str]]) -> Deed:
    """A change of the checkpoints."""

    def deed(culprit: Culprit) -> None:
        culprit.notes = how(culprit.notes)

    return deed


def says(text: str) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["body"]["said"] = text

    return change


def rewritten(culprit: Culprit) -> None:
    culprit.change(20, says("something else"))
    culprit.sign(culprit.key)


def stolen(culprit: Culprit) -> None:
    culprit.change(20, says("something else"))
    culprit.sign(culprit.stranger)


def cut_back(culprit: Culprit) -> None:
    culprit.lines = culprit.lines[:100]
    culprit.notes = culprit.notes[:10]


def foreign_note(culprit: Culprit) -> None:
    other = culprit.stranger.key.sign(culprit.notes[3].rpartition("\n\n")[0] + "\n")
    culprit.notes = [*culprit.notes[:3], other, *culprit.notes[4:]]


def certified(subject: Subject, name: str, issuer: str) -> Deed:
    """The log signed anew by a key that `issuer`, the owner or the run itself, certifies as somebody's."""

    def deed(culprit: Culprit) -> None:
        owner = Keyring(culprit.folder.parent / "keys", SystemClock()).issuer() if issuer == "project" else culprit.key
        key = SigningKey.new(f"agentrader/run/{RELEASE.name}")
        at = datetime(2026, 11, 21, tzinfo=UTC)
        certificate = certify(subject, name, key.public.raw, owner.key, at)
        culprit.sign(RunKey(key, certificate + owner.certificates))

    return deed


def two_tongued(culprit: Culprit) -> None:
    """The owner signs another root over the same leaves."""
    point = read_checkpoints(culprit.folder)[0][4][0]
    culprit.notes = [
        *culprit.notes[:4],
        culprit.key.key.sign(replace(point, root=bytes(32)).text()),
        *culprit.notes[5:],
    ]


def forged(culprit: Culprit) -> None:
    parts = culprit.key.certificates.split("\n\n")
    other = culprit.stranger.certificates.split("\n\n")
    culprit.path("run.pub").write_text("\n\n".join([parts[0], parts[1], *other[2:]]), "utf-8", newline="")


DEEDS: list[tuple[str, Deed, str, str, str]] = [
    ("a word is another one", lambda c: c.change(20, says("x")), "20", "edited", "log.jsonl"),
    ("the result is another one", lambda c: c.change(END, says("x")), str(END), "edited", "log.jsonl"),
    ("a blank in a line", log(slice(0, 30), b"?", slice(31, None)), "30", "edited", "log.jsonl"),
    ("a record is gone", log(slice(0, 40), slice(41, None)), "40", "deleted", "log.jsonl"),
    ("gone, the rest numbered anew", renumbered, "40", "deleted", "log.jsonl"),
    ("one is added", log(slice(0, 50), b"{}", slice(50, None)), "50", "inserted", "log.jsonl"),
    ("one stands twice", log(slice(0, 61), 60, slice(61, None)), "61", "duplicated", "log.jsonl"),
    ("two changed places", log(slice(0, 70), 71, 70, slice(72, None)), "70", "reordered", "log.jsonl"),
    ("the end is cut off", log(slice(0, 150)), "150", "truncated", "log.jsonl"),
    ("one behind the end", log(slice(0, None), 20), "170", "appended", "log.jsonl"),
    ("all is cut back", cut_back, "100", "truncated", "log.jsonl"),
    ("written anew by its owner", rewritten, "\u2013", "rewritten", "log.jsonl"),
    ("written anew by a stranger", stolen, "\u2013", "foreign key", "run.pub"),
    ("a certificate by a stranger", forged, "\u2013", "forged certificate", "run.pub"),
    ("certified by a run", certified(Subject.RUN, RELEASE.name, "run"), "\u2013", "forged certificate", "run.pub"),
    ("certified as another run", certified(Subject.RUN, "20250101-other", "project"),
     "\u2013", "foreign certificate", "run.pub"),
    ("certified as a machine", certified(Subject.HOST, RELEASE.name, "project"),
     "\u2013", "foreign certificate", "run.pub"),
    ("no run.pub", lambda c: c.path("run.pub").unlink(), "\u2013", "missing file", "run.pub"),
    (
        "a root is another one",
        noted(lambda n: [*n[:4], n[4].replace("\n50\n", "\n50\nAA", 1), *n[5:]]),
        *("40", "edited checkpoint", "checkpoints"),
    ),
    ("a size is another one", noted(lambda n: [*n[:4], n[4].replace("\n50\n", "\n51\n"), *n[5:]]),
     "40", "edited checkpoint", "checkpoints"),
    ("a checkpoint is gone", noted(lambda n: [*n[:5], *n[6:]]), "50", "dropped checkpoint", "checkpoints"),
    ("a checkpoint stands twice", noted(lambda n: [*n[:5], *n[4:]]), "40", "repeated checkpoint", "checkpoints"),
    ("a signature spelled otherwise", noted(lambda n: [*n[:6], respelled(n[6]), *n[7:]]),
     "60", "re-encoded checkpoint", "checkpoints"),
    ("a stranger's checkpoint", foreign_note, "30", "foreign checkpoint", "checkpoints"),
    ("a root of another tree", two_tongued, "40", "fork", "checkpoints"),
    ("a blob is another one", lambda c: c.bend(c.blob), "", "replaced blob", "blobs"),
    ("a blob is gone", lambda c: c.path(c.blob).unlink(), "", "missing blob", "blobs"),
    ("the report is another one", lambda c: c.bend("report.html"), "169", "edited rendering", "report.html"),
    ("a table is gone", lambda c: c.path("trades.csv").unlink(), "169", "missing file", "trades.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("deed", "record", "kind", "file"), [each[1:] for each in DEEDS], ids=[e[0] for e in DEEDS])
def test_a_changed_bundle_is_told_where(
    page: chromium.Page, sent: Sent, tmp_path: Path, deed: Deed, record: str, kind: str, file: str
) -> None:
    culprit = sent.copy(tmp_path)
    deed(culprit)
    assert checked(page, sent.page, culprit.packed(tmp_path / "out")) == "refuted"
    found = first(page)
    assert found[1] == kind
    assert found[2].startswith(file)
    assert not record or found[0] == record
    assert page.run(FAULTS)[-1][1] == "another archive"
    assert "Verified" not in told(page)
    assert found[:2] == by_program(culprit, sent)[:2]


Change = tuple[str, int, int]
PLACES = st.integers(0, 168)
CHANGES = st.tuples(
    st.sampled_from(["edit", "delete", "repeat", "move", "cut", "drop note", "repeat note", "edit note"]),
    PLACES,
    PLACES,
)


def apply(culprit: Culprit, change: Change) -> None:
    """One change at two places, of the log or of its checkpoints."""
    what, one, other = change
    lines, notes = culprit.lines, culprit.notes
    first, second = one % len(notes), other % len(notes)
    if what == "edit":
        culprit.change(one, says(str(other)))
    elif what == "delete":
        culprit.lines = [*lines[:one], *lines[one + 1 :]]
    elif what == "repeat":
        culprit.lines = [*lines[:one], lines[other], *lines[one:]]
    elif what == "move":
        rest = [*lines[:one], *lines[one + 1 :]]
        culprit.lines = [*rest[:other], lines[one], *rest[other:]]
    elif what == "cut":
        culprit.lines = lines[: one + 1]
    elif what == "drop note":
        culprit.notes = [*notes[:first], *notes[first + 1 :]]
    elif what == "repeat note":
        culprit.notes = [*notes[:first], notes[second], *notes[first:]]
    else:
        culprit.notes = [*notes[:first], notes[first].replace(notes[first][60 + one], "x", 1), *notes[first + 1 :]]


@given(CHANGES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_page_and_program_name_the_same_first_change(
    page: chromium.Page, sent: Sent, tmp_path_factory: pytest.TempPathFactory, change: Change
) -> None:
    root = tmp_path_factory.mktemp("changed")
    culprit = sent.copy(root)
    apply(culprit, change)
    files = ("log.jsonl", "checkpoints")
    same = all(culprit.path(name).read_bytes() == sent.culprit.path(name).read_bytes() for name in files)
    verdict = checked(page, sent.page, culprit.packed(root / "out"))
    assert verdict == ("verified" if same else "refuted")
    if not same:
        assert first(page) == by_program(culprit, sent)
    shutil.rmtree(root)


def by_program(culprit: Culprit, sent: Sent) -> tuple[str, str, str]:
    """The first fault that `scripts.verify` names, with the signer and the head that the certificate names."""
    trusted = prove(sent.culprit.folder, fast=True).examination.signers
    fault = prove(culprit.folder, trusted=trusted, head=sent.handout.head).first_bad
    assert fault is not None
    return "\u2013" if fault.record is None else str(fault.record), fault.kind.value, fault.file


def test_another_spelling_of_a_record_is_told_apart(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    culprit = sent.copy(tmp_path)
    lines = culprit.lines
    culprit.lines = put(lines, slice(0, 30), lines[30].replace(b'":', b'": ', 1), slice(31, None))
    assert checked(page, sent.page, culprit.packed(tmp_path / "out")) == "refuted"
    assert first(page) == ("30", "re-encoded", "log.jsonl")


def repacked(sent: Sent, change: Callable[[tarfile.TarFile, list[tarfile.TarInfo]], None], target: Path) -> Path:
    """The bundle's tar written again with more in it."""
    tar = pa.CompressedInputStream(io.BytesIO(sent.bundle.read_bytes()), "zstd").read()
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as old,
        tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        members = old.getmembers()
        for member in members:
            new.addfile(member, old.extractfile(member))
        change(new, members)
    path = target / "changed.tar.zst"
    path.write_bytes(pa.compress(made.getvalue(), "zstd", asbytes=True))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[tarfile.TarFile, list[tarfile.TarInfo]], None]:
    def change(archive: tarfile.TarFile, _: list[tarfile.TarInfo]) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
        archive.addfile(info)

    return change


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (entry(f"{RELEASE.name}/log.jsonl"), "stray file"),
        (entry("../../.profile"), "stray file"),
        (entry(f"{RELEASE.name}/notes.txt"), "stray file"),
        (entry(f"{RELEASE.name}/notes.txt", tarfile.SYMTYPE), "not a regular file"),
    ],
    ids=["a name twice", "outside of the folder", "a stray file", "a link"],
)
def test_what_else_an_archive_holds_is_told(
    page: chromium.Page, sent: Sent, tmp_path: Path, change: Any, kind: str
) -> None:
    assert checked(page, sent.page, repacked(sent, change, tmp_path)) == "refuted"
    assert first(page)[1] == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (lambda whole: whole[: len(whole) // 2], "unreadable archive"),
        (lambda whole: whole[:4] + b"\xff" * 60 + whole[64:], "unreadable archive"),
        (lambda _: pa.compress(bytes(100 << 20), "zstd", asbytes=True), "unreadable archive"),
        (lambda _: pa.compress(b"no tar", "zstd", asbytes=True), "unreadable archive"),
        (lambda _: b"nothing of the kind", "unreadable archive"),
        (lambda whole: whole + whole, "another archive"),
    ],
    ids=["cut off", "no frame", "a hundred megabytes of nothing", "no tar in it", "no archive", "twice"],
)
def test_a_broken_archive_is_told(
    page: chromium.Page, sent: Sent, tmp_path: Path, data: Callable[[bytes], bytes], kind: str
) -> None:
    path = tmp_path / "changed.tar.zst"
    path.write_bytes(data(sent.bundle.read_bytes()))
    assert checked(page, sent.page, path) == "refuted"
    assert kind in {fault[1] for fault in page.run(FAULTS)}


# Flips one bit of the file that was chosen last, and checks the result.
_FLIP = """(async () => {
  const input = document.getElementById('files');
  window.whole = window.whole || new Uint8Array(await input.files[0].arrayBuffer());
  const changed = window.whole.slice();
  changed[Math.floor(AT * changed.length)] ^= 1 << BIT;
  const chosen = new DataTransfer();
  chosen.items.add(new File([changed], 'changed.tar.zst'));
  document.getElementById('outcome').dataset.verdict = 'busy';
  input.files = chosen.files;
  input.dispatchEvent(new Event('change'));
})()"""


def test_any_flipped_bit_of_the_bundle_is_seen(page: chromium.Page, sent: Sent) -> None:
    assert checked(page, sent.page, sent.bundle) == "verified"

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
    def flipped(at: float, bit: int) -> None:
        page.run(_FLIP.replace("AT", repr(at)).replace("BIT", str(bit)))
        page.until(DONE)
        assert page.run(f"{OUTCOME}.dataset.verdict") == "refuted"

    flipped()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda head: f"{head[:-1]}{'0' if head[-1] != '0' else '1'}", "rewritten"),
        (lambda head: head.replace("170-", "171-"), "truncated"),
        (lambda head: head.replace("170-", "160-"), "rewritten"),
    ],
)
def test_a_head_of_the_reader_s_own_counts(
    page: chromium.Page, sent: Sent, change: Callable[[str], str], kind: str
) -> None:
    assert checked(page, sent.page, sent.bundle, head=change(sent.handout.head)) == "refuted"
    assert [fault[1] for fault in page.run(FAULTS)] == [kind]


def test_a_head_that_is_none_is_not_passed_over(page: chromium.Page, sent: Sent) -> None:
    assert checked(page, sent.page, sent.bundle, head="170") == "cannot"
    assert page.run("document.getElementById('head').getAttribute('aria-invalid')") == "true"


def test_an_earlier_head_of_the_run_covers_only_what_was_before_it(page: chromium.Page, sent: Sent) -> None:
    earlier = read_checkpoints(sent.culprit.folder)[0][9][0].head
    assert prove(sent.culprit.folder, head=earlier).first_bad is None
    assert checked(page, sent.page, sent.bundle, head=earlier) == "verified"
    assert "The head that you gave is this run's after 100 records: what was written behind them" in told(page)


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        (
            "crypto.subtle.importKey = () => Promise.reject(new DOMException('no', 'NotSupportedError'))",
            "cannot check Ed25519",
        ),
        ("Object.defineProperty(crypto, 'subtle', { value: undefined })", "Save the page and open the file"),
    ],
    ids=["no Ed25519", "plain http"],
)
def test_a_browser_that_cannot_check_says_so(page: chromium.Page, sent: Sent, lacking: str, says: str) -> None:
    page.open(sent.page)
    page.run(lacking)
    page.give("#files", sent.bundle)
    page.until(DONE)
    assert page.run(f"{OUTCOME}.dataset.verdict") == "cannot"
    assert says in told(page)


def test_a_reader_who_gave_too_little_is_told_what_it_takes(page: chromium.Page, sent: Sent) -> None:
    assert checked(page, sent.page, sent.culprit.path("report.html"), sent.culprit.path("run.pub")) == "cannot"
    assert "You gave no log.jsonl and no checkpoints." in told(page)


@pytest.mark.parametrize("other_first", [True, False])
def test_of_a_file_that_is_given_twice_none_is_passed_over(
    page: chromium.Page, sent: Sent, tmp_path: Path, *, other_first: bool
) -> None:
    other = tmp_path / "log.jsonl"
    other.write_bytes(b"{}\n")
    files = [sent.culprit.path(name) for name in ("log.jsonl", "checkpoints", "run.pub")]
    assert checked(page, sent.page, *([other, *files] if other_first else [*files, other])) == "refuted"
    assert ["stray file", "log.jsonl"] in [fault[1:3] for fault in page.run(FAULTS)]


def test_the_bundle_of_another_run_is_called_that(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    bundle = pack(sent.culprit.folder, "20250101-other", tmp_path)
    assert checked(page, sent.page, tmp_path / bundle.name) == "refuted"
    assert [fault[1] for fault in page.run(FAULTS)] == ["another run", "another archive"]
    assert "20250101-other" in told(page)


def zstd_frame(asks: bytes) -> bytes:
    """A Zstandard frame with this header and one block of 128 KiB of nothing."""
    return b"\x28\xb5\x2f\xfd" + asks + b"\x03\x00\x10\x00"


@pytest.mark.parametrize(
    "data",
    [
        zstd_frame(b"\x00\xa7"),
        zstd_frame(b"\xa0" + (2 * 10**9).to_bytes(4, "little")),
        zstd_frame(b"\x00\x00") + zstd_frame(b"\x00\xa7"),
    ],
    ids=["a window", "one segment", "behind a small one"],
)
def test_a_few_bytes_that_ask_for_gigabytes_get_none(
    page: chromium.Page, sent: Sent, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "run.tar.zst"
    path.write_bytes(data)
    assert checked(page, sent.page, path) == "refuted"
    assert first(page)[1] == "unreadable archive"
    assert "bytes at once" in told(page)


def claiming(sent: Sent, culprit: Culprit, target: Path) -> tuple[Path, Path]:
    """A certificate whose claims, not its script, were edited to name another folder of the run; and that packed."""
    packed = pack(culprit.folder, RELEASE.name, target)
    head = read_checkpoints(culprit.folder)[0][-1][0].head
    mine, its = sent.handout.bundle, packed
    pairs = ((sent.handout.head, head), (mine.sha256, its.sha256), (mine.tar_sha256, its.tar_sha256))
    text = sent.page.read_text("utf-8")
    for before, after in pairs:
        text = text.replace(before, after)
    page = target / "certificate.html"
    page.write_text(text, "utf-8")
    return page, target / packed.name


def test_a_run_that_was_cut_back_before_its_files_were_signed_is_not_verified(
    page: chromium.Page, sent: Sent, tmp_path: Path
) -> None:
    culprit = sent.copy(tmp_path)
    culprit.lines = culprit.lines[: END + 1]
    culprit.sign(culprit.key)
    culprit.bend("report.html")
    assert prove(culprit.folder).verdict is Verdict.INCOMPLETE
    assert checked(page, *claiming(sent, culprit, tmp_path)) == "refuted"
    assert first(page)[1] == "incomplete"


def test_a_run_that_had_stopped_there_is_not_verified(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    culprit = sent.copy(tmp_path)
    culprit.change(END, lambda record: record["body"].update(status="incomplete"))
    culprit.sign(culprit.key)
    certificate, bundle = claiming(sent, culprit, tmp_path)
    certificate.write_text(certificate.read_text("utf-8").replace(">complete<", ">incomplete<"), "utf-8")
    assert checked(page, certificate, bundle) == "refuted"
    assert first(page)[1] == "incomplete"


def test_a_long_summary_is_read_where_it_lies(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    culprit = sent.copy(tmp_path)
    summary = canonical_bytes(json.loads(culprit.lines[END])["body"]["summary"])
    blob = sha256_hex(summary)
    place = culprit.path(f"blobs/sha256/{blob[:2]}/{blob}")
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(summary)
    culprit.change(END, lambda record: record["body"].update(summary={"blob": blob, "media": "json"}))
    culprit.sign(culprit.key)
    shared = share(culprit.folder, tmp_path / "sent", changed_files)
    assert checked(page, shared.certificate, tmp_path / "sent" / shared.bundle.name) == "verified"
    assert "final equity 10039.6470626" in told(page)
    three = [culprit.path(name) for name in ("log.jsonl", "checkpoints", "run.pub")]
    assert checked(page, shared.certificate, *three) == "cannot"
    assert f"You gave no {blob}" in told(page)
    assert checked(page, shared.certificate, *three, place) == "verified"


def test_what_no_record_answers_for_is_named(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    culprit = sent.copy(tmp_path)
    (stray := culprit.path("blobs/sha256/ab") / ("ab" * 32)).parent.mkdir(exist_ok=True)
    stray.write_text("nothing that a record names")
    shared = share(culprit.folder, tmp_path / "sent", changed_files)
    assert checked(page, shared.certificate, tmp_path / "sent" / shared.bundle.name) == "verified"
    assert f'"blobs/sha256/ab/{stray.name}" lies in the folder, and no record answers for it' in told(page)


def test_a_file_that_only_the_page_vouches_for_is_told(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    culprit = sent.copy(tmp_path)
    (stray := culprit.path("anchors/begin.tsr")).parent.mkdir()
    stray.write_text("nothing that a record names")
    certificate, bundle = claiming(sent, culprit, tmp_path)
    text = certificate.read_text("utf-8").replace('"files":[', '"files":["anchors/begin.tsr",')
    certificate.write_text(text, "utf-8")
    assert checked(page, certificate, bundle) == "refuted"
    assert first(page)[1:] == ("stray file", "anchors/begin.tsr")


def edited(sent: Sent, tmp_path: Path, before: str, after: str) -> Path:
    """The certificate with other words in one place."""
    text = sent.page.read_text("utf-8")
    assert text.count(before) == 1
    changed = tmp_path / "certificate.html"
    changed.write_text(text.replace(before, after), "utf-8")
    return changed


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('<span data-own="head">170-', '<span data-own="head">171-', "the head"),
        ('<span data-own="signer">', '<span data-own="signer">0', "the signer"),
        ('data-own="sha256">', 'data-own="sha256">0', "the sha256"),
        ('data-own="tar"', "", "the tar"),
        ("became 10,039.65 USD", "became 90,039.65 USD", "the headline"),
        ("became 10,039.65 USD", "became 10,039.64 USD", "the headline"),
        ('class="good">+0.40', 'class="good">+40.40', "the headline"),
        ('id="rate"', 'id="other"', "the headline"),
        (' data-pointer="/summary/total_return"', "", "/summary/total_return"),
        (' data-kind="run.end" data-pointer="/result_digest"', "", "/result_digest"),
    ],
)
def test_what_a_reader_looks_at_first_is_held_against_the_check(
    page: chromium.Page, sent: Sent, tmp_path: Path, before: str, after: str, what: str
) -> None:
    assert checked(page, edited(sent, tmp_path, before, after), sent.bundle) == "refuted"
    _, kind, file, detail = page.run(FAULTS)[0]
    assert (kind, file) == ("edited certificate", "certificate.html")
    assert f" for {what}, and " in detail


def test_it_says_what_it_did_not_compare(page: chromium.Page, sent: Sent) -> None:
    checked(page, sent.page, sent.bundle)
    assert "was not compared: it is its sender\u2019s word" in told(page)


@pytest.mark.parametrize(
    ("before", "after", "record"),
    [
        (">10039.6470626<", ">20039.6470626<", str(END)),
        (">2018-07-31<", ">2018-08-31<", "0"),
        (">complete<", "><", "168"),
    ],
)
def test_a_changed_certificate_is_held_against_the_log(
    page: chromium.Page, sent: Sent, tmp_path: Path, before: str, after: str, record: str
) -> None:
    assert checked(page, edited(sent, tmp_path, before, after), sent.bundle) == "refuted"
    assert first(page) == (record, "edited certificate", "certificate.html")


def test_a_changed_script_does_not_run_and_the_page_says_so(page: chromium.Page, sent: Sent, tmp_path: Path) -> None:
    changed = tmp_path / "certificate.html"
    changed.write_text(sent.page.read_text("utf-8").replace("'refuted'", "'verified'"), "utf-8")
    page.open(changed)
    assert page.run("document.getElementById('choose').hidden")
    assert "the page was changed after it was made" in page.run("document.getElementById('drop').innerText")
    assert any("Content Security Policy" in str(complaint) for complaint in page.complaints)
    page.complaints.clear()


# What sticks out of the box around the file input.
_TOO_WIDE = """(() => {
  const right = document.getElementById('drop').getBoundingClientRect().right;
  const wide = (each) => each.getBoundingClientRect().right > right;
  return Array.from(document.querySelectorAll('#drop *')).filter(wide).map((each) => each.tagName);
})()"""


@pytest.mark.parametrize(("width", "height", "mobile"), [(1360, 900, False), (390, 844, True)])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits(
    page: chromium.Page, sent: Sent, tmp_path: Path, *, width: int, height: int, mobile: bool, dark: bool
) -> None:
    culprit = sent.copy(tmp_path)
    culprit.change(20, says("x" * 400))
    page.size(width, height, mobile=mobile, dark=dark)
    for given_file in (sent.bundle, culprit.packed(tmp_path / "out")):
        checked(page, sent.page, given_file)
        assert page.run("document.documentElement.scrollWidth") == width
        assert page.run(_TOO_WIDE) == []
    assert page.run(f"{OUTCOME}.querySelector('.scroll').scrollWidth <= {OUTCOME}.querySelector('.scroll').clientWidth")
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 22, 26)") is dark


# The names that assistive software reads for what can be focused, in order.
_NAMED = """Array.from(document.querySelectorAll('a, button, input'), (each) => (
  each.labels && each.labels.length ? each.labels[0].innerText.trim().split('\\n')[0] : each.textContent
))"""
# How far the placeholder stands out from the field that it is in.
_CONTRAST = """(() => {
  const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const field = document.getElementById('head');
  const both = [getComputedStyle(field, '::placeholder').color, getComputedStyle(field).backgroundColor].map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_can_be_used_without_seeing_it(page: chromium.Page, sent: Sent, *, dark: bool) -> None:
    page.size(1280, 900, dark=dark)
    page.open(sent.page)
    skip, files, head = page.run(_NAMED)
    assert skip == "Skip to the check"
    assert files.startswith(f"Drop {sent.bundle.name} here, or choose it.")
    assert head == "The head, if it reached you by another way than this page"
    assert page.run(_CONTRAST) >= 4.5
    # A region that speaks has to be there before it has anything to say.
    assert page.run(f"[{OUTCOME}.ariaLive, {OUTCOME}.checkVisibility(), {OUTCOME}.textContent]") == ["polite", True, ""]
    page.give("#files", sent.bundle)
    page.until(DONE)
    assert page.run(f"{OUTCOME}.ariaBusy") == "false"
