"""An answer is read strictly, or it is malformed; nothing that anybody writes breaks the reader."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.opinions import ANALYSTS, Malformed, answer_schema, parse
from data.model.canonical import canonical_bytes
from data.model.decisions import Abstention, Opinion, Role
from data.model.trading import Action

KNOWN = frozenset({"f1", "f2", "trend"})
VIEW: dict[str, Any] = {"action": "BUY", "confidence": 0.7, "reasons": ["it grows"], "evidence": ["f1"]}
PLAN: dict[str, Any] = {
    "action": "SELL",
    "confidence": 0.785,
    "reasons": ["it falls", "much"],
    "size": 0.5,
    "stop_loss": 0.02,
    "take_profit": None,
}
roles = pytest.mark.parametrize("role", Role)


def said(role: Role, **changes: Any) -> str:
    return json.dumps((VIEW if role in ANALYSTS else PLAN) | changes)


def without(role: Role, key: str) -> str:
    return json.dumps({name: value for name, value in json.loads(said(role)).items() if name != key})


def test_an_analysts_opinion() -> None:
    expected = Opinion(Role.TECHNICAL, Action.BUY, Decimal("0.7"), ("it grows",), ("f1",))
    assert parse(Role.TECHNICAL, said(Role.TECHNICAL), KNOWN) == expected


def test_a_traders_plan() -> None:
    expected = Opinion(
        Role.DECISION,
        Action.SELL,
        Decimal("0.785"),
        ("it falls", "much"),
        size=Decimal("0.5"),
        stop_loss=Decimal("0.02"),
    )
    assert parse(Role.DECISION, said(Role.DECISION), KNOWN) == expected


@roles
@pytest.mark.parametrize(
    "around",
    [
        "HERE",
        "Let me think.\n\nHERE",
        "```json\nHERE\n```",
        "```json\nHERE```  \n",
        "I weigh {risk} and { reward } first:\nHERE\n",
        "Prices [1, 2] in braces { 3 }\nHERE",
    ],
)
def test_prose_may_stand_before_and_a_fence_after(role: Role, around: str) -> None:
    assert parse(role, around.replace("HERE", said(role)), KNOWN) == parse(role, said(role), KNOWN)


@roles
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON object"),
        ("BUY", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("{}", "lacks"),
        ("WHOLEWHOLE", "only one"),
        ("WHOLE\nWHOLE", "only one"),
        ("{}\nWHOLE", "only one"),
        ("[WHOLE]", "only one"),
        ("WHOLE I am sure.", "only one"),
        ("WHOLE\n```\nDone.", "only one"),
        ('{"a": WHOLE', "not valid JSON"),
        ('{"thought": "x", WHOLE', "not valid JSON"),
        ("HALF", "not valid JSON"),
        ('{"action": "BUY", "action": "SELL"}', "twice"),
    ],
)
def test_anything_else_is_malformed(role: Role, text: str, fault: str) -> None:
    whole = said(role)
    with pytest.raises(Malformed, match=fault):
        parse(role, text.replace("WHOLE", whole).replace("HALF", whole[: len(whole) // 2]), KNOWN)


@roles
def test_every_key_is_required_and_no_other_is_allowed(role: Role) -> None:
    for key in json.loads(said(role)):
        with pytest.raises(Malformed, match=f"lacks {key}"):
            parse(role, without(role, key), KNOWN)
    with pytest.raises(Malformed, match="besides"):
        parse(role, said(role, target_price=3), KNOWN)


@roles
@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "-0.1",
        "1.0001",
        "78",
        "true",
        '"0.7"',
        "null",
        "[0.7]",
        "1e999999999999999999999",
    ],
)
def test_a_confidence_is_a_fraction(role: Role, value: str) -> None:
    text = said(role, confidence=0.123456).replace("0.123456", value)
    with pytest.raises(Malformed):
        parse(role, text, KNOWN)


@roles
def test_what_is_no_number_is_called_so(role: Role) -> None:
    with pytest.raises(Malformed, match="NaN is no number"):
        parse(role, said(role, confidence=float("nan")), KNOWN)


@pytest.mark.parametrize("role", [Role.PORTFOLIO, Role.DECISION])
@pytest.mark.parametrize(
    "changes", [{"stop_loss": 74508.0}, {"size": 2}, {"size": None}, {"take_profit": 90000}, {"stop_loss": -0.02}]
)
def test_a_price_is_never_taken_for_a_fraction(role: Role, changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="is not a fraction"):
        parse(role, said(role, **changes), KNOWN)


@pytest.mark.parametrize("changes", [{"stop_loss": 0}, {"stop_loss": 1}, {"take_profit": 9.5}, {"size": 0}])
def test_an_unwise_plan_counts(changes: dict[str, Any]) -> None:
    plan = parse(Role.DECISION, said(Role.DECISION, **changes), KNOWN)
    assert isinstance(plan, Opinion)
    assert {name: getattr(plan, name) for name in changes} == {name: Decimal(str(v)) for name, v in changes.items()}


def test_fractions_keep_eight_decimals_so_that_money_stays_exact() -> None:
    plan = parse(Role.DECISION, said(Role.DECISION, size=0.3333333333333333), KNOWN)
    assert isinstance(plan, Opinion)
    assert plan.size == Decimal("0.33333333")


@roles
@pytest.mark.parametrize("action", ["buy", "LONG", "", 1, None, ["BUY"]])
def test_an_action_is_one_of_the_words(role: Role, action: object) -> None:
    with pytest.raises(Malformed, match="action is none of BUY, SELL, HOLD"):
        parse(role, said(role, action=action), KNOWN)


def test_only_analysts_abstain() -> None:
    for role in Role:
        text = said(role, action="ABSTAIN", reasons=["nothing", "known"])
        if role in ANALYSTS:
            assert parse(role, text, KNOWN) == Abstention(role, "nothing; known")
        else:
            with pytest.raises(Malformed):
                parse(role, text, KNOWN)


@pytest.mark.parametrize(
    ("role", "cited", "counts"),
    [
        (Role.TECHNICAL, ["trend", "f9", "trend"], ("trend",)),
        (Role.TECHNICAL, ["f2", "f1"], ("f2", "f1")),
        (Role.TECHNICAL, ["rsi", ""], None),
        (Role.FUNDAMENTAL, ["f1", "trend"], ("f1",)),
        (Role.FUNDAMENTAL, ["trend"], None),
        (Role.FUNDAMENTAL, [], None),
    ],
)
def test_only_evidence_that_the_brief_holds_counts(
    role: Role, cited: list[str], counts: tuple[str, ...] | None
) -> None:
    heard = parse(role, said(role, evidence=cited), KNOWN)
    if counts is None:
        assert heard == Abstention(role, "its opinion (BUY) rests on no fact of the brief")
    else:
        assert isinstance(heard, Opinion)
        assert heard.evidence == counts


@roles
def test_the_schema_is_fit_for_strict_modes(role: Role) -> None:
    schema = answer_schema(role)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert schema["required"] == list(properties) == list(json.loads(json.dumps(properties)))
    assert schema["additionalProperties"] is False
    assert set(properties) == set(json.loads(said(role)))
    assert not {"minimum", "maximum", "anyOf", "$ref"} & set(json.dumps(schema).replace('"', " ").split())


def test_half_a_character_is_malformed_because_nothing_can_keep_it() -> None:
    with pytest.raises(Malformed, match="reasons is not a list of texts"):
        parse(Role.DECISION, said(Role.DECISION, reasons=["\ud83d"]), KNOWN)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
near_misses = st.dictionaries(st.sampled_from([*VIEW, *PLAN]), json_values | st.sampled_from([*VIEW.values()])).map(
    json.dumps
)
scraps = st.lists(st.sampled_from(['{"action":', "{", "}", '"', "```", "BUY", ":", ",", "[", "NaN", "\\u", " "])).map(
    "".join
)
texts = st.text() | near_misses | scraps | st.tuples(st.text(max_size=9), near_misses, st.text(max_size=3)).map("".join)


@given(st.sampled_from(Role), texts)
@example(Role.DECISION, '{"a":' * 100_000)
@example(Role.DECISION, "{" * 100_000)
@example(Role.TECHNICAL, '{"a":' + "[" * 100_000)
@example(Role.TECHNICAL, '{"a":' + "9" * 10_000 + "}")
@example(Role.TECHNICAL, '{"a":1e' + "9" * 30 + "}")
def test_no_text_raises_anything_but_malformed(role: Role, text: str) -> None:
    heard: object
    try:
        heard = parse(role, text, KNOWN)
    except Malformed as fault:
        heard = str(fault)
    canonical_bytes(heard)  # whatever came of it can be kept in the journal


fractions = st.decimals(0, 1, allow_nan=False, places=8)


@given(st.sampled_from(Action), fractions, fractions, st.none() | fractions, st.lists(st.text(max_size=20), max_size=3))
def test_what_was_meant_is_what_is_heard(
    action: Action, confidence: Decimal, size: Decimal, stop: Decimal | None, reasons: list[str]
) -> None:
    numbers = f'"confidence":{confidence},"size":{size},"stop_loss":{"null" if stop is None else stop}'
    words = f'"action":"{action}","reasons":{json.dumps(reasons)}'
    text = f'{{{words},{numbers},"take_profit":{"null" if stop is None else 10 * stop}}}'
    target = None if stop is None else 10 * stop
    expected = Opinion(Role.PORTFOLIO, action, confidence, tuple(reasons), (), size, stop, target)
    assert parse(Role.PORTFOLIO, text, KNOWN) == expected
