"""Logs what agents say in this process: `import agent_log_patch; undo = agent_log_patch.patch_all()`."""

from orchestration.communication_log import LoggingDecisionSession, patch_all, patch_autogen, patch_decision_session

__all__ = ["LoggingDecisionSession", "patch_all", "patch_autogen", "patch_decision_session"]
