"""What the words behind flags come to: numbers in their range, models by agent, prices by model. Raise UsageError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from data.model.errors import UsageError

_MOST, _DEAREST, _DAY_S = 1_000_000_000, 1_000_000, 86_400


def model(flag: str | None, environ: Mapping[str, str]) -> str:
    """Nothing is chosen for a user who chose nothing."""
    chosen = flag or environ.get("AGENTRADER_MODEL")
    if not chosen:
        raise UsageError(
            "no model: set --model PROVIDER/NAME (openai/…, anthropic/…, gemini/…, ollama/…, openrouter/…) or "
            "AGENTRADER_MODEL; --model rules runs the built-in rules, which are no language model and need no key"
        )
    return chosen


def agent_models(words: Sequence[str] | None) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for word in words or ():
        role, equals, model = word.partition("=")
        if not (role and equals and model):
            raise UsageError(f"--agent_model {word!r}: write it as AGENT=PROVIDER/NAME")
        chosen[role.lower()] = model
    return chosen


def prices(words: Sequence[str] | None, unnamed: str) -> dict[str, tuple[Decimal, Decimal]]:
    """By `provider/name`; a price that names no model is that of the `unnamed` one."""
    told: dict[str, tuple[Decimal, Decimal]] = {}
    for word in words or ():
        named, _, price = word.rpartition("=")
        low, comma, high = price.partition(",")
        if not comma:
            raise UsageError(f"--price {word!r}: write it as MODEL=IN,OUT, in dollars a million tokens")
        both = decimal(low, "--price"), decimal(high, "--price")
        if not all(0 <= each <= _DEAREST for each in both):
            raise UsageError(f"--price {word!r}: a million tokens cost from 0 to {_DEAREST:,} dollars")
        provider, slash, name = (named or unnamed).partition("/")
        told[provider.lower() + slash + name] = both
    return told


def budget(text: str | None) -> Decimal | None:
    if text is None:
        return None
    if not 0 <= (usd := decimal(text, "--budget_usd")) <= _MOST:
        raise UsageError(f"--budget_usd must be from 0 to {_MOST:,}")
    return usd


def timeout(seconds: float) -> float:
    if not 0 < seconds <= _DAY_S:
        raise UsageError(f"--timeout must be more than 0 and at most {_DAY_S:,} seconds")
    return seconds


def counted(value: int, flag: str) -> int:
    if not 1 <= value <= _MOST:
        raise UsageError(f"{flag} must be from 1 to {_MOST:,}")
    return value


def limit(value: int | None, flag: str) -> int | None:
    return None if value is None else counted(value, flag)


def decimal(text: str, flag: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{flag} {text!r} is not a number") from None
    if not value.is_finite():
        raise UsageError(f"{flag} {text!r} is not a finite number")
    return value
