"""Exact money: what is kept to the last digit, and the few places that round."""

from __future__ import annotations

from decimal import Context, Decimal, DivisionByZero, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model.money import affordable, after_split, exactly, money, quotient, value_of, whole_lots

LOTS = st.sampled_from([Decimal(1), Decimal("0.01"), Decimal("0.00000001")])
amounts = st.integers(-(10**22), 10**22).map(lambda number: Decimal(number).scaleb(-8))
positive = st.integers(1, 10**22).map(lambda number: Decimal(number).scaleb(-8))
digits = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)


def test_losing_a_digit_raises() -> None:
    with exactly(), pytest.raises(Inexact):
        Decimal(1) / Decimal(3)


def test_exactness_ends_with_its_block() -> None:
    with exactly():
        pass
    assert Decimal(1) / Decimal(3) == Decimal("0.3333333333333333333333333333")


@given(digits)
def test_money_is_the_nearest_of_eight_decimals(amount: Decimal) -> None:
    with localcontext(Context(prec=3)):
        rounded = money(amount)
    assert Fraction(rounded) == Fraction(round(Fraction(amount) * 10**8), 10**8)
    assert money(rounded) == rounded


@given(amounts, amounts)
def test_a_value_is_the_exact_product_rounded_once(quantity: Decimal, price: Decimal) -> None:
    exact = Fraction(quantity) * Fraction(price)
    assert Fraction(value_of(quantity, price)) == Fraction(round(exact * 10**8), 10**8)


def test_dividing_by_nothing_raises() -> None:
    with pytest.raises(DivisionByZero):
        quotient(Decimal(1), Decimal(0))


@given(amounts, LOTS)
def test_whole_lots_never_exceed_and_miss_less_than_one(quantity: Decimal, lot: Decimal) -> None:
    kept = whole_lots(quantity, lot)
    assert abs(kept) <= abs(quantity) < abs(kept) + lot
    assert kept * quantity >= 0
    assert kept % lot == 0


@given(amounts, positive, LOTS)
def test_affordable_is_the_most_that_a_budget_pays_for(budget: Decimal, price: Decimal, lot: Decimal) -> None:
    most = affordable(budget, price, lot)
    assert Fraction(most) * Fraction(price) <= max(Fraction(budget), 0)
    assert budget <= 0 or (Fraction(most) + Fraction(lot)) * Fraction(price) > Fraction(budget)


@pytest.mark.parametrize(
    ("quantity", "ratio", "kept", "fraction"),
    [
        ("10", "10", "100", "0"),
        ("3", "1.5", "4", "0.5"),
        ("-3", "1.5", "-4", "-0.5"),
        ("5", "0.1", "0", "0.5"),
        ("3", "0.3333333333333333333333333333", "1", "0"),
        ("15", "0.06666666666666666666666666667", "1", "0"),
    ],
)
def test_a_split_keeps_whole_shares_and_pays_the_fraction(quantity: str, ratio: str, kept: str, fraction: str) -> None:
    assert after_split(Decimal(quantity), Decimal(ratio), Decimal(1)) == (Decimal(kept), Decimal(fraction))
