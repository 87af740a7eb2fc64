"""Counts calls, tokens and dollars, and keeps a budget: what the next call may cost is set aside before it is sent.

At first that is a token for each byte of the request, and a long answer; once there are answers, somewhat more than the
dearest of them took, so that a run stops within about a call of its budget. Until the first ones came nobody goes
ahead, since a model that thinks at length may write many times what was set aside. Safe for several threads. Limit: a
model that suddenly writes half as much again as it ever did can overdraw the budget by that one call, because no server
is told a token limit.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil

from agents.llm.prices import Tokens
from data.model.errors import BudgetExhausted

_OUTPUT_TOKENS = 4096
_ANSWERS = 16
"""So many answers say what the next ones may take: four decisions, so each agent's."""
_FIRST = 4
"""So many answers say how long this model's are: one decision, so each agent's."""
_LONGER, _DENSER = 1.5, 1.1


@dataclass(frozen=True, slots=True)
class Totals:
    """`calls` of agents, `retries` on top of them. `cost_usd` is None once an answer's price was unknown.

    `possibly_paid` counts requests that got no readable answer: what they cost, if anything, is in no sum here.
    """

    calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    possibly_paid: int = 0


class Meter:
    """Every `reserve` is followed by exactly one of `settle`, `lose` and `release`, with the same amount."""

    def __init__(self, budget_usd: Decimal | None, so_far: Totals | None = None) -> None:
        """`so_far` is counted on; the budget is for what comes now."""
        self.budget_usd = budget_usd
        self._lock = threading.Lock()
        self._totals = so_far or Totals()
        self._spent = Decimal(0)
        self._reserved = Decimal(0)
        self._heard = self._answers = self._longest = 0
        self._densest = 0.0

    @property
    def longest_output(self) -> int:
        """Tokens to expect of an answer while few are known: more than the longest one so far, and 4096 at least."""
        return max(_OUTPUT_TOKENS, ceil(self._longest * _LONGER))

    def most(self, request_bytes: int, *, ahead: bool = False) -> Tokens:
        """What a request of that size may take at most, as far as answers tell; for a decision ahead, at the very most.

        So decisions ahead wait where the rest of the budget is small, while the next one goes on to its end.
        """
        with self._lock:
            if ahead or self._answers < _ANSWERS:
                return Tokens(request_bytes, self.longest_output)
            dense = ceil(request_bytes * self._densest * _DENSER) or request_bytes
            return Tokens(min(request_bytes, dense), ceil(self._longest * _LONGER))

    @property
    def totals(self) -> Totals:
        return self._totals

    @property
    def spent(self) -> Decimal:
        """What counts against the budget: what was billed, and what was set aside where no bill came."""
        return self._spent

    def reserve(self, worst: Decimal, *, again: bool, before: int = 0) -> bool:
        """Before a request. `worst` is the most it may cost, in dollars; `before` calls of the run come first.

        False, and nothing counted: it must wait, because the budget would not cover the calls before it as well, or
        because money is on its way that may come back, or because nobody knows yet how long answers are. Raises
        BudgetExhausted if nothing comes before and it would not be covered whatever comes back.
        """
        with self._lock:
            if self.budget_usd is not None and before and self._heard < _FIRST:
                return False
            if self.budget_usd is not None and self._spent + self._reserved + worst * (1 + before) > self.budget_usd:
                if before or self._spent + worst <= self.budget_usd:
                    return False
                raise BudgetExhausted(
                    f"the budget of ${self.budget_usd} is used up: ${self._spent:.4f} spent, ${self._reserved:.4f} on "
                    f"its way, and the next call may cost ${worst:.4f}; go on with --resume and a --budget_usd for "
                    "what comes"
                )
            self._reserved += worst
            totals = self._totals
            self._totals = replace(totals, calls=totals.calls + (not again), retries=totals.retries + again)
            return True

    def take_back(self, worst: Decimal, *, again: bool) -> None:
        """Nobody was asked after all: as if it had never been reserved."""
        with self._lock:
            self._reserved -= worst
            totals = self._totals
            self._totals = replace(totals, calls=totals.calls - (not again), retries=totals.retries - again)

    def settle(self, worst: Decimal, tokens: Tokens | None, cost: Decimal | None, request_bytes: int = 0) -> None:
        """An answer came. Without a known cost the reservation counts as spent."""
        with self._lock:
            self._reserved -= worst
            self._spent += worst if cost is None else cost
            totals, counted = self._totals, tokens or Tokens(0, 0)
            self._heard += 1
            self._answers += tokens is not None
            self._longest = max(self._longest, counted.written)
            if request_bytes:
                self._densest = max(self._densest, counted.input / request_bytes)
            self._totals = replace(
                totals,
                input_tokens=totals.input_tokens + counted.input,
                output_tokens=totals.output_tokens + counted.output,
                cost_usd=totals.cost_usd + cost if totals.cost_usd is not None and cost is not None else None,
            )

    def lose(self, worst: Decimal) -> None:
        """The request may have been served and paid, but no bill came: the reservation counts as spent."""
        with self._lock:
            self._reserved -= worst
            self._spent += worst
            self._totals = replace(self._totals, possibly_paid=self._totals.possibly_paid + 1)

    def release(self, worst: Decimal) -> None:
        """The request was refused or never arrived: nothing was paid."""
        with self._lock:
            self._reserved -= worst
