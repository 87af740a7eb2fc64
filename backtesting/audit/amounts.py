"""How money, prices, quantities and rates are written for people: a true minus sign, thousands separated."""

from __future__ import annotations

from decimal import Decimal

from data.model.canonical import decimal_text

MINUS = "\N{MINUS SIGN}"
GAP = "\N{NO-BREAK SPACE}"
NONE = "\N{EN DASH}"


def percent(rate: float, *, sign: bool = True, digits: int = 2) -> str:
    """`+4.21 %` of a fraction; what rounds to zero has no sign."""
    shown = f"{abs(rate) * 100:,.{digits}f}"
    if not sign or not float(shown.replace(",", "")):
        return f"{shown}{GAP}%"
    return f"{MINUS if rate < 0 else '+'}{shown}{GAP}%"


def money(amount: Decimal) -> str:
    """Two decimals with thousands separated."""
    return f"{amount:,.2f}".replace("-", MINUS)


def price(amount: Decimal, digits: int) -> str:
    """With as many decimals as the instrument's ticks have."""
    return f"{amount:,.{digits}f}".replace("-", MINUS)


def plain(amount: Decimal) -> str:
    """Every decimal there is, thousands separated: prices and quantities."""
    whole, point, rest = decimal_text(amount).partition(".")
    return f"{MINUS if amount < 0 else ''}{abs(int(whole)):,}{point}{rest}"
