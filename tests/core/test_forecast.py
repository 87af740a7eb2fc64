"""Steps that are looked at ahead, and the account run forward: what comes true if nobody orders anything more."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from test_loop import CASH, Script, bars, instrument, loop

from backtesting.core.forecast import Due, Forecast
from backtesting.core.timeline import Ahead, Step, steps
from data.model.trading import Side

PRICES = st.lists(st.integers(10, 1000), min_size=2, max_size=12)


def test_steps_are_walked_once_though_they_were_looked_at_before() -> None:
    ahead = Ahead(steps([bars("A", [1, 2, 3, 4])]))
    walked = iter(ahead)
    assert ahead.after(0).number == 1
    assert next(walked).number == ahead.walked == 1
    assert [ahead.after(number).number for number in (2, 1, 3)] == [3, 2, 4]
    assert ahead.after(4) is None
    assert [step.number for step in walked] == [2, 3, 4]


def test_decisions_are_numbered_as_they_come() -> None:
    walked = list(steps([bars("A", [1, 2, 3]), bars("B", [1, 2])], decide_every=2))
    assert [dict(step.due) for step in walked] == [{"A": 1, "B": 2}, {}, {"A": 3}]
    assert [step.first for step in walked] == [{"A", "B"}, set(), set()]


@given(PRICES, st.dictionaries(st.integers(1, 6), st.sampled_from([Side.BUY, Side.SELL]), max_size=2))
def test_a_forecast_comes_true_where_nobody_orders(prices: list[int], orders: dict[int, Side]) -> None:
    """At every step the account is forecast to the end; a run that orders nothing after it sees just these books."""
    script = Script({("A", number): side for number, side in orders.items()})
    played = loop(script, ["A"])
    ahead = Ahead(steps([bars("A", prices)]))
    forecasts: dict[int, list[Due]] = {}

    def forecast(step: Step, _tape: object) -> None:
        forecasts[step.number] = list(Forecast(played.account, played.actions, ahead, step.number))

    played.on_step = forecast
    played.run(ahead)
    books = [book for _, book, _ in script.seen]
    last = max((number for number in orders if number <= len(prices)), default=0)
    for number, dues in forecasts.items():
        assert [due.number for due in dues] == list(range(number + 1, len(prices) + 1))
        if number >= last:
            assert [due.book for due in dues] == books[number:]
    assert books[0].cash == CASH
    assert instrument("A").lot < Decimal(1)
