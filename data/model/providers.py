"""The servers of the providers that are known by name. Any other server is somebody's word only."""

from __future__ import annotations

from collections.abc import Mapping

PROVIDERS: Mapping[str, str] = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "openrouter.ai": "openrouter",
}
"""Host and provider."""

BUILT_IN_HOST = "rules.invalid"
"""Where the built-in rules answer: no name that a network could reach."""
