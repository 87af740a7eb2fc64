"""A run's last record against what the log comes to: counts, money, metrics, their intervals, the result's digest.

Metrics are float64: they are equal if they agree to nine digits, because another machine may add in another order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isclose

from backtesting.audit.findings import Findings
from backtesting.audit.result import result_digest, run_metrics, run_significance
from backtesting.audit.talk import Talk
from backtesting.audit.tape import Tape
from data.model.canonical import Json, to_json
from data.model.protocols import Record

_CLOSE, _NOTHING = 1e-9, 1e-12


@dataclass
class Calls:
    """What was asked and counted, out of the exchanges that count. `unused` good answers have no reply behind them."""

    counted: Counter[str] = field(default_factory=Counter)
    unused: set[int] = field(default_factory=set)

    def request(self, record: Record) -> None:
        self.counted["calls" if record.body["audit.attempt"] == 1 else "retries"] += 1

    def response(self, record: Record) -> None:
        for name in ("input_tokens", "output_tokens"):
            tokens = record.body[f"gen_ai.usage.{name}"]
            self.counted[name] += tokens if isinstance(tokens, int) else 0
        if record.body["fault"] is None:
            self.unused.add(record.seq)

    def reply(self, record: Record) -> None:
        self.unused.difference_update(record.caused_by)


@dataclass
class Ending:
    """Checks `run.end`. `failures` counts failed decisions by their reason."""

    findings: Findings
    begin: Record
    tape: Tape
    talk: Talk
    calls: Calls
    failures: Counter[str]

    def digest(self) -> str | None:
        """The result's digest, as it follows; None where money could not be told to the end."""
        tape, data = self.tape, str(self.begin.body["data_digest"])
        if tape.parted:
            return None
        return result_digest(tape.question, data, tape.decisions, tape.fills, tape.equity)

    def check(self, end: Record, *, resumed: bool) -> None:
        body, what = end.body, f"end of the run at record {end.seq}"
        summary = body["summary"]
        if not isinstance(summary, Mapping):
            raise ValueError("it has no summary")
        derived = self._counts() | ({} if resumed else self._calls())
        derived |= {name: body[name] for name in ("status", "reason", "result_digest")}
        if not self.tape.parted:
            derived |= self._money()
        if not resumed and "wasted_calls" in summary:
            derived["wasted_calls"] = len(self.calls.unused)
        self._compare(end, f"summary in the {what}", {name: summary[name] for name in derived}, derived)
        complete = body["status"] == "complete"
        if complete:
            self._check_window(end)
        elif body["result_digest"] is not None:
            self.findings.add(end.seq, f"{what} gives a digest of a result that is not whole")
        if not self.tape.parted:
            self._check_numbers(end, complete=complete)

    def _check_numbers(self, end: Record, *, complete: bool) -> None:
        tape, what = self.tape, f"in the end of the run at record {end.seq}"
        numbers = run_metrics(tape.question, tape.instruments, tape.equity, tape.trades, tape.fills, tape.benchmark)
        luck = run_significance(tape.question, tape.instruments, tape.equity)
        self._compare(end, f"metrics {what}", end.body["metrics"], to_json(numbers))
        self._compare(end, f"significance {what}", end.body["significance"], to_json(luck))
        if complete:
            self.findings.compare(end.seq, f"result_digest {what}", end.body["result_digest"], self.digest())

    def _check_window(self, end: Record) -> None:
        """A complete run has met every bar of its window and decided whenever it was to."""
        begin, counts = self.begin.body, self.tape.counts
        self.findings.compare(end.seq, "bars of the whole run", counts["bar"], begin["bars_in_window"])
        self.findings.compare(end.seq, "decisions of the whole run", counts["decision"], begin["decisions_in_window"])

    def _counts(self) -> dict[str, Json]:
        counts, talk = self.tape.counts, self.talk
        return {
            "run_id": self.begin.body["run_id"],
            "bars": counts["bar"],
            "decisions": counts["decision"],
            "failed": self.failures.total(),
            "failures": {**self.failures},
            "replies": talk.replies,
            "replies_traced": talk.said_traced,
            "fills": counts["fill"],
            "trades": counts["trade"],
        }

    def _calls(self) -> dict[str, Json]:
        return {name: self.calls.counted[name] for name in ("calls", "retries", "input_tokens", "output_tokens")}

    def _money(self) -> dict[str, Json]:
        tape = self.tape
        numbers = run_metrics(tape.question, tape.instruments, tape.equity, tape.trades, tape.fills, tape.benchmark)
        return {
            "final_equity": to_json(tape.equity[-1].equity) if tape.equity else None,
            "total_return": numbers.total_return if numbers else None,
            "buy_and_hold_return": numbers.buy_and_hold_return if numbers else None,
            "costs_paid": to_json(sum((fill.commission + fill.slippage for fill in tape.fills), Decimal(0))),
        }

    def _compare(self, end: Record, what: str, recorded: Json, derived: Json) -> None:
        self.findings.compare(end.seq, what, recorded, _rounded_like(recorded, derived))


def _rounded_like(recorded: Json, derived: Json) -> Json:
    """The derived value with the recorded number wherever the two agree to nine digits."""
    if isinstance(recorded, dict) and isinstance(derived, dict):
        return {name: _rounded_like(recorded.get(name), value) for name, value in derived.items()}
    if isinstance(derived, float) and isinstance(recorded, (int, float)) and not isinstance(recorded, bool):
        return recorded if isclose(recorded, derived, rel_tol=_CLOSE, abs_tol=_NOTHING) else derived
    return derived
