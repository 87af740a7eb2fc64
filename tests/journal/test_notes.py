"""Signed notes: what is signed opens, and no other spelling of it does."""

import base64
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.journal.notes import Checkpoint, NoteError, PublicKey, SigningKey, open_note, sign_note, split_notes

KEY = SigningKey.new("agentrader/run/r1")
POINT = Checkpoint("agentrader/run/r1", 3, b"r" * 32, (b"a" * 32, b"b" * 32))
NOTE = sign_note(POINT.text(), KEY)

# The example of https://c2sp.org/signed-note (in Go: golang.org/x/mod/sumdb/note).
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_example_of_the_specification_opens():
    text, key = open_note(PETERS_NOTE, [PublicKey.parse(PETER)])
    assert text.startswith("If you think cryptography")
    assert key.text == PETER


def test_a_checkpoint_comes_back_from_its_note():
    text, key = open_note(NOTE, [KEY.public])
    assert Checkpoint.parse(text) == POINT
    assert key == KEY.public
    assert POINT.head == f"3-{'72' * 32}"


def test_a_key_survives_its_file_and_its_line():
    assert SigningKey.load(KEY.pem(), "agentrader/run/r1").public == KEY.public
    assert PublicKey.parse(KEY.public.text) == KEY.public
    assert "PRIVATE" not in repr(KEY)


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_no_character_can_be_changed(at):
    changed = NOTE[:at] + ("B" if NOTE[at] != "B" else "C") + NOTE[at + 1 :]
    with pytest.raises(NoteError):
        open_note(changed, [KEY.public])


def test_a_signature_has_one_spelling():
    """The last letter before the padding carries bits that decoding drops."""
    head, coded = NOTE[:-1].rsplit(" ", 1)
    raw = base64.b64decode(coded)
    others = {coded[:-2] + letter + "=" for letter in ascii_letters + digits + "+/"} - {coded}
    alike = [other for other in others if base64.b64decode(other) == raw]
    assert alike
    for other in [*alike, coded.rstrip("="), coded + "\n", coded + " ", coded.replace("=", "%3D")]:
        with pytest.raises(NoteError):
            open_note(f"{head} {other}\n", [KEY.public])


@pytest.mark.parametrize(
    "note",
    ["", "text\n", "text\n\n", NOTE[:-1], NOTE + NOTE, "\n" + NOTE, NOTE.replace("\u2014", "-"), NOTE + "\u2014 x y\n"],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(NoteError):
        open_note(note, [KEY.public])


def test_a_stranger_of_the_same_name_is_refused():
    with pytest.raises(NoteError, match="nobody vouches"):
        open_note(NOTE, [SigningKey.new("agentrader/run/r1").public])


@pytest.mark.parametrize(
    "text",
    [
        "o\n3\n",
        "o\n03\n" + "A" * 43 + "=\n",
        "o\n+3\n" + "A" * 43 + "=\n",
        "o\n3\n" + "A" * 44 + "\n",
        "\n3\n" + "A" * 43 + "=\n",
        "o\n3\n" + "A" * 43 + "=\n\n",
        "o\n3\n" + "A" * 43 + "=",
    ],
)
def test_a_checkpoint_has_one_spelling(text):
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@given(st.lists(st.text("ab \n", min_size=1).filter(lambda t: "\n\n" not in t and t.strip("\n") == t), max_size=5))
def test_a_file_of_notes_is_split_into_them(texts):
    notes = [sign_note(text + "\n", KEY) for text in texts]
    data = "".join(note + "\n" for note in notes).encode()
    assert [note for _, note in split_notes(data)] == notes
    if data:
        with pytest.raises(NoteError, match="cut off"):
            list(split_notes(data[:-1]))
