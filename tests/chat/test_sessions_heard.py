"""The patch on decision sessions: lines as people know them, in their order, for sinks the session does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stage

import agent_log_patch
from data.journal.comms import lines
from data.journal.memory_journal import MemoryJournal
from data.model.decisions import Failure, FailureReason, Role
from data.model.errors import DataError
from orchestration import communication_log
from orchestration.communication_log import LoggingDecisionSession, patch_all, patch_autogen, patch_decision_session
from orchestration.decision_session import DecisionSession

TURN = ["agent.generating", "agent.reply"]
SESSION = ["session.begin", "chat.begin", *TURN * 4, "decision", "session.end"]


@pytest.fixture(autouse=True)
def class_as_found() -> Iterator[None]:
    before = {name: vars(DecisionSession)[name] for name in ("run_session", "initiate_chat")}
    yield
    for name, function in before.items():
        setattr(DecisionSession, name, function)


def read(log: MemoryJournal) -> list[str]:
    return [line.removeprefix("2025-04-15 13:45:30 - ") for record in log.records for line in lines(record)]


def test_a_sink_of_ones_own_hears_the_whole_session_in_order() -> None:
    log = stage.journal()
    undo = patch_all(log)
    result = stage.run(stage.session(stage.journal()))
    undo()
    assert stage.kinds(log) == SESSION
    said = [f"INFO - Agent {role.shown} {what}" for role in Role for what in ("generating", "replied")]
    text = read(log)
    assert text[:5] == [
        "INFO - ===== STARTING DECISION SESSION FOR BTCUSDT =====",
        "INFO - Bar: 2025-04-01 00:00 UTC (1 of 240)",
        "INFO - Current price: $67890.50",
        "INFO - Initiating multi-agent chat session",
        "INFO - Participating agents: Technical Analyst, Fundamental Analyst, Portfolio Manager, Decision Agent",
    ]
    assert [line.split(" generating")[0].split(" replied")[0] for line in text[5:13]] == [
        line.rsplit(" ", 1)[0] for line in said
    ]
    assert text[13:] == [
        "INFO - Decision: BUY with 78.5% confidence",
        "INFO - ===== COMPLETED DECISION SESSION FOR BTCUSDT =====",
    ]
    assert result["decision"]["action"] == "BUY"


def test_the_sessions_own_journal_is_told_nothing_twice() -> None:
    log = stage.journal()
    undo = patch_all(log, run="run7")
    stage.run(stage.session(log))
    undo()
    kinds = stage.kinds(log)
    assert {kind: kinds.count(kind) for kind in set(SESSION)} == {kind: SESSION.count(kind) for kind in set(SESSION)}
    assert undo.replies == undo.heard(stage.PREFIX) == 4


def test_the_runs_journal_and_somebodys_log_both_hear_once() -> None:
    own, other = stage.journal(), stage.journal()
    undos = [patch_all(other), patch_all(own, run="run7")]
    stage.run(stage.session(own))
    for undo in undos:
        undo()
    assert stage.kinds(other) == SESSION
    assert [kind for kind in stage.kinds(own) if kind in SESSION] == SESSION


def test_without_the_patch_on_agents_the_session_still_shows() -> None:
    log = stage.journal()
    undo = patch_decision_session(log)
    stage.run(stage.session(stage.journal()))
    undo()
    assert stage.kinds(log) == ["session.begin", "chat.begin", "decision", "session.end"]


def test_without_the_patch_on_sessions_the_chat_still_shows() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    stage.run(stage.session(stage.journal()))
    undo()
    assert stage.kinds(log) == ["chat.begin", *TURN * 4]


def test_a_run_nobody_listens_to_is_noticed() -> None:
    log = stage.journal()
    undo = patch_all(log, run="run7")
    undo()
    stage.run(stage.session(log))
    assert undo.heard(stage.PREFIX) == 0
    assert "agent.reply" not in stage.kinds(log)


def test_a_failed_decision_is_said_to_have_failed() -> None:
    log = stage.journal()
    undo = patch_all(log)
    result = stage.run(stage.session(stage.journal(), {Role.PORTFOLIO: ["no JSON", "none again"]}))
    undo()
    assert result["decision"] is None
    failed = [line for line in read(log) if "Decision:" in line]
    assert len(failed) == 1
    assert failed[0].startswith("ERROR - Decision: FAILED, malformed: Agent Portfolio Manager: ")


def test_the_result_and_the_error_are_the_very_same() -> None:
    results: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patched:
        run_session = DecisionSession.run_session

        def keep(session: Any, *args: Any, **kwargs: Any) -> Any:
            results.append(run_session(session, *args, **kwargs))
            return results[-1]

        patched.setattr(DecisionSession, "run_session", keep)
        log = stage.journal()
        undo = patch_all(log)
        assert stage.run(stage.session(stage.journal())) is results[0]
        with pytest.raises(DataError, match="no bar of ETHUSDT is known"):
            stage.session(stage.journal()).run_session("ETHUSDT", stage.view().as_of, stage.book())
        undo()
    assert stage.kinds(log)[-2:] == ["session.begin", "session.failed"]
    assert read(log)[-2:] == [
        "INFO - ===== STARTING DECISION SESSION FOR ETHUSDT =====",
        "ERROR - Decision session for ETHUSDT failed: no bar of ETHUSDT is known",
    ]


def test_words_of_unknown_errors_are_not_logged() -> None:
    session = stage.session(stage.journal())
    session.look = lambda _symbol, _as_of: (_ for _ in ()).throw(RuntimeError("postgresql://user:canary@host"))
    log = stage.journal()
    undo = patch_all(log)
    with pytest.raises(RuntimeError, match="canary"):
        stage.run(session)
    undo()
    assert log.records[-1].body["error"] == "RuntimeError"


def patched_by_others(name: str, seen: list[Any]) -> Callable[[], None]:
    found = getattr(DecisionSession, name)

    def theirs(session: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(found(session, *args, **kwargs))
        return seen[-1]

    setattr(DecisionSession, name, theirs)
    return lambda: setattr(DecisionSession, name, found)


@pytest.mark.parametrize("name", ["run_session", "initiate_chat"])
@pytest.mark.parametrize("theirs_first", [True, False])
@pytest.mark.parametrize("undo_theirs_first", [True, False])
def test_somebody_elses_patch_sees_what_we_see(name: str, theirs_first: bool, undo_theirs_first: bool) -> None:
    seen: list[Any] = []
    log = stage.journal()
    undo: dict[str, Callable[[], None]] = {}
    for who in ("theirs", "ours") if theirs_first else ("ours", "theirs"):
        undo[who] = patched_by_others(name, seen) if who == "theirs" else patch_all(log)
    result = stage.run(stage.session(stage.journal()))
    assert stage.kinds(log) == SESSION
    if name == "run_session":
        assert seen == [result]
        assert seen[0] is result
    else:
        assert [message.text for message in seen[0].messages] == [message["text"] for message in result["messages"]]
    first, second = ("theirs", "ours") if undo_theirs_first else ("ours", "theirs")
    undo[first]()
    stage.run(stage.session(stage.journal()))
    assert len(seen) == (1 if undo_theirs_first else 2)
    if not undo_theirs_first:
        assert stage.kinds(log) == SESSION
    undo[second]()
    stage.run(stage.session(stage.journal()))
    assert len(seen) == (1 if undo_theirs_first else 2)


def test_a_patched_result_of_another_shape_is_still_logged() -> None:
    def other(_session: Any, *_args: Any, **_kwargs: Any) -> Any:
        return {"symbol": "BTCUSDT", "price": 5, "status": "DECIDED", "decision": {"action": "SELL", "confidence": 0.5}}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DecisionSession, "run_session", other)
        log = stage.journal()
        undo = patch_all(log)
        stage.run(stage.session(stage.journal()))
        undo()
    assert read(log) == [
        "INFO - ===== STARTING DECISION SESSION FOR BTCUSDT =====",
        "INFO - Current price: $5.00",
        "INFO - Decision: SELL with 50.0% confidence",
        "INFO - ===== COMPLETED DECISION SESSION FOR BTCUSDT =====",
    ]


def test_a_logging_session_logs_its_own_run_until_it_is_told_to_stop() -> None:
    log = stage.journal()
    session = stage.session(stage.journal(), kind=LoggingDecisionSession, sink=log)
    assert isinstance(session, LoggingDecisionSession)
    stage.run(session)
    assert stage.kinds(log) == SESSION
    stage.talk(prefix="another_run/1/BTCUSDT")
    session.stop_logging()
    stage.run(session)
    assert stage.kinds(log) == SESSION


def test_without_a_sink_a_log_file_for_people_and_one_for_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    undo = agent_log_patch.patch_all()
    assert agent_log_patch.patch_all() is undo
    stage.run(stage.session(stage.journal()))
    undo()
    with pytest.raises(ValueError, match="closed file"):
        undo.sink.append("agent.generating", {"agent": "A"})
    (text,) = Path("data/logs").glob("agent_comms_*.log")
    (records,) = Path("data/logs").glob("agent_comms_*.jsonl")
    assert text.stem == records.stem
    shown = text.read_text("utf-8").splitlines()
    assert shown[0].endswith(" - INFO - ===== STARTING DECISION SESSION FOR BTCUSDT =====")
    assert len(records.read_bytes().splitlines()) == len(SESSION)
    undo_second = agent_log_patch.patch_all()
    undo_second()
    assert len(list(Path("data/logs").glob("*.log"))) == 2


def test_the_root_module_hands_on_what_the_room_has() -> None:
    assert all(getattr(agent_log_patch, name) is getattr(communication_log, name) for name in agent_log_patch.__all__)


def test_what_failed_keeps_its_reason_in_the_record() -> None:
    log = stage.journal()
    undo = patch_all(log)
    stage.run(stage.session(stage.journal(), {Role.TECHNICAL: ["", ""]}))
    undo()
    (decision,) = [record.body for record in log.records if record.kind == "decision"]
    expected = Failure(FailureReason.EMPTY, "the agent gave an empty reply", Role.TECHNICAL.agent)
    assert decision["failure"] == {"reason": expected.reason, "detail": expected.detail, "agent": expected.agent}
