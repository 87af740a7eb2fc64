"""Recorded runs derived again: everything follows, whatever the models did."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from recordings import Recorder, audit, changed, live

from backtesting.audit.derivation import rederive
from backtesting.audit.findings import MOST
from data.model.errors import DataError

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

ATTEMPTS = 5
FAULTS = (
    ("rate_limited", server.status(429, retry_after="0"), ATTEMPTS),
    ("server_error", server.status(500), ATTEMPTS),
    ("request_rejected", server.echo_key(401), 1),
    ("request_rejected", server.status(302), 1),
    ("invalid_response", server.status(203), 1),
    ("invalid_response", server.half_json, 1),
    ("invalid_response", server.raw(b"[]"), 1),
    ("invalid_response", server.raw(b'{"choices": "\xe9"}'), 1),
    ("invalid_response", server.completing(tool_calls=[{"id": "1"}]), 1),
    ("empty", server.empty, 1),
    ("truncated", server.cut_off, 1),
    ("refused", server.refusal, 1),
    ("refused", server.filtered, 1),
    ("wrong_model", server.other_model, 1),
    ("wrong_model", server.raw(b'{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": "stop"}]}'), 1),
    ("unreachable", server.closed, ATTEMPTS),
    ("unreachable", server.torn_body, ATTEMPTS),
    ("timeout", server.hang, ATTEMPTS),
    ("malformed", server.completing(content='{"action": "BUY"} or {"action": "SELL"}'), 2),
)
"""Why a decision failed, what the server did, and how often it was asked before the run gave up."""


@pytest.mark.parametrize("run", ["rules", "both", "split", "held", "model"])
def test_everything_in_a_run_follows(recorder: Recorder, run: str) -> None:
    folder = getattr(recorder, run)()
    records = live(folder)
    found = rederive(records)
    (end,) = [record.body for record in records if record.kind == "run.end"]
    assert found.differences == ()
    assert found.differences == ()
    assert found.result_digest == end["result_digest"]
    assert (found.run_id, found.status) == (records[0].body["run_id"], "complete")
    assert found.replies == found.traced == end["summary"]["replies"]
    assert (found.bars, found.decisions) == (end["summary"]["bars"], end["summary"]["decisions"])
    assert (found.fills, found.trades) == (end["summary"]["fills"], end["summary"]["trades"])
    assert (found.unused_replies, found.orphans, found.in_flight, found.resumed) == (0, 0, 0, 0)


def test_the_headline_says_what_traces_and_to_whom(recorder: Recorder) -> None:
    built_in, served = rederive(live(recorder.rules())), rederive(live(recorder.model()))
    assert built_in.headline == (
        "192 of 192 replies trace to a recorded provider response (all of them of the built-in rules, not a language "
        "model)"
    )
    assert [str(server) for server in built_in.servers] == ["built-in rules, not a language model"]
    assert served.headline == "62 of 62 replies trace to a recorded provider response"
    assert [str(server) for server in served.servers] == ["UNVERIFIED SERVER 127.0.0.1, no certificate"]
    assert served.failed == 2


def test_every_failed_decision_follows_from_what_failed(recorder: Recorder) -> None:
    script = [step for _, step, times in FAULTS for _ in range(times)]
    records = live(recorder.served("faults", script, "--decide_every", "2", "--max_failures", "40", "--timeout", "1"))
    decided = [record.body["failure"] for record in records if record.kind == "decision"]
    assert [failure["reason"] for failure in decided if isinstance(failure, dict)] == [reason for reason, *_ in FAULTS]
    found = rederive(records)
    assert found.differences == ()
    assert (found.status, found.decisions, found.failed) == ("complete", 24, len(FAULTS))


def test_a_run_that_was_stopped_by_failures_follows_as_far_as_it_went(recorder: Recorder) -> None:
    words = ("--max_failures", "2")
    found = rederive(live(recorder.served("stopped", [server.ok] * 9, *words, then=server.refusal)))
    assert found.differences == ()
    assert (found.status, found.decisions, found.failed, found.result_digest) == ("incomplete", 4, 2, None)


def test_an_answer_that_repeats_the_key_is_recorded_without_it_and_still_follows(recorder: Recorder) -> None:
    def leak(handler: server.Handler, received: server.Received) -> None:
        words = f"The key is {received.headers['authorization'].split()[1]}. "
        answer = words + handler.server.owner.completion(received)["choices"][0]["message"]["content"]
        server.completing(content=answer)(handler, received)

    records = live(recorder.served("leak", [leak], "--decide_every", "8"))
    assert "[redacted]" in next(str(record.body["text"]) for record in records if record.kind == "agent.reply")
    assert any(record.body.get("redacted") is True for record in records)
    assert audit(records) == ()


@pytest.mark.parametrize("kept", [3, 30, 45, 60, 200, 900])
def test_a_log_that_was_cut_off_has_nothing_wrong_with_it(recorder: Recorder, kept: int) -> None:
    found = rederive(live(recorder.rules())[:kept])
    assert found.differences == ()
    assert found.status is None
    assert found.result_digest is None


def test_a_log_without_a_beginning_is_refused(recorder: Recorder) -> None:
    records = live(recorder.rules())
    with pytest.raises(DataError, match=r"does not begin with a run\.begin"):
        rederive(records[1:])
    with pytest.raises(DataError, match="nothing to derive"):
        rederive([])


def test_a_position_held_over_a_split_follows(recorder: Recorder) -> None:
    records = live(recorder.held())
    held = [dict(record.body["quantities"]) for record in records if record.kind == "equity"]  # type: ignore[arg-type]
    before, after = Decimal(held[13]["NVDA"]), Decimal(held[14]["NVDA"])
    assert after == 10 * before > 0
    assert [record.body["kind"] for record in records if record.kind == "action"] == ["split", "dividend"]
    (ended,) = [record.body for record in records if record.kind == "cancellation"]
    assert ended["ending"] == "expired"


def test_a_run_that_failed_and_went_on_follows(recorder: Recorder) -> None:
    records = live(recorder.refused_and_resumed())
    found = rederive(records)
    assert found.differences == ()
    assert (found.status, found.resumed, found.failed, found.decisions) == ("complete", 1, 0, 8)
    assert found.replies == found.traced == 32


ACTIONS = {
    "another ratio": (lambda body: body.update(value="9"), r"equity of 2024-06-10.* at record \d+ "),
    "another day": (lambda body: body.update(effective_on="2024-06-13"), "split of NVDA at record .* does not belong"),
    "too late": (lambda body: body.update(effective_on="2024-06-07"), "split of NVDA at record .* does not belong"),
    "another share": (lambda body: body.update(symbol="X"), "split of X at record .* does not belong before NVDA"),
    "no ratio": (lambda body: body.update(value=None), "bar at record .* does not read"),
    "another spelling": (lambda body: body.update(value="10.0"), "action at record .* does not read"),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_changed_split_is_named(recorder: Recorder, name: str) -> None:
    change, message = ACTIONS[name]
    records, _ = changed(live(recorder.held()), "action", change)
    assert re.search(message, audit(records)[0])


def test_an_expired_order_that_is_gone_is_missed(recorder: Recorder) -> None:
    records = [record for record in live(recorder.held()) if record.kind != "cancellation"]
    end = records[-2]
    assert audit(records)[0] == f"cancellation of NVDA is not recorded before record {end.seq}"


def test_too_many_differences_are_only_counted(recorder: Recorder) -> None:
    records = live(recorder.rules())
    made = [replace(one, body={**one.body, "traced": 1}) if one.kind == "agent.reply" else one for one in records]
    found = rederive(made + made[1:] * 8).differences
    assert len(found) == MOST + 1
    assert re.fullmatch(r"and [\d,]+ more", str(found[-1]))
