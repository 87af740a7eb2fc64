"""The four instructions: whole, versioned, replaceable, and never without the form of the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.llm.models import resolve_model
from agents.opinions import answer_schema
from agents.prompt_files import OURS, Prompt, load_prompts, system_message
from data.model.canonical import sha256_hex
from data.model.decisions import Role
from data.model.errors import UsageError

PROMPTS = load_prompts(None)
roles = pytest.mark.parametrize("role", Role)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for role in Role:
        (tmp_path / f"{role.value}.md").write_text(f"---\nversion: 7b\nrole: {role.value}\n---\nTrade well, {role}.\n")
    return tmp_path


@roles
def test_ours_are_there(role: Role) -> None:
    raw = (OURS / f"{role.value}.md").read_bytes()
    prompt = PROMPTS[role]
    assert (prompt.role, prompt.sha256) == (role, sha256_hex(raw))
    assert prompt.version
    assert prompt.text
    assert prompt.text in raw.decode()
    assert not prompt.text.startswith("---")


@roles
def test_ours_forbid_what_would_spoil_a_backtest(role: Role) -> None:
    words = " ".join(PROMPTS[role].text.lower().split())
    assert "never invent" in words or "never bring a fact of your own" in words
    assert "as_of" in words
    assert "instructions" in words


@roles
@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_code_adds_the_form_and_the_name(role: Role, model: str) -> None:
    spec = resolve_model(model)
    message = system_message(PROMPTS[role], spec)
    assert message.startswith(PROMPTS[role].text)
    assert message.endswith(f"\n\nAgent: {role.agent}")
    properties = answer_schema(role)["properties"]
    assert isinstance(properties, dict)
    assert all(f"`{key}`" in message for key in properties)
    assert ("additionalProperties" in message) == (not spec.json_schema)


def test_others_take_their_place(folder: Path) -> None:
    prompts = load_prompts(folder)
    assert prompts[Role.DECISION] == Prompt(
        Role.DECISION, "7b", "Trade well, decision.", sha256_hex((folder / "decision.md").read_bytes())
    )
    assert set(prompts) == set(Role)


def test_a_file_from_windows_is_the_same_instruction(folder: Path) -> None:
    unix = load_prompts(folder)[Role.DECISION]
    path = folder / "decision.md"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    windows = load_prompts(folder)[Role.DECISION]
    assert (windows.text, windows.version) == (unix.text, unix.version)
    assert windows.sha256 != unix.sha256


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "front matter"),
        (b"Trade well.", "front matter"),
        (b"---\nrole: technical\nversion: 1\nTrade well.", "front matter"),
        (b"---\nrole: decision\nversion: 1\n---\nTrade well.", "role: technical"),
        (b"---\nrole: technical\n---\nTrade well.", "version"),
        (b"---\nrole: technical\nversion: 1\n---\n  \n", "says nothing"),
        (b"---\nrole: technical\nversion: 1\n---\n\xff\xfe", "not UTF-8"),
        (b"---\nrole: technical\nversion: 1\n---\n" + b"x" * 64_000, "longer than"),
    ],
)
def test_a_file_that_will_not_do_is_named(folder: Path, content: bytes | None, said: str) -> None:
    path = folder / "technical.md"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        load_prompts(folder)
    assert str(path) in str(refused.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_prompts(tmp_path / "nowhere")
