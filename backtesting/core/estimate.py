"""What a run would take before it asks anybody: calls, tokens, dollars, time and disk, each low, likely and high.

Tokens in are counted in the real prompts of sampled decisions. What is assumed beyond that is written here and shown
with the result: how much a model says beside the rules, how fast it says it, how often it is asked in vain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil

from agents.llm.models import RULES, ModelSpec
from agents.llm.prices import PriceList, Tokens
from backtesting.core.sampling import Sample

SAID = (0.7, 1.5, 8.0)
"""How much a model says for each token of the rules' answer; a model that reasons at length says more than that."""
READ = (0.8, 1.0, 1.35)
"""How providers' tokenizers differ from the one that is counted with."""
ASKED_AGAIN = (1.0, 1.0, 1.1)
"""Answers that were malformed are asked for once more."""
AHEAD_A_PLACE, MOST_AHEAD = (0.0, 0.005, 0.02), (0.0, 0.2, 0.4)
"""With many in flight, some are asked under a prediction that fails: so much more for each place, and at most."""
TOKENS_A_SECOND = (150.0, 60.0, 25.0)
FIRST_TOKEN_S = (0.3, 0.8, 3.0)
OWN_S, OWN_S_A_DECISION = 4.0, 0.02
_LOG_TO_FOLDER = 1.45
_BYTES_A_BAR = 400


@dataclass(frozen=True, slots=True)
class Range:
    """Low, likely and high, in the unit of whoever holds it."""

    low: float
    likely: float
    high: float

    def rounded(self, digits: int | None = None) -> Range:
        """In whole units, or with so many decimals."""
        return Range(*(round(each, digits) for each in (self.low, self.likely, self.high)))


@dataclass(frozen=True, slots=True)
class Pace:
    """What the user asked for: calls in flight, and limits a minute, None where there are none."""

    concurrency: int = 1
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """`usd` is None where the price of one of the models is unknown: `unpriced` names those."""

    models: tuple[str, ...]
    decisions: int
    sampled: int
    calls: Range
    input_tokens: Range
    output_tokens: Range
    usd: Range | None
    unpriced: tuple[str, ...]
    wall_s: Range
    disk_bytes: Range
    concurrency: int

    @property
    def is_free(self) -> bool:
        return self.usd is not None and self.usd.high == 0


def estimate(sample: Sample, decisions: int, bars: int, pace: Pace, prices: PriceList, at: datetime) -> Estimate:
    """From what was sampled to all `decisions` of the run, at the prices of `at`. `sample` holds one at least."""
    times = decisions / sample.decisions
    extra = [
        again * (1 + min(most, place * (pace.concurrency - 1)))
        for again, place, most in zip(ASKED_AGAIN, AHEAD_A_PLACE, MOST_AHEAD, strict=True)
    ]
    per_model: dict[ModelSpec, list[Tokens]] = defaultdict(list)
    for call in sample.calls:
        per_model[call.model].append(call.tokens)
    calls = Range(*(len(sample.calls) * times * more for more in extra)).rounded()
    told = {spec: _told(each, times, extra) for spec, each in per_model.items() if spec.provider != RULES}
    costs = {spec: _costs(spec, per_model[spec], [times * more for more in extra], prices, at) for spec in told}
    unpriced = tuple(sorted(spec.shown for spec, three in costs.items() if None in three))
    reads = [_total(told, place, "input") for place in range(3)]
    writes = [_total(told, place, "output") for place in range(3)]
    return Estimate(
        models=tuple(sorted(spec.shown for spec in per_model)),
        decisions=decisions,
        sampled=sample.decisions,
        calls=calls,
        input_tokens=Range(*reads),
        output_tokens=Range(*writes),
        usd=None if unpriced else Range(*(_dollars(costs, place) for place in range(3))).rounded(6),
        unpriced=unpriced,
        wall_s=_wall(calls, reads, writes, decisions, pace),
        disk_bytes=_disk(sample, times, bars),
        concurrency=pace.concurrency,
    )


def _told(each: list[Tokens], times: float, extra: list[float]) -> tuple[Tokens, Tokens, Tokens]:
    """Of one model, all its calls together: low, likely, high."""
    read, said = sum(tokens.input for tokens in each), sum(tokens.output for tokens in each)
    made = [
        Tokens(round(read * times * how_read * more), round(said * times * how_said * more))
        for how_read, how_said, more in zip(READ, SAID, extra, strict=True)
    ]
    return made[0], made[1], made[2]


def _costs(
    spec: ModelSpec, each: list[Tokens], scales: list[float], prices: PriceList, at: datetime
) -> list[Decimal | None]:
    """The same in dollars. Each call is priced by itself: some lists are dearer for a long prompt."""
    found: list[Decimal | None] = []
    for how_read, how_said, scale in zip(READ, SAID, scales, strict=True):
        calls = [Tokens(round(tokens.input * how_read), round(tokens.output * how_said)) for tokens in each]
        priced = [cost for tokens in calls if (cost := prices.cost(spec, tokens, at)) is not None]
        found.append(sum(priced, Decimal(0)) * Decimal(scale) if len(priced) == len(calls) else None)
    return found


def _total(told: Mapping[ModelSpec, tuple[Tokens, Tokens, Tokens]], place: int, side: str) -> int:
    return sum(getattr(three[place], side) for three in told.values())


def _dollars(costs: Mapping[ModelSpec, list[Decimal | None]], place: int) -> float:
    return float(sum((three[place] or Decimal(0) for three in costs.values()), Decimal(0)))


def _wall(calls: Range, reads: list[int], writes: list[int], decisions: int, pace: Pace) -> Range:
    """Seconds: the waits one after the other over the calls in flight, but no faster than the limits allow.

    Those let each minute's share go at its beginning, the first one at once.
    """
    own = OWN_S + OWN_S_A_DECISION * decisions
    found = []
    for place, count in enumerate((calls.low, calls.likely, calls.high)):
        waits = count * FIRST_TOKEN_S[place] + writes[place] / TOKENS_A_SECOND[place] if sum(writes) else 0.0
        crowded = 1.0 if pace.concurrency == 1 else (1.0, 1.25, 3.0)[place]
        wall = waits / min(pace.concurrency, max(1.0, count)) * crowded
        limited = (
            (count if sum(writes) else 0, pace.requests_per_minute),
            (reads[place] + writes[place], pace.tokens_per_minute),
        )
        waited = [60 * (ceil(wanted / a_minute) - 1) for wanted, a_minute in limited if a_minute]
        found.append(own + max([wall, *waited]))
    return Range(*found).rounded(1)


def _disk(sample: Sample, times: float, bars: int) -> Range:
    """Bytes of the run's folder: its log, and what is rendered out of it."""
    likely = sample.record_bytes * times * _LOG_TO_FOLDER + bars * _BYTES_A_BAR
    return Range(*(ceil(likely * share) for share in (0.7, 1.0, 1.6)))
