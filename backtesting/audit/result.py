"""What a run's decisions, fills and equity come to: its digest and its numbers. A run and its audit both ask here.

`result_digest` is SHA-256 over the canonical JSON of the question, the digest of the data it read and what followed:
decisions (a failure by its reason code), fills and equity. Nothing that depends on the machine, the server or the
clock is in it, so equal questions to a model that answers equally give equal digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backtesting.accounting.annualisation import periods_per_year
from backtesting.accounting.metrics import Metrics, metrics
from backtesting.accounting.returns import returns_of
from backtesting.accounting.significance import Significance, significance
from data.model.canonical import Json, digest, to_json
from data.model.decisions import Decision
from data.model.market import Instrument
from data.model.question import Question
from data.model.trading import EquityRow, Fill, Trade


def result_digest(
    question: Question,
    data_digest: str,
    decisions: Sequence[Decision],
    fills: Sequence[Fill],
    equity: Sequence[EquityRow],
) -> str:
    """SHA-256, lower-case hex."""
    return digest(
        {
            "question": question,
            "data": data_digest,
            "decisions": [_without_words_of_failure(decision) for decision in decisions],
            "fills": fills,
            "equity": equity,
        }
    )


def run_metrics(
    question: Question,
    instruments: Mapping[str, Instrument],
    equity: Sequence[EquityRow],
    trades: Sequence[Trade],
    fills: Sequence[Fill],
    benchmark: Sequence[EquityRow],
) -> Metrics | None:
    """The run's numbers against buy and hold over the same bars; None before the first bar."""
    if not equity:
        return None
    return metrics(
        equity,
        trades,
        fills,
        initial_cash=question.initial_cash,
        periods_per_year=_periods(question, instruments),
        benchmark=benchmark,
    )


def run_significance(
    question: Question, instruments: Mapping[str, Instrument], equity: Sequence[EquityRow]
) -> Significance | None:
    """How far the numbers could differ by luck; drawn with a fixed seed, so equal runs say the same."""
    returns = returns_of(question.initial_cash, [row.equity for row in equity])
    return significance(returns, _periods(question, instruments), seed=0)


def _periods(question: Question, instruments: Mapping[str, Instrument]) -> float:
    return periods_per_year(instruments[question.symbols[0]].calendar, question.interval)


def _without_words_of_failure(decision: Decision) -> Json:
    body = to_json(decision)
    assert isinstance(body, dict)
    body["failure"] = None if decision.failure is None else decision.failure.reason.value
    return body
