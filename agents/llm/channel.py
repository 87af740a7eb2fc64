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

from agents.llm.admission import Aborted, Admission
from agents.llm.judgement import Pins
from agents.llm.limits import Limits
from agents.llm.meter import Meter, Totals
from agents.llm.models import RULES_HOST, ModelSpec
from agents.llm.network import NetworkTransport
from agents.llm.prices import Price, PriceList
from agents.llm.redaction import Redactor
from agents.llm.rules import answer
from agents.llm.rules_transport import RulesTransport
from agents.llm.transport import Desk, RecordingTransport
from data.model.protocols import Clock, Journal, Memory, Record

__all__ = ["Channel", "Totals"]

Wrapping = Callable[[httpx.BaseTransport], httpx.BaseTransport]


class Channel:
    """Owns the client. `around` wraps what sends, below the recording: it sees requests, and answers whole.

    `prices` are the user's own, by `provider/name`. `timeout_s` bounds one attempt, `max_attempts` one call.
    `memory` is what the run was answered before, `so_far` what that came to: counted on, but not against the budget.
    At most `in_flight` attempts are under way at a time. The limits a minute hold for each host; `limits`, where given,
    are those of the process and count in their place. `monotonic` is a clock in seconds that is never set back,
    without one the wall clock. Without `sleep` a stop of the admission ends a wait between two attempts.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        sleep: Callable[[float], None] | None = None,
        *,
        max_attempts: int = 5,
        timeout_s: float = 120.0,
        budget_usd: Decimal | None = None,
        accept_models: tuple[str, ...] = (),
        prices: Mapping[str, Price] | None = None,
        memory: Memory | None = None,
        so_far: Totals | None = None,
        in_flight: int = 1,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        limits: Limits | None = None,
        monotonic: Callable[[], float] | None = None,
        around: Wrapping = lambda transport: transport,
    ) -> None:
        self._timeout_s = timeout_s
        ticking = monotonic or (lambda: clock.now().timestamp())
        limits = limits or Limits(ticking, requests_per_minute, tokens_per_minute)
        self._admission = Admission(ticking, in_flight, limits)
        self._desk = Desk(
            journal=journal,
            memory=memory or _Nothing(),
            clock=clock,
            sleep=sleep or self._admission.sleep,
            admission=self._admission,
            meter=Meter(budget_usd, so_far or Totals()),
            prices=PriceList(prices),
            pins=Pins(accept_models),
            redactor=Redactor(),
            max_attempts=max_attempts,
            timeout_s=timeout_s,
        )
        # Its lines about the wire hold whole headers; everything worth knowing is in the journal.
        logging.getLogger("httpcore").setLevel(logging.INFO)
        self._network = NetworkTransport(clock, timeout_s)
        sending = around(_Switchboard(self._network, RulesTransport(answer)))
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
    def admission(self) -> Admission:
        """The queue in front of every attempt."""
        return self._admission

    @property
    def totals(self) -> Totals:
        """What was asked, counted and paid so far."""
        return self._desk.meter.totals

    @property
    def budget_usd(self) -> Decimal | None:
        """For all that is asked through this channel."""
        return self._desk.meter.budget_usd

    @property
    def spent(self) -> Decimal:
        """What counts against the budget: dollars billed, and set aside where no bill came."""
        return self._desk.meter.spent

    def abort(self, error: BaseException | None = None) -> None:
        """Stops the queue with `error` and ends the calls on the wire at once. May be called from any thread.

        Each of those calls is still recorded: as broken off, possibly paid, to be asked again where the run goes on.
        """
        self._admission.stop(error or Aborted("the run stops"))
        self._network.cut()

    def close(self) -> None:
        """Closes the connections; of calls under way only `abort` makes an end."""
        self.http_client.close()


class _Nothing:
    """The memory of a run that has just begun."""

    def recall(self, _slot: str, _request: bytes) -> tuple[Record, Record] | None:
        return None


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
