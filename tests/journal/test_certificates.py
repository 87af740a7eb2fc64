"""Certificates: who may vouch for whom, and one place and one spelling for each."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from data.journal.certificates import (
    PROJECT,
    Certificate,
    CertificateError,
    Flaw,
    Subject,
    certify,
    key_name,
    read_certificates,
    read_chains,
    with_certificates,
)
from data.journal.notes import SigningKey, sign_note

RUN, HOST = "20250401-abc", "rented-1"
AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)

OLD, NEW = SigningKey.new(PROJECT), SigningKey.new(PROJECT)
STRANGER = SigningKey.new(PROJECT)
MACHINE = SigningKey.new(f"agentrader/host/{HOST}")
RUN_KEY, OTHER_RUN_KEY = SigningKey.new(f"agentrader/run/{RUN}"), SigningKey.new(f"agentrader/run/{RUN}")


def issued(subject: Subject, name: str, key: SigningKey, issuer: SigningKey) -> str:
    return certify(subject, name, key.public.raw, issuer, AT)


ROOT = issued(Subject.PROJECT, PROJECT, OLD, OLD)
ROTATION = issued(Subject.PROJECT, PROJECT, NEW, OLD)
OF_HOST = issued(Subject.HOST, HOST, MACHINE, NEW)
BY_HOST = issued(Subject.RUN, RUN, RUN_KEY, MACHINE)
BY_OLD = issued(Subject.RUN, RUN, RUN_KEY, OLD)
WHOLE = BY_HOST + OF_HOST + ROTATION + ROOT
STRANGE = issued(Subject.RUN, RUN, OTHER_RUN_KEY, STRANGER) + issued(Subject.PROJECT, PROJECT, STRANGER, STRANGER)


def flaw_of(text: str | bytes, run_id: str = RUN) -> Flaw:
    with pytest.raises(CertificateError) as caught:
        read_certificates(text.encode() if isinstance(text, str) else text, run_id, [OLD.public])
    assert "\n" not in str(caught.value)
    return caught.value.flaw


@pytest.mark.parametrize("trusted", [OLD, NEW, MACHINE])
def test_a_run_on_a_rented_machine_leads_home_over_a_rotation(trusted: SigningKey) -> None:
    found = read_certificates(WHOLE.encode(), RUN, [STRANGER.public, trusted.public])
    assert found.keys == (RUN_KEY.public,)
    assert found.known
    assert (found.signer, found.hosts) == (NEW.public, (HOST,))


@pytest.mark.parametrize("trusted", [[], [STRANGER.public], [RUN_KEY.public]])
def test_an_unknown_signer_is_named_and_not_known(trusted: list) -> None:
    found = read_certificates(WHOLE.encode(), RUN, trusted)
    assert not found.known
    assert found.signer.fingerprint == NEW.public.fingerprint


def test_a_later_project_key_does_not_vouch_for_what_the_earlier_one_signed() -> None:
    assert read_certificates((BY_OLD + ROOT).encode(), RUN, [OLD.public]).known
    assert not read_certificates((BY_OLD + ROOT).encode(), RUN, [NEW.public]).known


def test_a_run_that_went_on_elsewhere_is_known_only_if_each_key_is() -> None:
    both = (WHOLE + STRANGE).encode()
    found = read_certificates(both, RUN, [OLD.public])
    assert found.keys == (RUN_KEY.public, OTHER_RUN_KEY.public)
    assert (found.known, found.signer) == (False, STRANGER.public)
    assert read_certificates(both, RUN, [OLD.public, STRANGER.public]).known


def test_a_certificate_comes_back_from_its_text() -> None:
    certificate = Certificate(Subject.HOST, HOST, MACHINE.public, AT)
    assert Certificate.parse(certificate.text()) == certificate
    assert certificate.text().split("\n")[:2] == ["agentrader/certificate", f"host {HOST}"]


@pytest.mark.parametrize("bit", [1, 32, 128])
def test_no_byte_can_be_changed(bit: int) -> None:
    whole = WHOLE.encode()
    for at in range(len(whole)):
        with pytest.raises(CertificateError):
            read_certificates(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :], RUN, [OLD.public])


NOTES = (BY_HOST, OF_HOST, ROTATION, ROOT)


@pytest.mark.parametrize("at", range(4))
def test_no_certificate_can_be_left_out_doubled_or_moved(at: int) -> None:
    rest = [note for place, note in enumerate(NOTES) if place != at]
    for changed in (
        rest,
        [*NOTES, NOTES[at]],
        [NOTES[at], *NOTES],
        *([*rest[:to], NOTES[at], *rest[to:]] for to in range(4)),
    ):
        if tuple(changed) != NOTES:
            flaw_of("".join(changed))


FLAWS = {
    "nothing": ("", Flaw.MALFORMED),
    "cut off": (WHOLE[:-1], Flaw.MALFORMED),
    "doubled": (WHOLE + WHOLE, Flaw.MALFORMED),
    "an empty line more": (WHOLE + "\n", Flaw.MALFORMED),
    "no certificate": (sign_note("agentrader/run/r\n3\nabc\n", OLD) + "\n", Flaw.MALFORMED),
    "the first project key is missing": (BY_HOST + OF_HOST + ROTATION, Flaw.FORGED),
    "not the key that signed": (BY_OLD + ROTATION + ROOT, Flaw.FORGED),
    "nobody's run": (OF_HOST + ROTATION + ROOT, Flaw.FOREIGN),
    "another run": (issued(Subject.RUN, "another", SigningKey.new("agentrader/run/another"), OLD) + ROOT, Flaw.FOREIGN),
}


@pytest.mark.parametrize("name", FLAWS)
def test_each_flaw_has_its_name(name: str) -> None:
    text, flaw = FLAWS[name]
    assert flaw_of(text) is flaw


@pytest.mark.parametrize(
    ("subject", "name", "issuer", "above"),
    [
        (Subject.HOST, "other", MACHINE, OF_HOST + ROTATION + ROOT),
        (Subject.PROJECT, PROJECT, MACHINE, OF_HOST + ROTATION + ROOT),
        (Subject.HOST, "other", RUN_KEY, BY_OLD + ROOT),
        (Subject.RUN, RUN, RUN_KEY, BY_OLD + ROOT),
        (Subject.PROJECT, PROJECT, RUN_KEY, BY_OLD + ROOT),
    ],
    ids=["host by host", "project by host", "host by run", "run by run", "project by run"],
)
def test_nobody_vouches_beyond_his_right(subject: Subject, name: str, issuer: SigningKey, above: str) -> None:
    """A host's key makes no hosts and no project keys; a run's key makes nothing."""
    key = SigningKey.new(key_name(subject, name))
    with pytest.raises(CertificateError) as caught:
        list(read_chains((issued(subject, name, key, issuer) + above).encode()))
    assert caught.value.flaw is Flaw.FORBIDDEN


def test_a_run_key_that_signs_itself_is_nobody() -> None:
    assert flaw_of(issued(Subject.RUN, RUN, RUN_KEY, RUN_KEY)) is Flaw.FORGED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"run {RUN}", "run another"),  # the key is named after the run
        ("2025-04-01T09:30:00Z", "2025-04-01T09:30:00+00:00"),
        ("2025-04-01T09:30:00Z", "2025-04-01T09:30:00.000Z"),
        ("2025-04-01T09:30:00Z", "yesterday"),
        (f"run {RUN}", f"run  {RUN}"),
        (f"run {RUN}", f"user {RUN}"),
        ("agentrader/certificate", "agentrader/certificate/2"),
        ("Z\n", "Z\nmore\n"),
    ],
)
def test_even_a_signed_text_has_one_spelling(old: str, new: str) -> None:
    text = Certificate(Subject.RUN, RUN, RUN_KEY.public, AT).text()
    assert old in text
    assert flaw_of(sign_note(text.replace(old, new), OLD) + "\n" + ROOT) is Flaw.MALFORMED


@pytest.mark.parametrize("name", ["", "a b", "a+b", "../x", "a/b", ".hidden", "x" * 201, "é"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        key_name(Subject.HOST, name)


def test_a_project_key_has_one_name() -> None:
    with pytest.raises(ValueError, match="is no name"):
        key_name(Subject.PROJECT, "other")


def test_a_key_is_added_once() -> None:
    once = with_certificates(WHOLE.encode(), STRANGE)
    assert once == (WHOLE + STRANGE).encode()
    assert with_certificates(once, STRANGE) == once
    assert with_certificates(b"", WHOLE) == WHOLE.encode()
