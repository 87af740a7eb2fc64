"""The two traders of the built-in rules: the portfolio manager, who knows the book, and the decision agent.

The manager opens only with the technical analyst, sizes by volatility so that a stop-out costs about one percent of
equity, puts the stop beyond the noise and the target far away, lets profits run, and leaves when the trend has turned
or the market has given back too much. After a loss he waits. The decision agent follows him out of positions at once,
and into them only when the table does not contradict.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from agents.llm.rules_reading import ABSTAIN, Colleague, Reading, Verdict, figure, toward, within
from data.model.decisions import Role

RISK = 0.01
STOP_ATRS, TARGET_ATRS, GIVE_BACK_ATRS = 3.0, 9.0, 3.0
LEAST_STOP, MOST_STOP = 0.004, 0.2
ENTRY, ENTRY_AGAINST = 0.6, 0.62
EXIT = 0.6
OBJECTION = 0.6
PAUSE_BARS = 12
NOBODY = Colleague(ABSTAIN, 0.0, None, None, None)


def portfolio(seen: Reading) -> Verdict:
    """What is held comes first."""
    held = seen.book.get("position")
    if isinstance(held, dict) and held.get("side") in ("long", "short"):
        return _with_position(seen, held)
    return _without_position(seen)


def _with_position(seen: Reading, held: Mapping[str, Any]) -> Verdict:
    side = 1 if held["side"] == "long" else -1
    result = figure(held, "unrealised_rate") or 0.0
    state = f"{str(held['side']).capitalize()} since {held.get('held_for', 'a while')}, result {result:+.2%}."
    left = _why_to_leave(seen, side)
    if left:
        reason, confidence = left
        return Verdict(toward(-side), confidence, (state, reason, "The whole position is closed."))
    agrees = _of(seen, Role.TECHNICAL).sign == side
    reason = "The trend still carries it: let it run." if agrees else "Nothing says that the reason for it is gone."
    return Verdict("HOLD", 0.75 if agrees else 0.6, (state, reason))


def _why_to_leave(seen: Reading, side: int) -> tuple[str, float] | None:
    """A turned trend, too much given back from the last bars' extreme, or figures against it that nothing supports."""
    analyst, figures = _of(seen, Role.TECHNICAL), _of(seen, Role.FUNDAMENTAL)
    if analyst.sign == -side and analyst.confidence >= EXIT:
        return f"The technical analyst says {analyst.action} at {analyst.confidence:g}: the trend has turned.", 0.8
    edge = "price_below_high_in_atr" if side > 0 else "price_above_low_in_atr"
    given_back = seen.indicator("levels", "range_20", edge) or 0.0
    if given_back >= GIVE_BACK_ATRS and _is_lost(seen, side, "medium"):
        return f"Price gave back {given_back:g} ATR and lies on the wrong side of its 50-bar average.", 0.7
    force = seen.indicator("trend", "macd", "histogram_in_atr") or 0.0
    if force * side < 0 and _is_lost(seen, side, "short") and analyst.sign != side:
        return (
            "Price is on the wrong side of its 20-bar average, MACD has turned, and no signal speaks for staying.",
            0.65,
        )
    if figures.sign == -side and figures.confidence >= OBJECTION and analyst.sign != side:
        return f"The figures say {figures.action} at {figures.confidence:g}, and no trend speaks for staying.", 0.65
    return None


def _is_lost(seen: Reading, side: int, horizon: str) -> bool:
    above = seen.indicator("trend", horizon, "price_above_sma_in_atr")
    return above is not None and above * side < 0


def _without_position(seen: Reading) -> Verdict:
    analyst = _of(seen, Role.TECHNICAL)
    side, range_of_bar = analyst.sign, seen.indicator("volatility", "atr_fraction")
    why_not = _why_to_wait(seen, analyst)
    if why_not or range_of_bar is None:
        reason = why_not or "Without a measure of volatility no stop can be placed."
        return Verdict("HOLD", 0.85 - 0.25 * abs(analyst.lean), ("Nothing is held.", reason))
    stop = within(STOP_ATRS * range_of_bar, LEAST_STOP, MOST_STOP)
    wild = (seen.indicator("volatility", "atr_rank") or 0) >= 0.95
    size = within(RISK / stop * (0.6 if wild else 1.0), 0.05, 1.0)
    reasons = (
        "Nothing is held.",
        f"The technical analyst says {analyst.action} at {analyst.confidence:g}, and nothing objects.",
        f"Stop {STOP_ATRS:g} ATR away ({stop:.2%}), so that a stop-out of size {size:.2f} costs {size * stop:.2%}.",
    )
    confidence = within(analyst.confidence + 0.1 * _of(seen, Role.FUNDAMENTAL).lean * side, 0, 0.95)
    target = min(stop / STOP_ATRS * TARGET_ATRS, 0.9)
    return Verdict(toward(side), confidence, reasons, size=size, stop_loss=stop, take_profit=target)


def _why_to_wait(seen: Reading, analyst: Colleague) -> str:
    """Why nothing is opened; empty if nothing speaks against it."""
    figures = _of(seen, Role.FUNDAMENTAL)
    slope = seen.indicator("trend", "long", "sma_slope_in_atr")
    against = slope is not None and slope * analyst.sign < -0.1
    needed = ENTRY_AGAINST if against else ENTRY
    if not analyst.sign:
        return "The technical analyst sees no trade."
    if analyst.confidence < needed:
        where = "against the long trend" if against else "here"
        return f"A signal of {analyst.confidence:g} does not pay for a round trip {where}: {needed:g} would."
    if figures.sign == -analyst.sign and figures.confidence >= OBJECTION:
        return f"The figures say {figures.action} at {figures.confidence:g}: the analysts contradict each other."
    if _lost_lately(seen):
        return f"The last trade lost within the last {PAUSE_BARS} bars: wait for a new signal."
    return ""


def _lost_lately(seen: Reading) -> bool:
    symbol = seen.market.get("symbol")
    trades = [trade for trade in seen.book.get("last_trades", []) if trade.get("symbol") == symbol]
    if not trades or (figure(trades[-1], "rate") or 0.0) >= 0:
        return False
    return timedelta(0) <= seen.since(trades[-1]["exit_at"]) < PAUSE_BARS * seen.interval


def decision(seen: Reading) -> Verdict:
    """The manager's word, checked against the analysts. He alone knows what is held, so nothing goes without him."""
    manager, analyst, figures = (_of(seen, role) for role in (Role.PORTFOLIO, Role.TECHNICAL, Role.FUNDAMENTAL))
    lean = _lean(analyst, figures, manager)
    if not manager.sign:
        told = f"The portfolio manager sees nothing to do (confidence {manager.confidence:g})."
        confidence = within(manager.confidence - 0.3 * abs(lean), 0.3, 0.95)
        return Verdict("HOLD", confidence, (told, *manager.reasons[:2]))
    if manager.stop_loss is None:
        told = f"The portfolio manager leaves a position: {manager.action} at {manager.confidence:g}."
        return Verdict(manager.action, manager.confidence, (told, *manager.reasons[:2]))
    if lean * manager.sign < 0.5:
        told = f"The manager would {manager.action}, the table together leans {lean:+.2f} only."
        return Verdict("HOLD", 0.6, (told,))
    contradicted = figures.sign == -manager.sign
    size = (manager.size or 0.0) * (0.5 if contradicted else 1.0)
    reasons = (
        f"Manager ({manager.confidence:g}) and technical analyst ({analyst.confidence:g}) agree on {manager.action}.",
        "The fundamental analyst contradicts: half the size."
        if contradicted
        else "The fundamental analyst does not object.",
    )
    return Verdict(
        manager.action, abs(lean), reasons, size=size, stop_loss=manager.stop_loss, take_profit=manager.take_profit
    )


def _lean(analyst: Colleague, figures: Colleague, manager: Colleague) -> float:
    """The table's mean lean, from -1 to 1; who abstains has no voice."""
    voices = [(analyst, 1.0), (figures, 0.5), (manager, 1.5)]
    spoken = [(voice.lean, weight) for voice, weight in voices if voice.action != ABSTAIN]
    return sum(lean * weight for lean, weight in spoken) / sum(weight for _, weight in spoken) if spoken else 0.0


def _of(seen: Reading, role: Role) -> Colleague:
    return seen.colleagues.get(role, NOBODY)
