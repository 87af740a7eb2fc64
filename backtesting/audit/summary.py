"""A run in numbers: what its last record keeps, and what commands print."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from data.model.canonical import Json, to_json


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in numbers. Returns are fractions; `cost_usd` is None where a price is unknown.

    `wasted_calls` are those among `calls` whose answer was good, and asked under a prediction that failed.
    `possibly_paid` requests got no readable answer: what they cost, if anything, is not in `cost_usd`.
    """

    run_id: str
    run_dir: str
    status: str
    reason: str | None
    model: str
    result_digest: str | None
    bars: int
    decisions: int
    failed: int
    failures: dict[str, int]
    replies: int
    replies_traced: int
    fills: int
    trades: int
    final_equity: Decimal | None
    total_return: float | None
    buy_and_hold_return: float | None
    costs_paid: Decimal
    calls: int
    retries: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    wall_s: float
    report: str | None
    communications_log: str | None
    warnings: tuple[str, ...] = ()
    head: str | None = None
    wasted_calls: int = 0
    wasted_usd: Decimal | None = Decimal(0)
    possibly_paid: int = 0

    def for_programs(self) -> dict[str, Json]:
        """Money as JSON numbers: programs read this one, the journal keeps the exact strings."""
        body = to_json(self)
        assert isinstance(body, dict)
        for name in ("final_equity", "costs_paid", "cost_usd", "wasted_usd"):
            value = body[name]
            body[name] = None if value is None else float(str(value))
        return body
