"""The answer that every agent owes, its JSON schema, and the one reading of it.

An answer is exactly one JSON object, the last thing in the text; prose may stand before it. What the schema does not
allow is `Malformed`. Numbers are kept as decimals, rounded at 1e-8. Limit: the schema sent to providers has no numeric
bounds, because some refuse such schemas; the bounds are said in words and held here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from data.model.canonical import Json
from data.model.decisions import Abstention, Opinion, Role
from data.model.money import ONE, ZERO, money
from data.model.trading import Action

ANALYSTS = frozenset({Role.TECHNICAL, Role.FUNDAMENTAL})
ABSTAIN = "ABSTAIN"
MOST_TARGET = Decimal(10)
REASK = (
    "Your last answer could not be read. Answer the same question again: exactly one JSON object with the keys and the "
    "values that your instruction asks for, each key once, every number a plain fraction, and nothing after the object."
)
_START = re.compile(r'\{(?=\s*["}])')
_END = re.compile(r"\s*(```\s*)?\Z")
_FACT = re.compile(r"f[0-9]+")


class Malformed(ValueError):
    """An answer that is not what the schema asks for; the message says what is wrong, in one line of ours."""


def answer_schema(role: Role) -> dict[str, Json]:
    """The bare JSON schema of a role's answer: every key required, none besides, so that it can be enforced strictly.

    The reasons come first: a model that writes in this order thinks before it decides.
    """
    texts: Json = {"type": "array", "items": {"type": "string"}}
    number: Json = {"type": "number"}
    number_or_null: Json = {"type": ["number", "null"]}
    of: dict[str, Json] = {
        "reasons": texts,
        "evidence": texts,
        "action": {"type": "string", "enum": [*_actions(role)]},
        "confidence": number,
        "size": number,
        "stop_loss": number_or_null,
        "take_profit": number_or_null,
    }
    properties: dict[str, Json] = {key: of[key] for key in _keys(role)}
    return {"type": "object", "properties": properties, "required": [*_keys(role)], "additionalProperties": False}


def _keys(role: Role) -> tuple[str, ...]:
    if role in ANALYSTS:
        return ("reasons", "evidence", "action", "confidence")
    return ("reasons", "action", "confidence", "size", "stop_loss", "take_profit")


def _actions(role: Role) -> tuple[str, ...]:
    return (*(action.value for action in Action), *((ABSTAIN,) if role in ANALYSTS else ()))


def parse(role: Role, text: str, fact_ids: Collection[str]) -> Opinion | Abstention:
    """What an agent said. Raises Malformed, and nothing else, whatever the text.

    Evidence that the brief does not hold does not count, and for the fundamental analyst only facts do (`f1`, `f2`);
    an analyst's opinion that rests on nothing else is an abstention.
    """
    answer = _Answer(_only_object(text), role)
    action, confidence, reasons = answer.action(), answer.fraction("confidence", ONE), answer.texts("reasons")
    if role not in ANALYSTS:
        return Opinion(
            role,
            Action(action),
            confidence,
            reasons,
            size=answer.fraction("size", ONE),
            stop_loss=answer.optional_fraction("stop_loss", ONE),
            take_profit=answer.optional_fraction("take_profit", MOST_TARGET),
        )
    cited = answer.texts("evidence")
    if action == ABSTAIN:
        return Abstention(role, "; ".join(reasons) or "it abstained and gave no reason")
    evidence = tuple(name for name in dict.fromkeys(cited) if name in fact_ids and _counts(role, name))
    if not evidence:
        return Abstention(role, f"its opinion ({action}) rests on no fact of the brief")
    return Opinion(role, Action(action), confidence, reasons, evidence)


def _counts(role: Role, name: str) -> bool:
    return role is not Role.FUNDAMENTAL or _FACT.fullmatch(name) is not None


def _only_object(text: str) -> dict[str, Any]:
    """The first `{` that can open an object must open the only one, and that must be the text's end."""
    start = _START.search(text)
    if start is None:
        raise Malformed("no JSON object in the answer")
    try:
        found, end = _DECODER.raw_decode(text, start.start())
    except json.JSONDecodeError as fault:
        raise Malformed(f"not valid JSON: {fault.msg}, at character {fault.pos + 1}") from None
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    if not _END.match(text, end):
        raise Malformed("something follows the JSON object; it must be the only one, and come last")
    assert isinstance(found, dict)
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a key stands twice in the JSON object")
    return found


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Malformed("a number is out of all range") from None


def _no_number(name: str) -> Any:
    raise Malformed(f"{name} is no number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repeats, parse_float=_number, parse_int=_number, parse_constant=_no_number
)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A decoded object, read key by key against the role's schema."""

    body: dict[str, Any]
    role: Role

    def __post_init__(self) -> None:
        wanted = _keys(self.role)
        if missing := [name for name in wanted if name not in self.body]:
            raise Malformed(f"the answer lacks {', '.join(missing)}")
        if len(self.body) > len(wanted):
            raise Malformed(f"the answer has keys besides {', '.join(wanted)}")

    def action(self) -> str:
        said = self.body["action"]
        if not isinstance(said, str) or said not in _actions(self.role):
            raise Malformed(f"action is none of {', '.join(_actions(self.role))}")
        return said

    def optional_fraction(self, name: str, most: Decimal) -> Decimal | None:
        return None if self.body[name] is None else self.fraction(name, most)

    def fraction(self, name: str, most: Decimal) -> Decimal:
        value = self.body[name]
        if not isinstance(value, Decimal) or not ZERO <= value <= most:
            raise Malformed(f"{name} is not a fraction from 0 to {most}")
        return money(value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.body[name]
        if not isinstance(value, list) or not all(isinstance(item, str) and _is_unicode(item) for item in value):
            raise Malformed(f"{name} is not a list of texts")
        return tuple(value)


def _is_unicode(text: str) -> bool:
    """JSON can write half of a surrogate pair, which nothing can store."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
