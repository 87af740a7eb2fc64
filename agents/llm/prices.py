"""What a call costs in US dollars: the provider's list price by `genai-prices`, offline, or the user's own.

Limits: a compatible server behind `--base_url` is taken to cost what the named provider lists; an unknown model has no
price, which is not the same as a price of zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from genai_prices import Usage, calc_price

from agents.llm.models import RULES, ModelSpec

_LISTED_AS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "openrouter": "openrouter"}
_FREE = frozenset({RULES, "ollama"})
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input_usd: Decimal
    output_usd: Decimal


@dataclass(frozen=True, slots=True)
class Tokens:
    """As a server counted them; `cached` is the part of the input that its prompt cache answered.

    `thought` is in the server's total, but neither in its input nor in its output: what Gemini does not say, and bills.
    """

    input: int
    output: int
    cached: int = 0
    thought: int = 0

    @property
    def written(self) -> int:
        """All that is paid for as output."""
        return self.output + self.thought


class PriceList:
    """`own` prices, by `provider/name`, count before the list."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        self._own = dict(own or {})

    def is_free(self, spec: ModelSpec) -> bool:
        """Whether the model costs nothing, however much it writes."""
        own = self._own.get(spec.shown)
        return spec.provider in _FREE if own is None else not (own.input_usd or own.output_usd)

    def cost(self, spec: ModelSpec, tokens: Tokens, at: datetime, answered_as: str | None = None) -> Decimal | None:
        """US dollars for one call at that time; None if the price is unknown."""
        own = self._own.get(spec.shown)
        if own is not None:
            return (own.input_usd * tokens.input + own.output_usd * tokens.written) / _MILLION
        if self.is_free(spec):
            return Decimal(0)
        usage = Usage(
            input_tokens=tokens.input,
            output_tokens=tokens.written,
            cache_read_tokens=min(tokens.cached, tokens.input),
        )
        for name in (answered_as, spec.name):
            if name:
                try:
                    return calc_price(
                        usage, name, provider_id=_LISTED_AS[spec.provider], genai_request_timestamp=at
                    ).total_price
                except LookupError:
                    continue
        return None
