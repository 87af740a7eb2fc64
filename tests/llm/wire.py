"""What tests of the channel share: a clock, a channel in memory, and a question through the real AutoGen and SDK."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from autogen import OpenAIWrapper

from agents.llm.channel import Channel
from agents.llm.models import ModelSpec, resolve_model
from agents.llm.turn import Turn, current_turn
from data.journal.memory_journal import MemoryJournal
from data.model.protocols import Record

AT = datetime(2025, 4, 15, 13, 45, 30, tzinfo=UTC)
KEY = "sk-canary-0123456789"
MESSAGES = [{"role": "system", "content": "You trade."}, {"role": "user", "content": "What now? ça va? 価格"}]


class Standing:
    """A clock that stands still."""

    def now(self) -> datetime:
        return AT


class Running:
    """The real one."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Wire:
    """A channel with its journal, its naps, and a turn for each question."""

    def __init__(self, spec: ModelSpec, journal: Any = None, clock: Any = None, **options: Any) -> None:
        self.spec = spec
        self.naps: list[float] = []
        clock = clock or Standing()
        self.journal = journal or MemoryJournal(clock)
        options = {"timeout_s": 5.0, "monotonic": lambda: sum(self.naps), "sleep": self.naps.append, **options}
        self.channel = Channel(self.journal, clock, **options)
        self.turn = Turn("run/bar/BTCUSDT/chat/Technical_Analyst/1", "Technical_Analyst", spec)

    def ask(self, key: str = KEY, **settings: Any) -> str:
        """The text that AutoGen gets to see."""
        self.turn = Turn(self.turn.slot, self.turn.agent, self.spec)
        token = current_turn.set(self.turn)
        try:
            config = self.channel.client_config(self.spec, key)
            client = OpenAIWrapper(config_list=[config], cache_seed=None)
            response = client.create(messages=[dict(message) for message in MESSAGES], temperature=0.0, **settings)
            return str(client.extract_text_or_completion_object(response)[0])
        finally:
            current_turn.reset(token)

    def records(self, kind: str) -> list[Record]:
        return [record for record in self.journal.records if record.kind == kind]

    def bodies(self, kind: str) -> list[Mapping[str, Any]]:
        return [record.body for record in self.records(kind)]


def at(base_url: str, model: str = "openai/gpt-4o") -> ModelSpec:
    return resolve_model(model, base_url)
