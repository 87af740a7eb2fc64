"""The whole command against an OpenAI-compatible server that nobody here wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from main_job import WINDOW, play

sys.path.insert(0, str(Path(__file__).parents[1] / "llm"))
from aimock import aimock, needs_node

pytestmark = [pytest.mark.node, needs_node]

SAID = {
    "Technical_Analyst": {"action": "BUY", "confidence": 0.7, "reasons": ["trend"], "evidence": ["bars"]},
    "Fundamental_Analyst": {"action": "ABSTAIN", "confidence": 0, "reasons": ["no fact"], "evidence": []},
    "Portfolio_Manager": {
        "action": "BUY",
        "confidence": 0.6,
        "reasons": ["flat"],
        "size": 0.5,
        "stop_loss": 0.5,
        "take_profit": None,
    },
    "Decision_Agent": {
        "action": "BUY",
        "confidence": 0.65,
        "reasons": ["agreed"],
        "size": 0.5,
        "stop_loss": 0.4,
        "take_profit": None,
    },
}
FIXTURES = [
    {"match": {"systemMessage": f"Agent: {agent}"}, "response": {"content": json.dumps(answer)}}
    for agent, answer in SAID.items()
]


def test_two_days(tmp_path: Path, bitcoin: str) -> None:
    with aimock(FIXTURES) as server:
        flags = ("--model", "openai/gpt-4o", "--base_url", server.base_url, "--mini")
        played = play(tmp_path, bitcoin, *WINDOW, *flags, environ={"OPENAI_API_KEY": "sk-test"})
        asked = server.journal()
    summary = played.summary
    assert (played.code, summary["status"]) == (0, "complete")
    counted = [summary[name] for name in ("decisions", "failed", "replies", "replies_traced", "calls")]
    assert counted == [48, 0, 192, 192, 192]
    assert len(asked) == 192
    assert {body["action"] for body in played.of("decision")} == {"BUY"}
    assert [fill["side"] for fill in played.of("fill")] == ["BUY"]
    assert summary["cost_usd"] > 0
    assert json.loads(played.of("agent.reply")[3]["text"]) == SAID["Decision_Agent"]
