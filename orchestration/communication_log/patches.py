"""The patches on AutoGen's classes and on `DecisionSession`.

A patch works in the process that made it, and nowhere else: one made in another `python -c` does nothing here. It
lives on the classes, so agents made before or after it are heard alike, AutoGen's own temporary ones too. Not heard:
a subclass that overrides a method without calling its parent's, and what reaches no `generate_reply` (a summary by
`reflection_with_llm`, a direct `OpenAIWrapper.create`).
"""

from __future__ import annotations

import threading

from autogen import ConversableAgent, GroupChatManager

from data.model.protocols import Journal
from orchestration.communication_log import sinks
from orchestration.communication_log.agents_heard import watch_chat, watch_reply
from orchestration.communication_log.log_file import LOG_FOLDER, CommunicationLog, WallClock
from orchestration.communication_log.seam import Seam
from orchestration.communication_log.sessions_heard import watch_session, watch_session_chat
from orchestration.communication_log.sinks import Part, Patch
from orchestration.decision_session import DecisionSession

_SEAMS = {
    Part.AGENTS: (
        Seam(ConversableAgent, "generate_reply", watch_reply),
        Seam(ConversableAgent, "a_generate_reply", watch_reply, is_async=True),
        Seam(ConversableAgent, "initiate_chat", watch_chat),
        Seam(ConversableAgent, "a_initiate_chat", watch_chat, is_async=True),
        Seam(GroupChatManager, "initiate_chat", watch_chat),
        Seam(GroupChatManager, "a_initiate_chat", watch_chat, is_async=True),
    ),
    Part.SESSIONS: (
        Seam(DecisionSession, "run_session", watch_session),
        Seam(DecisionSession, "initiate_chat", watch_session_chat),
    ),
}
_lock = threading.RLock()


def patch_autogen(sink: Journal | None = None, *, run: str | None = None) -> Patch:
    """Logs each chat that begins and each reply of an agent. See `patch_all`."""
    return _patch(sink, Part.AGENTS, run)


def patch_decision_session(sink: Journal | None = None, *, run: str | None = None) -> Patch:
    """Logs decision sessions: their begin, their chat, their decision. See `patch_all`."""
    return _patch(sink, Part.SESSIONS, run)


def patch_all(sink: Journal | None = None, *, run: str | None = None) -> Patch:
    """Both. Returns what undoes it; patching again with the same sink changes nothing and returns the same.

    Without a sink it opens `data/logs/agent_comms_<time>.log` (and `.jsonl` beside it). `run` narrows it to one run's
    chats. Raises UsageError if the log cannot be created.
    """
    return _patch(sink, Part.AGENTS | Part.SESSIONS, run)


def _patch(sink: Journal | None, parts: Part, run: str | None) -> Patch:
    with _lock:
        patch = _find(sink, parts, run)
        if patch is None:
            patch = Patch(sink or _default(), parts, run, _undo)
            sinks.enter(patch)
        for part in parts:
            for seam in _SEAMS[part]:
                seam.open()
        return patch


def _undo(patch: Patch) -> None:
    with _lock:
        sinks.leave(patch)
        wanted = [part for other in sinks.present() for part in other.parts]
        for part in patch.parts:
            for seam in _SEAMS[part] if part not in wanted else ():
                seam.close()
        if isinstance(patch.sink, CommunicationLog) and not any(p.sink is patch.sink for p in sinks.present()):
            patch.sink.close()


def _find(sink: Journal | None, parts: Part, run: str | None) -> Patch | None:
    for patch in sinks.present():
        same = isinstance(patch.sink, CommunicationLog) if sink is None else patch.sink is sink
        if same and (patch.parts, patch.run) == (parts, run):
            return patch
    return None


def _default() -> CommunicationLog:
    """The process's one log of that kind: patches without a sink share it."""
    for patch in sinks.present():
        if isinstance(patch.sink, CommunicationLog):
            return patch.sink
    return CommunicationLog(LOG_FOLDER, WallClock())
