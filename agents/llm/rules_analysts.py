"""The two analysts of the built-in rules: one reads indicators, the other published figures.

The technical analyst follows trends: the averages' side and slope on three horizons, confirmed by momentum and breaks
of the range, damped where ADX sees no trend, doubted where volatility is unusual. The fundamental analyst reads growth
against the year before and, for shares and indices, the regime of the VIX. Limit: neither can judge a headline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agents.llm.rules_reading import ABSTAIN, Reading, Verdict, figure, toward, within

OPINION = 0.3  # from -1 to 1: less than that is no opinion
MOST_SAID = 3
FRESH_FIGURES = timedelta(days=150)
FRESH_SERIES = timedelta(days=7)
GROWTH_THAT_IMPRESSES = 0.25
HORIZONS = (("short", 20, 0.3), ("medium", 50, 0.25), ("long", 200, 0.15))
FIGURES = {
    "revenue": 1.0,
    "netincome": 1.0,
    "earningspershare": 1.0,
    "operatingincome": 0.8,
    "operatingactivities": 0.6,
    "grossprofit": 0.5,
}


@dataclass(frozen=True, slots=True)
class _Signal:
    """One thing that speaks for a rise (up to 1) or a fall (down to -1), what it weighs, and where it was read."""

    value: float
    weight: float
    words: str
    source: str

    @property
    def share(self) -> float:
        return self.value * self.weight


def technical(seen: Reading) -> Verdict:
    """The weighted mean of the signals, damped without a trend."""
    signals = [*_trends(seen), *_force(seen), *_breaks(seen)]
    if not any(signal.source == "trend" for signal in signals):
        return Verdict(ABSTAIN, 0.5, ("Too few bars are known for any average and its slope.",))
    score = _mean(signals) * _trendiness(seen)
    wild = (seen.indicator("volatility", "atr_rank") or 0) >= 0.95
    signals.sort(key=lambda signal: (-abs(signal.share), signal.words))
    reasons = [signal.words for signal in signals[:MOST_SAID]]
    if wild:
        reasons.append("Volatility is among the highest of the last bars: signals fail more often.")
    evidence = sorted({signal.source for signal in signals[:MOST_SAID]} | ({"volatility"} if wild else set()))
    return _verdict(score, reasons, evidence, 0.85 if wild else 1.0)


def _verdict(score: float, reasons: list[str], evidence: list[str], trust: float = 1.0) -> Verdict:
    """BUY or SELL from `OPINION` on, with a confidence that grows with the score; HOLD with one that falls with it."""
    strength = abs(score)
    action = toward(score) if strength >= OPINION else "HOLD"
    confidence = 0.9 - strength if action == "HOLD" else (0.45 + 0.5 * min(strength, 1.0)) * trust
    return Verdict(action, confidence, tuple(reasons), tuple(evidence))


def _mean(signals: list[_Signal]) -> float:
    return sum(signal.share for signal in signals) / sum(signal.weight for signal in signals)


def _trends(seen: Reading) -> Iterator[_Signal]:
    for name, length, weight in HORIZONS:
        above = seen.indicator("trend", name, "price_above_sma_in_atr")
        slope = seen.indicator("trend", name, "sma_slope_in_atr")
        if above is None or slope is None:
            continue
        value = 0.5 * within(above / 1.5, -1, 1) + 0.5 * within(slope / 0.8, -1, 1)
        direction = "rising" if slope > 0 else "falling" if slope < 0 else "flat"
        side = "above" if above >= 0 else "below"
        words = f"{name.capitalize()} trend: price {abs(above):g} ATR {side} its {direction} {length}-bar average."
        yield _Signal(value, weight, words, "trend")


def _force(seen: Reading) -> Iterator[_Signal]:
    histogram = seen.indicator("trend", "macd", "histogram_in_atr")
    if histogram is not None:
        words = f"MACD is {seen.words('trend', 'macd', 'words')} ({histogram:g} ATR)."
        yield _Signal(within(histogram / 0.25, -1, 1), 0.15, words, "trend")
    strength = seen.indicator("momentum", "rsi_14")
    if strength is not None:
        value = within((strength - 50) / 20, -1, 1)
        if strength > 80 or strength < 20:
            value *= -0.5  # too far, too fast: what comes next is a pause at best
        yield _Signal(value, 0.15, f"RSI is {strength:g}, {seen.words('momentum', 'words')}.", "momentum")


def _breaks(seen: Reading) -> Iterator[_Signal]:
    words = seen.words("levels", "range_20", "words")
    if words.startswith("broke"):
        heavy = (seen.indicator("volume", "ratio") or 1.0) >= 1.3
        told = f"Price {words} the range of twenty bars{' on heavy volume' if heavy else ''}."
        yield _Signal(1.0 if "above" in words else -1.0, 0.25 if heavy else 0.1, told, "levels")


def _trendiness(seen: Reading) -> float:
    """From 0.6 where ADX sees no trend to 1 where it sees one; in between if it is not known."""
    strength = seen.indicator("trend", "adx_14", "value")
    return 0.8 if strength is None else 0.6 + 0.4 * within((strength - 15) / 12, 0, 1)


def fundamental(seen: Reading) -> Verdict:
    """Growth and regime; ABSTAIN where no figure bears on the symbol now."""
    signals = [signal for fact in seen.facts for signal in (*_growth(seen, fact), *_fear(seen, fact))]
    if not signals:
        told = len(seen.facts)
        why = "No fact is known." if not told else f"Among {told} facts no fresh figure that rules could weigh."
        return Verdict(ABSTAIN, 0.5, (why,))
    signals.sort(key=lambda signal: (-abs(signal.share), signal.source))
    reasons = [signal.words for signal in signals[:MOST_SAID]]
    return _verdict(_mean(signals), reasons, sorted({signal.source for signal in signals}), 0.9)


def _growth(seen: Reading, fact: Mapping[str, Any]) -> Iterator[_Signal]:
    name = str(fact.get("name", ""))
    plain = name.lower().replace("_", "")
    weight = next((weight for part, weight in FIGURES.items() if part in plain), None)
    growth = figure(fact, "growth_year")
    if fact.get("kind") == "fundamental" and weight and growth is not None and _is_fresh(seen, fact, FRESH_FIGURES):
        value = within(growth / GROWTH_THAT_IMPRESSES, -1, 1)
        yield _Signal(value, weight, f"{name} grew {growth:+.1%} in a year.", str(fact["id"]))


def _fear(seen: Reading, fact: Mapping[str, Any]) -> Iterator[_Signal]:
    """The regime of the VIX: calm lets trends live on, rising fear cuts risk, falling fear brings it back."""
    level = figure(fact, "value")
    bears = seen.market.get("asset_class") in ("equity", "index")
    if fact.get("name") != "VIX" or not bears or level is None or not _is_fresh(seen, fact, FRESH_SERIES):
        return
    history = [value for _, value in fact.get("earlier", [])]
    before = sum(history) / len(history) if history else level
    rising = level > before * 1.05
    if level >= 25:
        value, words = (-0.8, "high and rising: risk is being cut") if rising else (0.2, "high, but no longer rising")
    elif level >= 18:
        value, words = (-0.4, "rising: fear grows") if rising else (0.1, "at its usual level")
    else:
        value, words = (0.0, "low, but rising") if rising else (0.4, "low and steady: trends live on")
    yield _Signal(value, 1.5, f"VIX at {level:g} is {words}.", str(fact["id"]))


def _is_fresh(seen: Reading, fact: Mapping[str, Any], limit: timedelta) -> bool:
    return seen.since(fact["known_at"]) <= limit
