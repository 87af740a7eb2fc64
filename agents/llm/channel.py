"""The one way out to every model: a shared HTTP client whose transport records, judges, retries and counts.

Several threads may speak through one channel at a time. Nothing in the environment can lead it elsewhere: the base URL
is always said, no proxy and no redirect is followed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx

from agents.llm.judgement import Pins
from agents.llm.meter import Meter, Totals
from agents.llm.models import RULES_HOST, ModelSpec
from agents.llm.network import NetworkTransport
from agents.llm.prices import Price, PriceList
from agents.llm.redaction import Redactor
from agents.llm.rules import answer
from agents.llm.rules_transport import RulesTransport
from agents.llm.transport import Desk, RecordingTransport
from data.model.protocols import Clock, Journal

__all__ = ["Channel", "Totals"]

Wrapping = Callable[[httpx.BaseTransport], httpx.BaseTransport]


class Channel:
    """Owns the client. `around` wraps what sends, below the recording: it sees requests, and answers whole.

    `prices` are the user's own, by `provider/name`. `timeout_s` bounds one attempt, `max_attempts` one call.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        sleep: Callable[[float], None],
        *,
        max_attempts: int = 4,
        timeout_s: float = 120.0,
        budget_usd: Decimal | None = None,
        accept_models: tuple[str, ...] = (),
        prices: Mapping[str, Price] | None = None,
        around: Wrapping = lambda transport: transport,
    ) -> None:
        self._timeout_s = timeout_s
        self._desk = Desk(
            journal=journal,
            clock=clock,
            sleep=sleep,
            meter=Meter(budget_usd),
            prices=PriceList(prices),
            pins=Pins(accept_models),
            redactor=Redactor(),
            max_attempts=max_attempts,
            timeout_s=timeout_s,
        )
        # Its lines about the wire hold whole headers; everything worth knowing is in the journal.
        logging.getLogger("httpcore").setLevel(logging.INFO)
        sending = around(_Switchboard(NetworkTransport(clock, timeout_s), RulesTransport(answer)))
        self.http_client: httpx.Client = _SharedClient(
            transport=RecordingTransport(sending, self._desk), trust_env=False, follow_redirects=False
        )

    def admit(self, spec: ModelSpec) -> None:
        """Raises UsageError if there is a budget and the model's price is unknown."""
        self._desk.worst_usd(spec, 0)

    def client_config(self, spec: ModelSpec, key: str) -> dict[str, Any]:
        """One entry of AutoGen's `config_list`. From now on `key` is kept out of every record. Raises UsageError."""
        self.admit(spec)
        self._desk.redactor.add(key)
        return {
            "api_type": "openai",
            "model": spec.name,
            "api_key": key,
            "base_url": spec.base_url,
            "http_client": self.http_client,
            "max_retries": 0,
            "timeout": self._timeout_s,
            "price": [0, 0],  # else AutoGen looks one up and warns; ours are in the journal
        }

    @property
    def totals(self) -> Totals:
        """What was asked, counted and paid so far."""
        return self._desk.meter.totals

    def close(self) -> None:
        """Closes the connections."""
        self.http_client.close()


class _SharedClient(httpx.Client):
    """One for all agents: AutoGen deep-copies its configuration, and connections do not copy."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> _SharedClient:
        return self


class _Switchboard(httpx.BaseTransport):
    """The rules answer in this process, everybody else over the network."""

    def __init__(self, network: httpx.BaseTransport, rules: httpx.BaseTransport) -> None:
        self._network = network
        self._rules = rules

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        chosen = self._rules if request.url.host == RULES_HOST else self._network
        return chosen.handle_request(request)

    def close(self) -> None:
        self._network.close()
