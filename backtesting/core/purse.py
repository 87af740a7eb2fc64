"""What a run's log leaves of its budget.

A budget is for what comes after the record that says it: the first one, or a recovery. Limit: what a call without a
bill cost is not on record; it counts as much as the dearest one of the run, and if there is none, nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from data.journal.shelf import Shelf
from data.model.canonical import Json

_FREE_OF_CHARGE = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


def left_of_budget(shelf: Shelf) -> Decimal | None:
    """US dollars, not below zero; None for a run without a budget."""
    invocation = shelf.read(shelf.places[0]).body["invocation"]
    budget = _dollars(invocation.get("budget_usd") if isinstance(invocation, dict) else None)
    spent, dearest, unbilled = Decimal(0), Decimal(0), 0
    open_requests: set[int] = set()
    for place in shelf.places:
        if place.kind == "llm.request":
            open_requests.add(place.seq)
        elif place.kind == "llm.response":
            open_requests.difference_update(place.caused_by)
            body = shelf.read(place).body
            cost = _dollars(body["cost_usd"])
            spent, dearest = spent + (cost or 0), max(dearest, cost or Decimal(0))
            unbilled += cost is None and is_unbilled(body)
        elif place.kind == "recovery" and "budget_usd" in (body := shelf.read(place).body):
            budget, spent, unbilled = _dollars(body["budget_usd"]), Decimal(0), 0
            open_requests.clear()
    if budget is None:
        return None
    unbilled += len(open_requests)
    if unbilled and not dearest:
        return Decimal(0)
    return max(Decimal(0), budget - spent - unbilled * dearest)


def is_unbilled(response: Mapping[str, Json]) -> bool:
    """Whether that `llm.response` may be paid, though it does not say what it cost."""
    return response["http.response.status_code"] in (None, 200) and response["error"] not in _FREE_OF_CHARGE


def _dollars(value: Json) -> Decimal | None:
    return None if value is None else Decimal(str(value))
