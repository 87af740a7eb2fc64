"""Whatever value is changed in a record that money or a decision rests on: the audit names something."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import Recorder, changed, live

from backtesting.audit.derivation import rederive
from data.model.protocols import Record

KINDS = ("bar", "fill", "trade", "equity", "decision", "opinion")


def leaves(value: Any, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the values of a body are that hold no others; empty lists and objects are such."""
    if isinstance(value, dict) and value:
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*way, name))]
    if isinstance(value, list) and value:
        return [leaf for place, inner in enumerate(value) for leaf in leaves(inner, (*way, place))]
    return [way]


def others(value: Any) -> st.SearchStrategy[Any]:
    """Values that could stand there instead."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int):
        return st.integers(-(10**6), 10**6)
    if isinstance(value, str):
        return st.one_of(amounts(value), st.text(max_size=8), st.none())
    return st.one_of(st.text(max_size=3), st.just(["x"]), st.just({}), st.just("1"), st.none())


def amounts(value: str) -> st.SearchStrategy[Any]:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return st.sampled_from([f"{value} ", value[:-1], value.swapcase()])
    steps = st.sampled_from(["0.00000001", "-0.00000001", "1", "-1", "1000"])
    return steps.map(lambda step: format(amount + Decimal(step), "f"))


def at(body: Any, way: tuple[str | int, ...]) -> Any:
    for step in way:
        body = body[step]
    return body


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_value_is_named(recorder: Recorder, data: st.DataObject) -> None:
    records: list[Record] = live(getattr(recorder, data.draw(st.sampled_from(["rules", "split"])))())
    kind = data.draw(st.sampled_from(KINDS))
    found = [record for record in records if record.kind == kind]
    place = data.draw(st.integers(0, len(found) - 1))
    body = found[place].body
    way = data.draw(st.sampled_from(leaves(body)))
    before = at(body, way)
    now = data.draw(others(before).filter(lambda value: value != before or type(value) is not type(before)))

    def change(copy: dict[str, Any]) -> None:
        at(copy, way[:-1])[way[-1]] = now

    log, _ = changed(records, kind, change, place)
    assert rederive(log).differences, (kind, place, way, before, now)
