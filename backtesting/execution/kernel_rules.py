"""The rules that the kernel plays by, and as the row of numbers that compiled code reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from data.model.market import AssetClass, Instrument
from data.model.money import BASIS_POINT, ONE, SMALLEST, affordable, exactly, money
from data.model.question import Costs, Limits

FARTHEST_TARGET = 99


@dataclass(frozen=True, slots=True)
class KernelRules:
    """Money in units of the currency, `position_size`, `stop_loss`, `take_profit` and `volume_cap` as fractions.

    No stop, no target, no cap: nan. The last three bound size and levels as `Limits` do.
    """

    initial_cash: float = 10_000.0
    position_size: float = 1.0
    commission_bps: float = 10.0
    slippage_bps: float = 2.0
    stop_loss: float = nan
    take_profit: float = nan
    volume_cap: float = 0.1
    lot: float = 1e-8
    min_notional: float = 0.0
    allow_short: bool = False
    max_exposure: float = 1.0
    min_stop: float = 0.001
    max_stop: float = 0.5


def rules_of(
    cash: Decimal,
    costs: Costs,
    limits: Limits,
    instrument: Instrument,
    stop_loss: Decimal | None = None,
    take_profit: Decimal | None = None,
) -> KernelRules:
    """What a question asks for one instrument; an index is not capped."""
    return KernelRules(
        initial_cash=float(cash),
        position_size=float(limits.position_size),
        commission_bps=float(costs.commission_bps),
        slippage_bps=float(costs.slippage_bps),
        stop_loss=nan if stop_loss is None else float(stop_loss),
        take_profit=nan if take_profit is None else float(take_profit),
        volume_cap=nan if instrument.asset_class is AssetClass.INDEX else float(limits.volume_cap),
        lot=float(instrument.lot),
        min_notional=float(instrument.min_notional),
        allow_short=limits.allow_short,
        max_exposure=float(limits.max_exposure),
        min_stop=float(limits.min_stop),
        max_stop=float(limits.max_stop),
    )


def table(rules: Sequence[KernelRules]) -> NDArray[np.float64]:
    """One row for each, in the order that `kernel_steps` names: most numbers as a float and what it lacks."""
    return np.array([_row(each) for each in rules])


def _row(rules: KernelRules) -> list[float]:
    slip, fee = (money(_meant(bps)) * BASIS_POINT for bps in (rules.slippage_bps, rules.commission_bps))
    lot = _meant(rules.lot)
    if lot <= 0 or rules.initial_cash <= 0:
        raise ValueError(f"a lot of {rules.lot} and a cash of {rules.initial_cash}: both must be above zero")
    stop = None if isnan(rules.stop_loss) else _bounded(rules, rules.stop_loss)
    with exactly():
        numbers = [
            money(_meant(rules.initial_cash)) / SMALLEST,
            lot,
            lot * (ONE + slip) * (ONE + fee),
            _share(rules),
            fee,
            ONE + slip,
            ONE - slip,
            _meant(rules.min_notional) / SMALLEST,
        ]
        bounds = [
            None if isnan(rules.volume_cap) else _meant(rules.volume_cap),
            None if stop is None else ONE - stop,
            None if stop is None else ONE + stop,
            _target(rules, 1),
            _target(rules, -1),
        ]
    row = [part for number in numbers for part in _parts(number)]
    row += [part for bound in bounds for part in ((nan, 0.0) if bound is None else _parts(bound))]
    return [*row, float(rules.allow_short)]


def _share(rules: KernelRules) -> Decimal:
    """The fraction of equity that a full position takes, nothing being held."""
    size, most = money(_meant(rules.position_size)), money(_meant(rules.max_exposure))
    if rules.max_exposure >= 1 or not size:
        return size
    return size * min(affordable(most, size, SMALLEST), ONE)


def _bounded(rules: KernelRules, stop: float) -> Decimal:
    return min(max(_meant(stop), _meant(rules.min_stop)), _meant(rules.max_stop))


def _target(rules: KernelRules, sign: int) -> Decimal | None:
    """The target's price over the entry's for a long (`sign` 1) or a short position; None where it is out of reach."""
    if isnan(rules.take_profit) or rules.take_profit <= 0:
        return None
    target = max(_meant(rules.take_profit), _meant(rules.min_stop))
    return None if target >= (FARTHEST_TARGET if sign > 0 else 1) else ONE + sign * target


def _meant(number: float) -> Decimal:
    """The shortest decimal that a float stands for."""
    return Decimal(repr(float(number)))


def _parts(number: Decimal) -> tuple[float, float]:
    """The nearest float, and what is missing from it."""
    near = float(number)
    return near, float(Fraction(number) - Fraction(near))
