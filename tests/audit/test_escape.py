"""Text of models in logs, terminals and spreadsheets: nothing moves the cursor, hides or computes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model.escape import csv_cell, escape_block, escape_line

BIDI_CONTROLS = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
ANYTHING = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, naïve 漢字 🙂", "plain text, naïve 漢字 🙂"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("one\r\ntwo\tthree", "one\\r\\ntwo\\tthree"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_is_unseen_is_shown(text: str, shown: str) -> None:
    assert escape_line(text) == shown


@given(ANYTHING)
def test_nothing_unseen_is_left(text: str) -> None:
    shown = escape_line(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Zl", "Zp", "Cs"}
    assert not {unicodedata.bidirectional(character) for character in shown} & BIDI_CONTROLS
    shown.encode()
    assert escape_line(shown) == shown


@given(ANYTHING)
def test_a_block_has_no_line_of_its_own_at_the_margin(text: str) -> None:
    first, *rest = escape_block(text).split("\n")
    assert "\n" not in first
    assert all(line.startswith("    ") for line in rest)


FORMULAS = ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "\t=1", "  =1", "\uff1d1", "|calc", "-", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_is_quoted(text: str) -> None:
    assert csv_cell(text).startswith(("'", "\\t"))


@pytest.mark.parametrize("text", ["-12.5", "+3", "0", "BUY 0.1 to open", "", "a=b"])
def test_numbers_and_words_stay(text: str) -> None:
    assert csv_cell(text) == text
