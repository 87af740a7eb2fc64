"""The bytes are rfc8785's, whoever writes them; the refusals too."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from data.model import canonical
from data.model.canonical import canonical_bytes, digest, to_json


class Side(StrEnum):
    BUY = "buy"


class Odd(str, Enum):  # noqa: UP042 - its str() is not its value
    NAME = "value"


class Level(IntEnum):
    HIGH = 3


class Word(str):
    """An heir whose str() is something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Whole(int):
    __slots__ = ()


class Real(float):
    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Pair:
    zulu: object
    alpha: object


class Model(BaseModel):
    z: int
    a: list[float]


def reference(value: object) -> bytes:
    return rfc8785.dumps(to_json(value))  # type: ignore[arg-type]


TEXTS = st.text() | st.text('\x00\x1f\x7f"\\/\b\t\n\f\r\u2028é한\ue000\uffff😀\U00010000z', max_size=8)
FLOATS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.tuples(st.integers(-(10**17), 10**17), st.integers(-30, 30)).map(lambda pair: float(f"{pair[0]}e{pair[1]}"))
    | st.sampled_from([0.0, -0.0, 1e-4, 9.9e-5, 1e-6, 1e-7, 1e15, 1e16, 123456789012345680.0, 1e20, 1e21, 1e22, 5e-324])
)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
ATOMS = (
    st.none()
    | st.booleans()
    | INTEGERS
    | FLOATS
    | TEXTS
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.sampled_from([Side.BUY, Odd.NAME, Level.HIGH, Word("w"), Whole(7), Real(0.5)])
)
KEYS = TEXTS | INTEGERS | st.sampled_from([None, True, Side.BUY, Odd.NAME, Word("w"), "another", "7"])
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=6)
        | st.dictionaries(TEXTS, inner, max_size=4).map(MappingProxyType)
        | st.dictionaries(TEXTS, inner, max_size=4).map(OrderedDict)
        | st.dictionaries(TEXTS, inner, max_size=4).map(UserDict)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=25,
)


@given(VALUES)
def test_the_bytes_are_the_reference_s(value: object) -> None:
    assert canonical_bytes(value) == reference(value)


@given(FLOATS)
def test_numbers_are_ecmascript_s(value: float) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(st.lists(TEXTS, max_size=12))
def test_names_stand_in_the_order_of_utf_16(names: list[str]) -> None:
    value = dict.fromkeys(names, 1)
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"\ue000": 1, "😀": 2, "a": 3}, '{"a":3,"😀":2,"\ue000":1}'),
        ([0.0, -0.0, 1.0, 1e16, 1e21, 1e-7, 0.1], "[0,0,1,10000000000000000,1e+21,1e-7,0.1]"),
        ([True, False, None, 2**53 - 1], "[true,false,null,9007199254740991]"),
        ('\x00\x1f\x7f\u2028"\\/\n', '"\\u0000\\u001f\x7f\u2028\\"\\\\/\\n"'),
        ({1: "number", "1": "text"}, '{"1":"text"}'),
        ([Decimal("1E+2"), Decimal("-0.00"), Decimal("1.50")], '["100","0","1.5"]'),
        (datetime(2025, 4, 1, 2, tzinfo=timezone(timedelta(hours=2))), '"2025-04-01T00:00:00Z"'),
        (date(2025, 4, 1), '"2025-04-01"'),
        ({Side.BUY: Side.BUY, Odd.NAME: Odd.NAME}, '{"Odd.NAME":"value","buy":"buy"}'),
        ([Word("w"), Whole(7), Real(2.0), Level.HIGH], '["w",7,2,3]'),
        (Pair(1, Model(z=1, a=[1.5])), '{"alpha":{"a":[1.5],"z":1},"zulu":1}'),
        ({}, "{}"),
        ((), "[]"),
    ],
)
def test_what_is_written(value: object, written: str) -> None:
    assert canonical_bytes(value).decode() == written
    assert reference(value).decode() == written


WRONG = [
    2**53,
    -(2**53),
    float("nan"),
    float("inf"),
    Real("-inf"),
    Decimal("NaN"),
    "\ud800",
    {"\udfff": 1},
    {"a": "\udfff"},
    {"é": 1, "\ud83d": 2},
    object(),
    {1, 2},
    b"bytes",
    Pair,
    datetime(2025, 4, 1),  # noqa: DTZ001 - naive on purpose
    [2**53, object()],
]


@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("wrapped", [lambda value: value, lambda value: {"k": [value]}, lambda value: Pair(1, value)])
def test_what_is_refused_is_refused_in_the_same_words(value: object, wrapped: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as expected:
        reference(wrapped(value))
    with pytest.raises(type(expected.value)) as found:
        canonical_bytes(wrapped(value))
    assert type(found.value) is type(expected.value)
    assert str(found.value) == str(expected.value)


def test_equal_names_of_another_type_are_told_apart() -> None:
    assert canonical_bytes({"w": 1, "z": 2}) == b'{"w":1,"z":2}'
    assert canonical_bytes({Word("w"): 1, "z": 2}) == b'{"another":1,"z":2}'
    assert canonical_bytes({1: 1, "z": 2}) == b'{"1":1,"z":2}'
    assert canonical_bytes({True: 1, "z": 2}) == b'{"True":1,"z":2}'


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        canonical_bytes(endless)


def test_a_journal_s_usual_record_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"text": "Trend: up\n", "usage": {"gen_ai.usage.input_tokens": 3, "s": 0.25}, "cost": None, "ok": True}
    expected = reference(record)
    monkeypatch.setattr(canonical.rfc8785, "dumps", lambda _: pytest.fail("the package was asked"))
    assert canonical_bytes(record) == expected


def test_a_digest_is_over_the_bytes() -> None:
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
