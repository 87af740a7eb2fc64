"""The check of a line's spelling says what RFC 8785 says, for every line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.journal.examine_json import Respelled, read_strict, readings
from data.model.canonical import canonical_bytes

TEXTS = st.text() | st.sampled_from(["\ue000", "\U00010000", "\uffff", "\x7f", "\x00\b\t\n\f\r\x1b", '"\\/', "\u2028é"])
NUMBERS = (
    st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e16, 1e20, 1e21, 1e-5, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 1.0, 2.0**53, 1e300])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)


def by_the_package(line: bytes) -> bool:
    """The slow way: no name twice, every number a double, and rfc8785 writes the same bytes."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def number(digits: str) -> float | int:
        value = int(digits)
        return value if abs(value) < 2**53 else float(digits)

    try:
        value = json.loads(line.decode(), object_pairs_hook=once, parse_int=number)
        return rfc8785.dumps(value) == line
    except (ValueError, AssertionError, OverflowError):
        return False


def accepted(line: bytes) -> bool:
    try:
        read_strict(line)
    except ValueError:
        return False
    return True


@settings(max_examples=400)
@given(VALUES)
def test_what_the_package_writes_is_read(value: Any) -> None:
    line = rfc8785.dumps(value)
    assert canonical_bytes(read_strict(line)) == line


@settings(max_examples=400)
@given(VALUES, st.booleans(), st.booleans(), st.sampled_from([None, 0, 1]), st.sampled_from([",", ", "]))
def test_other_writers_are_judged_as_the_package_judges(
    value: Any, escaped: bool, ordered: bool, indent: int | None, comma: str
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, sort_keys=ordered, indent=indent, separators=(comma, ":"))
    line = text.encode(errors="surrogatepass")
    assert accepted(line) == by_the_package(line)


@settings(max_examples=400)
@given(VALUES, st.data())
def test_a_changed_byte_is_judged_as_the_package_judges(value: Any, data: st.DataObject) -> None:
    line = bytearray(rfc8785.dumps(value))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] = data.draw(st.integers(0, 255) | st.sampled_from(b'0123456789.eE-+",:[]{} \\'))
    assert accepted(bytes(line)) == by_the_package(bytes(line))


@settings(max_examples=300)
@given(st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@example("9007199254740992")
@example("9007199254740993")
@example("100000000000000000000")
@example("1e21")
@example("1e+21")
@example("1e-7")
@example("0.000001")
@example("1e400")
@example("-0")
@example("0.30000000000000004")
@example("0.30000000000000002")
def test_numbers_have_one_form(text: str) -> None:
    line = b'{"n":%b}' % text.encode()
    assert accepted(line) == by_the_package(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":1}\r', "carriage return"),
        (b'{"a": 1}', "white space"),
        (b'{"a":1,"a":2}', "'a' stands twice"),
        (b'{"b":1,"a":2}', "'b' stands out of order"),
        (b'{"\xef\xbf\xbf":1,"\xf0\x90\x80\x80":2}', "out of order"),
        (b'{"a":1.0}', "number 1.0"),
        (b'{"a":1e2}', "number 1e2"),
        (b'{"a":-0}', "number -0"),
        (b'{"a":9007199254740993}', "number 9007199254740993"),
        (b'{"a":"\\u0041"}', "escaped"),
        (b'{"a":"\\/"}', "escaped"),
    ],
)
def test_another_spelling_is_named(line: bytes, said: str) -> None:
    with pytest.raises(Respelled, match=said):
        read_strict(line)
    assert by_the_package(next(readings(line)))


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"{", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"a":01}', b'{"a":.5}', b"{'a':1}", b"{}{}"),
        *(b'{"a":"\\ud800"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\x01"}', b'\xff{"a":1}', b"[" * 100_000),
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=range(15),
)
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_strict(line)
    assert not isinstance(caught.value, Respelled)


def test_a_name_that_stands_twice_has_two_readings() -> None:
    assert list(readings(b'{"a":1, "a":2}')) == [b'{"a":2}', b'{"a":1}']
