"""The table of known servers is that of the models that can be asked."""

from __future__ import annotations

import pytest

from agents.llm.models import resolve_model
from data.model.providers import BUILT_IN_HOST, PROVIDERS


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "openrouter"])
def test_every_provider_on_the_network_is_known(provider: str) -> None:
    host = resolve_model(f"{provider}/any-model").host
    assert PROVIDERS[host] == provider
    assert len(PROVIDERS) == 4


def test_a_server_on_this_machine_is_nobody_known() -> None:
    assert resolve_model("ollama/any-model").host not in PROVIDERS
    assert resolve_model("rules").host == BUILT_IN_HOST
