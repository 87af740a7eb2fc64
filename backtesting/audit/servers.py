"""Who answered: the servers of a run, as its log holds them.

A server counts as a known provider's if it has that provider's name and spoke TLS. Limit: the certificate is recorded,
not judged: that a name was the provider's was for the connection to check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from data.model.canonical import Json
from data.model.escape import escape_line
from data.model.providers import BUILT_IN_HOST, PROVIDERS


@dataclass(frozen=True, slots=True)
class Server:
    """One server and how often it answered. `certificate_sha256` is that of its TLS certificate (DER), if any."""

    host: str
    certificate_sha256: str | None
    answers: int

    @property
    def provider(self) -> str | None:
        """The known provider, None for anybody else."""
        return PROVIDERS.get(self.host) if self.certificate_sha256 else None

    @property
    def is_built_in(self) -> bool:
        """The rules, which answer inside the process that asks."""
        return self.host == BUILT_IN_HOST

    @property
    def is_stranger(self) -> bool:
        """Neither the rules nor a known provider."""
        return self.provider is None and not self.is_built_in

    def __str__(self) -> str:
        if self.is_built_in:
            return "built-in rules, not a language model"
        shown = f"certificate {self.certificate_sha256}" if self.certificate_sha256 else "no certificate"
        return f"{'' if self.provider else 'UNVERIFIED SERVER '}{escape_line(self.host)}, {shown}"


@dataclass
class Servers:
    """Counts who answered, in the order in which they first did."""

    _answers: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def take(self, response: Mapping[str, Json]) -> None:
        """The body of an `llm.response`; a connection that gave no answer does not count."""
        if response.get("http.response.status_code") is None:
            return
        shown = response.get("server.certificate_sha256")
        self._answers[str(response.get("host")), None if shown is None else str(shown)] += 1

    def all(self) -> tuple[Server, ...]:
        return tuple(Server(host, shown, count) for (host, shown), count in self._answers.items())
