"""Observes what agents say, at class level, and returns it untouched."""

from orchestration.communication_log.logging_session import LoggingDecisionSession
from orchestration.communication_log.patches import patch_all, patch_autogen, patch_decision_session
from orchestration.communication_log.sinks import Patch

__all__ = ["LoggingDecisionSession", "Patch", "patch_all", "patch_autogen", "patch_decision_session"]
