"""An equity row is summed up when it is first read: most rows of an account that is played ahead or aside never are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from data.model.money import EXACT, ZERO, money, quotient
from data.model.trading import EquityRow

_setters: list[Any] = [EquityRow.__dict__[field.name].__set__ for field in fields(EquityRow)]
_set_at, _set_cash, _set_equity, _set_exposure, _set_quantities, _set_marks, _set_stale = _setters
_get_cash: Any = EquityRow.__dict__["cash"].__get__
_new, _set_class = object.__new__, object.__setattr__


class _Unread(EquityRow):
    """A row whose `cash` holds what its numbers follow from. Whatever is read of it makes it the row it stands for.

    What it follows from never changes, so two threads that read at once come to the same.
    """

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        follows_from = _get_cash(self)
        if type(follows_from) is tuple:
            _settle(self, *follows_from)
        return object.__getattribute__(self, name)


def marked(follows_from: tuple[Any, ...]) -> EquityRow:
    """The row of an account: its instant, cash, initial cash, the symbols without a new bar, and of each position its
    symbol, its signed quantity, and its last price as the bar printed it."""
    row: EquityRow = _new(_Unread)
    _set_cash(row, follows_from)
    return row


def worth(cash: Decimal, held: Iterable[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    """Equity, and the gross value of all that is held: signed quantities, and marks of eight decimals."""
    equity, gross = cash, ZERO
    for quantity, mark in held:
        value = EXACT.multiply(quantity, mark)
        equity, gross = EXACT.add(equity, value), EXACT.add(gross, value.copy_abs())
    return equity, gross


def exposure(equity: Decimal, gross: Decimal, initial: Decimal) -> Decimal:
    """Gross value over equity; over the initial cash where no equity is left to divide by."""
    return quotient(gross, equity if equity > 0 else initial)


def _settle(row: _Unread, at: datetime, cash: Decimal, initial: Decimal, stale: Sequence[str], *parts: Any) -> None:
    _set_at(row, at)
    _set_stale(row, tuple(sorted(stale)))
    if parts:
        _settle_positions(row, cash, initial, parts)
    else:
        _set_equity(row, cash)
        _set_exposure(row, ZERO)
        _set_quantities(row, ())
        _set_marks(row, ())
    # Last, since it tells that the others are there.
    _set_cash(row, cash)
    _set_class(row, "__class__", EquityRow)


def _settle_positions(row: _Unread, cash: Decimal, initial: Decimal, parts: Sequence[Any]) -> None:
    held = [(parts[i], parts[i + 1], money(parts[i + 2])) for i in range(0, len(parts), 3)]
    equity, gross = worth(cash, [(quantity, mark) for _, quantity, mark in held])
    held.sort()
    _set_equity(row, equity)
    _set_exposure(row, exposure(equity, gross, initial))
    _set_quantities(row, tuple([(symbol, quantity) for symbol, quantity, _ in held]))
    _set_marks(row, tuple([(symbol, mark) for symbol, _, mark in held]))
