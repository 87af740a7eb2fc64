"""What the rules read and what they say: figures of the fenced blocks by their path, colleagues, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from data.model.decisions import Role
from data.model.instants import Interval, parse_instant

ABSTAIN = "ABSTAIN"
SIGNS = {"BUY": 1, "SELL": -1}


def within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)


def toward(sign: float) -> str:
    """The action that profits from that direction."""
    return "BUY" if sign > 0 else "SELL" if sign < 0 else "HOLD"


@dataclass(frozen=True, slots=True)
class Colleague:
    """What another agent answered."""

    action: str
    confidence: float
    size: float | None
    stop_loss: float | None
    take_profit: float | None
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Colleague | None:
        action, confidence = told.get("action"), figure(told, "confidence")
        if action not in (*SIGNS, "HOLD", ABSTAIN) or confidence is None:
            return None
        size, stop, target = (figure(told, name) for name in ("size", "stop_loss", "take_profit"))
        reasons = told.get("reasons")
        words = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
        return cls(str(action), within(confidence, 0, 1), size, stop, target, words)

    @property
    def sign(self) -> int:
        return SIGNS.get(self.action, 0)

    @property
    def lean(self) -> float:
        """From -1 (sure of a fall) to 1 (sure of a rise); 0 for HOLD and ABSTAIN."""
        return self.sign * self.confidence


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer before it is written. The last three count for those who trade only."""

    action: str
    confidence: float
    reasons: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    size: float = 0.0
    stop_loss: float | None = None
    take_profit: float | None = None

    def told(self, role: Role) -> dict[str, object]:
        """The keys that the role's schema asks for."""
        both = {"action": self.action, "confidence": round(self.confidence, 2)}
        if role in (Role.TECHNICAL, Role.FUNDAMENTAL):
            return {"reasons": self.reasons, "evidence": self.evidence, **both}
        bounds = {"stop_loss": self.stop_loss, "take_profit": self.take_profit}
        rounded = {name: None if value is None else round(value, 4) for name, value in bounds.items()}
        return {"reasons": self.reasons, **both, "size": round(self.size, 3), **rounded}


@dataclass(frozen=True, slots=True)
class Reading:
    """The blocks and the colleagues. A figure that is not there is None."""

    market: Mapping[str, Any]
    book: Mapping[str, Any]
    colleagues: Mapping[Role, Colleague] = field(default_factory=dict)

    def indicator(self, *path: str) -> float | None:
        return figure(self.market, "indicators", *path)

    def words(self, *path: str) -> str:
        found = _at(self.market, "indicators", *path)
        return found if isinstance(found, str) else ""

    @property
    def facts(self) -> list[Mapping[str, Any]]:
        found = self.market.get("facts")
        return [fact for fact in found if isinstance(fact, dict)] if isinstance(found, list) else []

    @property
    def interval(self) -> timedelta:
        return Interval.parse(str(self.market["interval"])).length

    def since(self, instant: object) -> timedelta:
        """From an instant of a block to now."""
        return parse_instant(str(self.market["as_of"])) - _instant(instant)


def figure(block: Mapping[str, Any], *path: str) -> float | None:
    """The number at that path; None if there is none."""
    found = _at(block, *path)
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def _at(block: Mapping[str, Any], *path: str) -> Any:
    found: Any = block
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _instant(value: object) -> datetime:
    return parse_instant(str(value))
