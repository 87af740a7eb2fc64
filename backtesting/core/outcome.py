"""What a run came to: its result digest and the summary that commands print.

`result_digest` is SHA-256 over the canonical JSON of the question, the digest of the data it read and what followed:
decisions (a failure by its reason code), fills and equity. Nothing that depends on the machine, the server or the
clock is in it, so equal questions to a model that answers equally give equal digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backtesting.core.loop import Tape
from data.model.canonical import Json, digest, to_json
from data.model.decisions import Decision
from data.model.question import Question


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in numbers. Returns are fractions; `cost_usd` is None where a price is unknown."""

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

    def for_programs(self) -> dict[str, Json]:
        """Money as JSON numbers: programs read this one, the journal keeps the exact strings."""
        body = to_json(self)
        assert isinstance(body, dict)
        for name in ("final_equity", "costs_paid", "cost_usd"):
            value = body[name]
            body[name] = None if value is None else float(str(value))
        return body


def result_digest(question: Question, data_digest: str, tape: Tape) -> str:
    """SHA-256, lower-case hex."""
    return digest(
        {
            "question": question,
            "data": data_digest,
            "decisions": [_decision(decision) for decision in tape.decisions],
            "fills": tape.fills,
            "equity": tape.equity,
        }
    )


def _decision(decision: Decision) -> Json:
    body = to_json(decision)
    assert isinstance(body, dict)
    body["failure"] = None if decision.failure is None else decision.failure.reason.value
    return body
