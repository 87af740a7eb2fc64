"""The agents' instructions: one Markdown file a role, and what code adds to each.

A file begins with a front matter of `key: value` lines between two lines of `---`; it names `role` and `version`.
The agent's name and the form of its answer come from code, so that a prompt can be rewritten freely and lose neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.llm.models import ModelSpec
from agents.opinions import ANALYSTS, answer_schema
from data.model.canonical import sha256_hex
from data.model.decisions import Role
from data.model.errors import UsageError

OURS = Path(__file__).parent / "prompts"
LONGEST = 64_000

_REASONS = "- `reasons`: one to four short sentences, each naming the figure{source} it rests on. Think here first."
_CONFIDENCE = (
    "- `confidence`: from 0 to 1, how likely it is that acting on your answer now turns out better than doing nothing; "
    "for HOLD and ABSTAIN, that doing nothing was right."
)
_IDS = {
    Role.TECHNICAL: "The groups of `indicators` are ids by their names (`trend`, `momentum`, …), and so are `bars` and "
    "the ids of facts.",
    Role.FUNDAMENTAL: "Only the ids of facts count (`f1`, `f2`, …).",
}
_ANALYST = f"""\
{_REASONS.format(source="")}
- `evidence`: the ids that your opinion rests on, as the brief writes them. {{ids}} An opinion without any counts \
as ABSTAIN; with ABSTAIN it is [].
- `action`: BUY, SELL, HOLD, or ABSTAIN when what you were given supports no opinion of yours.
{_CONFIDENCE}"""
_TRADER = f"""\
{_REASONS.format(source=" or the colleague")}
- `action`: BUY, SELL or HOLD.
{_CONFIDENCE}
- `size`: from 0 to 1, the part of a full position to open; it matters only when a position is opened.
- `stop_loss`: how far from the entry price the protective stop lies, as a fraction of that price (0.02 is two \
percent; never a price), or null for none.
- `take_profit`: the same for the profit target, or null for none."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A role's instruction: what follows the front matter. `sha256` is the digest of the whole file."""

    role: Role
    version: str
    text: str
    sha256: str


def load_prompts(folder: Path | None = None) -> Mapping[Role, Prompt]:
    """The four prompts, from files named after the roles (`technical.md`, …). Raises UsageError naming the file."""
    return {role: _load((folder or OURS) / f"{role.value}.md", role) for role in Role}


def system_message(prompt: Prompt, spec: ModelSpec) -> str:
    """The file's text, then the form of the answer and the agent's name. The same for every bar."""
    role = prompt.role
    lines = _ANALYST.replace("{ids}", _IDS[role]) if role in ANALYSTS else _TRADER
    parts = [prompt.text, f"# Your answer\n\nExactly one JSON object with these keys, and nothing after it:\n\n{lines}"]
    if not spec.json_schema:
        parts.append(f"Its JSON schema: {json.dumps(answer_schema(role), separators=(',', ':'))}")
    return "\n\n".join([*parts, f"Agent: {role.agent}"])


def _load(path: Path, role: Role) -> Prompt:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as fault:
        raise UsageError(f"prompt {path} cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"prompt {path} is not UTF-8 text") from None
    if len(raw) > LONGEST:
        raise UsageError(f"prompt {path} is longer than {LONGEST} bytes")
    head, closed, body = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not closed:
        raise UsageError(f"prompt {path} must begin with a front matter between two lines ---")
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines())}
    if fields.get("role") != role.value or not fields.get("version"):
        raise UsageError(f"prompt {path}: the front matter must say role: {role.value} and a version")
    if not body.strip():
        raise UsageError(f"prompt {path} says nothing after its front matter")
    return Prompt(role, fields["version"], body.strip(), sha256_hex(raw))
