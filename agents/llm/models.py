"""The models that can be asked: rows of one table, all spoken to by OpenAI's chat completions.

A name is `provider/name`; `rules` alone is the built-in deterministic model. Limit: user-info in a base URL is dropped,
keys come from the environment only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpx

from data.model.errors import UsageError

RULES = "rules"
RULES_HOST = "rules.invalid"
NO_KEY = "no-key-needed"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and the server that answers for it.

    `json_schema` and `seed` say whether the provider takes them; `key_variable` names the environment variable that
    holds the key, None where the server asks for none.
    """

    provider: str
    name: str
    base_url: str
    key_variable: str | None
    json_schema: bool
    seed: bool

    @property
    def shown(self) -> str:
        """`openai/gpt-4o`, or `rules`."""
        return RULES if self.provider == RULES else f"{self.provider}/{self.name}"

    @property
    def host(self) -> str:
        return httpx.URL(self.base_url).host

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine."""
        return _is_loopback(self.host)


_PROVIDERS = {
    spec.provider: spec
    for spec in (
        ModelSpec("openai", "", "https://api.openai.com/v1", "OPENAI_API_KEY", json_schema=True, seed=True),
        ModelSpec("anthropic", "", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", json_schema=False, seed=False),
        ModelSpec(
            "gemini",
            "",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "GEMINI_API_KEY",
            json_schema=True,
            seed=False,
        ),
        ModelSpec("ollama", "", "http://127.0.0.1:11434/v1", None, json_schema=True, seed=True),
        ModelSpec("openrouter", "", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", json_schema=True, seed=True),
    )
}
_RULES = ModelSpec(RULES, RULES, f"http://{RULES_HOST}/v1", None, json_schema=True, seed=True)
_NAME = re.compile(r"[A-Za-z0-9][\w.:@/+-]{0,199}", re.ASCII)


def resolve_model(text: str, base_url: str | None = None) -> ModelSpec:
    """The model that `provider/name` or `rules` stands for; `base_url` replaces the provider's server, never rules'.

    Raises UsageError for an unknown provider, a name that cannot be one, or a base URL that is no http(s) URL.
    """
    if text.strip().lower() == RULES:
        return _RULES
    provider, slash, name = text.strip().partition("/")
    row = _PROVIDERS.get(provider.lower())
    if row is None or not slash or not _NAME.fullmatch(name):
        known = ", ".join(f"{known}/NAME" for known in _PROVIDERS)
        raise UsageError(f"unknown model {text!r}; use one of {known}, or rules")
    return replace(row, name=name, base_url=row.base_url if base_url is None else _server(base_url))


def api_key(spec: ModelSpec, environ: Mapping[str, str]) -> str:
    """The key for a model's server, or `NO_KEY` where none is needed. Raises UsageError naming the variable."""
    key = environ.get(spec.key_variable or "", "").strip()
    if not key and (spec.key_variable is None or spec.is_local):
        return NO_KEY
    if not key:
        raise UsageError(f"no key for {spec.shown}: set {spec.key_variable}, or try --model rules, which needs none")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{spec.key_variable} holds a character that no key has: set it again, without quotes")
    return key


def _server(base_url: str) -> str:
    """The URL without user-info. The message never repeats it: it may hold a password."""
    try:
        url = httpx.URL(base_url.strip())
    except (httpx.InvalidURL, ValueError):
        raise UsageError("--base_url is not a URL; write it as http://host:port/v1") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UsageError("--base_url must be http(s)://host[:port]/path, with nothing behind the path")
    return str(url.copy_with(username=None, password=None)).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
