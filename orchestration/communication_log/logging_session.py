"""A decision session that logs itself, for whoever would rather not patch by hand."""

from __future__ import annotations

from dataclasses import dataclass

from data.model.protocols import Journal
from orchestration.communication_log.patches import patch_all
from orchestration.decision_session import DecisionSession


@dataclass
class LoggingDecisionSession(DecisionSession):
    """From its making until `stop_logging()`, chats of its run are logged to `sink` (default: a file in data/logs)."""

    sink: Journal | None = None

    def __post_init__(self) -> None:
        self.log = patch_all(self.sink, run=self.run_id)

    def stop_logging(self) -> None:
        """Takes the patch off again."""
        self.log()
