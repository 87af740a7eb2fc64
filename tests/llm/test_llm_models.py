"""The table of models: names, servers, keys."""

from __future__ import annotations

import pytest

from agents.llm.models import NO_KEY, api_key, resolve_model
from data.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "shown", "host", "variable"),
    [
        ("openai/gpt-4o", "openai/gpt-4o", "api.openai.com", "OPENAI_API_KEY"),
        ("OpenAI/gpt-4o", "openai/gpt-4o", "api.openai.com", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "api.anthropic.com", "ANTHROPIC_API_KEY"),
        (
            "gemini/gemini-2.5-flash",
            "gemini/gemini-2.5-flash",
            "generativelanguage.googleapis.com",
            "GEMINI_API_KEY",
        ),
        ("ollama/llama3.2:3b", "ollama/llama3.2:3b", "127.0.0.1", None),
        ("openrouter/meta-llama/x:free", "openrouter/meta-llama/x:free", "openrouter.ai", "OPENROUTER_API_KEY"),
        (" rules ", "rules", "rules.invalid", None),
    ],
)
def test_a_name_stands_for_a_model(text: str, shown: str, host: str, variable: str | None) -> None:
    spec = resolve_model(text)
    assert (spec.shown, spec.host, spec.key_variable) == (shown, host, variable)


@pytest.mark.parametrize("text", ["", "gpt-4o", "openai/", "openai", "acme/x", "openai/a b", "openai/é", "rules/x"])
def test_an_unknown_model_is_met_with_the_list(text: str) -> None:
    with pytest.raises(UsageError, match=r"openai/NAME, anthropic/NAME, gemini/NAME, ollama/NAME.*rules"):
        resolve_model(text)


def test_another_server_serves_any_model_but_never_the_rules() -> None:
    assert resolve_model("openai/gpt-4o", "https://u:p@box.example:8000/v1/").base_url == "https://box.example:8000/v1"
    assert resolve_model("rules", "http://box.example/v1") == resolve_model("rules")


@pytest.mark.parametrize(
    "url", ["", "box:8000", "ftp://box/v1", "http://", "http://box/v1?k=1", "http://box/#x", "//x"]
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--base_url"):
        resolve_model("openai/gpt-4o", url)


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " \n"}, {"GEMINI_API_KEY": "k"}])
def test_a_missing_key_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"set OPENAI_API_KEY.*--model rules"):
        api_key(resolve_model("openai/gpt-4o"), environ)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("rules", None),
        ("ollama/llama3", None),
        ("ollama/llama3", "http://box.example/v1"),
        ("openai/m", "http://127.0.0.1:8000/v1"),
        ("openai/m", "http://localhost:8000/v1"),
        ("openai/m", "http://[::1]:8000/v1"),
    ],
)
def test_servers_of_one_s_own_need_no_key(text: str, url: str | None) -> None:
    assert api_key(resolve_model(text, url), {}) == NO_KEY


def test_a_server_elsewhere_needs_one() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        api_key(resolve_model("openai/m", "http://10.0.0.5/v1"), {})


def test_a_key_that_is_set_is_used_without_the_white_space_around_it() -> None:
    assert api_key(resolve_model("openai/m", "http://localhost/v1"), {"OPENAI_API_KEY": " sk-1 \n"}) == "sk-1"
