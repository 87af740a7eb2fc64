"""Money as text: plain, exact, and never a text without end."""

from __future__ import annotations

from decimal import Decimal

import pytest

from data.model.canonical import decimal_text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+2", "100"), ("1.50", "1.5"), ("-0", "0"), ("0E-9", "0"), ("1E-8", "0.00000001"), ("-12.30", "-12.3")],
)
def test_plain_notation(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize("value", ["1E+999999", "1E-999999", "-1E+1001", "NaN", "Infinity", "-sNaN"])
def test_what_is_out_of_all_range_is_refused_at_once(value: str) -> None:
    with pytest.raises(ValueError, match=r"out of all range|not a finite number"):
        decimal_text(Decimal(value))
