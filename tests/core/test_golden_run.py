"""A whole run, pinned: ten days of BTCUSDT decided by the rules. Made again on purpose only:

AGENTRADER_WRITE_GOLDEN=1 python -m pytest tests/core/test_golden_run.py      (then read the difference)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from main_job import RULES, Played, play

GOLDEN = Path(__file__).parent / "golden" / "btcusdt_1h_rules.json"


def told(played: Played) -> dict[str, Any]:
    """What must not change unnoticed, in lines that can be compared by eye."""
    decisions = [
        f"{body['bar_open_time']} {body['action']} {body['confidence']} {body['size']} {body['stop_loss']}"
        for body in played.of("decision")
    ]
    fills = [
        f"{body['at']} {body['side']} {body['quantity']} at {body['price']} by {body['reason']}"
        for body in played.of("fill")
    ]
    (end,) = played.of("run.end")
    views = [body["digest"] for body in played.of("market.view")]
    return {
        "result_digest": end["result_digest"],
        "final_equity": end["summary"]["final_equity"],
        "first_view": views[0],
        "last_view": views[-1],
        "fills": fills,
        "decisions": decisions,
    }


def test_the_run_is_what_it_was(tmp_path: Path, bitcoin: str) -> None:
    found = told(play(tmp_path, bitcoin, *RULES))
    if os.environ.get("AGENTRADER_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    pinned = json.loads(GOLDEN.read_text())
    assert {name: found[name] for name in ("fills", "decisions", "final_equity")} == {
        name: pinned[name] for name in ("fills", "decisions", "final_equity")
    }
    assert found == pinned
