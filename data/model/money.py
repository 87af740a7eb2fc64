"""Exact money: arithmetic in `Decimal` that either keeps every digit or rounds where it says so.

Prices and cash have eight decimals, quantities are whole lots. Inside `exactly()` an operation that would lose a digit
raises `decimal.Inexact`; rounding happens in the functions below alone. None of it depends on the caller's decimal
context. Sixty digits hold any product of a price and a quantity of a market that there is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)

ZERO = Decimal(0)
ONE = Decimal(1)
SMALLEST = Decimal("0.00000001")
BASIS_POINT = Decimal("0.0001")


def _context(*traps: type[DecimalException]) -> Context:
    return Context(
        prec=60,
        rounding=ROUND_HALF_EVEN,
        Emin=-9999,
        Emax=9999,
        capitals=1,
        clamp=0,
        flags=[],
        traps=[InvalidOperation, DivisionByZero, Overflow, *traps],
    )


EXACT = _context(Inexact)
_ROUNDING = _context()


def exactly() -> AbstractContextManager[Context]:
    """A block whose operators lose no digit: `Inexact` is trapped."""
    return localcontext(EXACT)


def money(amount: Decimal) -> Decimal:
    """A price or an amount of cash, rounded half to even at 1e-8."""
    return _ROUNDING.quantize(amount, SMALLEST)


def quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """`dividend / divisor`, rounded at 1e-8. Raises decimal.DivisionByZero."""
    return money(_ROUNDING.divide(dividend, divisor))


def whole_lots(quantity: Decimal, lot: Decimal) -> Decimal:
    """The largest multiple of `lot` that is no further from zero than `quantity`; exact."""
    return EXACT.multiply(EXACT.divide_int(quantity, lot), lot)


def affordable(budget: Decimal, price: Decimal, lot: Decimal) -> Decimal:
    """The most whole lots with `quantity * price <= budget`; zero if the budget is not positive. Exact."""
    if budget <= 0:
        return ZERO
    return EXACT.multiply(EXACT.divide_int(budget, EXACT.multiply(price, lot)), lot)


def value_of(quantity: Decimal, price: Decimal) -> Decimal:
    """What a quantity trades for, in cash: rounded at 1e-8."""
    return money(EXACT.multiply(quantity, price))


def after_split(quantity: Decimal, ratio: Decimal, lot: Decimal) -> tuple[Decimal, Decimal]:
    """A quantity in new shares: whole lots, and the fraction of a lot that is paid out in cash. Signs are kept.

    The product is rounded at 1e-8 first: three shares at one for three are one share, though 1/3 has no last digit.
    """
    restated = value_of(quantity, ratio)
    kept = whole_lots(restated, lot)
    return kept, EXACT.subtract(restated, kept)
