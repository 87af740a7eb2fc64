"""The kernel's arithmetic: products of floats to 31 digits, and what such a product comes to in whole numbers.

A number of 31 digits is a pair of floats, the second what the first lacks (Dekker 1971; Shewchuk 1997). Products that
agree to 28 digits are taken for equal: they are those of decimals whose digits end before that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit

Compiled = TypeVar("Compiled", bound=Callable[..., object])
Pair = tuple[float, float]

UNITS = 1e8
WHOLE = 2.0**53
ULP = 2.0**-52
SPLITTER = 2.0**27 + 1
SAME = 1e-28


def compiled(function: Compiled) -> Compiled:
    """The function in machine code, once it is called; what calls it from Python must be `kept`."""
    return cast("Compiled", njit(nogil=True, error_model="numpy")(function))


def kept(function: Compiled) -> Compiled:
    """The same, and kept on disk between processes where there is a place for it: beside the code, else the user's."""
    try:
        return cast("Compiled", njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # neither can be written to
        return compiled(function)


@compiled
def product(a: float, b: float) -> Pair:
    """a * b, exactly."""
    p = a * b
    c = SPLITTER * a
    a1 = c - (c - a)
    a2 = a - a1
    c = SPLITTER * b
    b1 = c - (c - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


@compiled
def times(a: float, a2: float, b: float, b2: float) -> Pair:
    p, e = product(a, b)
    e += a * b2 + a2 * b
    s = p + e
    return s, e - (s - p)


@compiled
def rounded(a: float, a2: float) -> float:
    """The nearest whole number, half to even."""
    whole = float(np.rint(a))
    if abs(a) >= WHOLE / 2:
        return whole + float(np.rint(a2))
    if a - whole == 0.5 and a2 > SAME * a:
        return whole + 1
    if a - whole == -0.5 and a2 < -SAME * abs(a):
        return whole - 1
    return whole


@compiled
def _fits(count: float, each: float, each2: float, budget: float, budget2: float) -> bool:
    p, e = times(count, 0.0, each, each2)
    return (p - budget) + (e - budget2) <= SAME * abs(budget)


@compiled
def how_many(budget: float, budget2: float, each: float, each2: float) -> float:
    """The greatest whole number with number * each <= budget; zero for a budget that is not positive."""
    if budget <= 0 or each <= 0:
        return 0.0
    ratio = budget / each
    count = float(np.floor(ratio))
    doubt = 4 * ULP * ratio
    if doubt < ratio - count < 1 - doubt or ratio > WHOLE:
        return count
    p, e = times(count, 0.0, each, each2)
    count += float(np.floor(((budget - p) + (budget2 - e)) / each))
    if _fits(count + 1, each, each2, budget, budget2):
        return count + 1
    return count if _fits(count, each, each2, budget, budget2) else count - 1


@compiled
def units(price: float) -> float:
    """The price at eight decimals; a half is one though a float cannot say so exactly."""
    scaled = price * UNITS
    half = float(np.floor(scaled)) + 0.5
    if abs(scaled) < WHOLE / 8 and abs(scaled - half) <= ULP * abs(scaled):
        scaled = half
    return float(np.rint(scaled))


@compiled
def scaled(number: float) -> Pair:
    """The number times 1e8, taken for the decimal that it stands for."""
    whole = float(np.rint(number * UNITS))
    if abs(whole) < WHOLE and whole / UNITS == number:
        return whole, 0.0
    return product(number, UNITS)
