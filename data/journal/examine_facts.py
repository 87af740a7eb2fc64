"""What a run says of itself in the few records that are about the run, kept while its log goes by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from data.model.canonical import Json

_NOTED = ("run.begin", "run.end", "rendered", "recovery", "orphan", "project.entry", "anchor")
ENDINGS = tuple(f'"kind":"{kind}"}}'.encode() for kind in _NOTED)

Body = dict[str, Json]


@dataclass
class Facts:
    """Bodies as the records hold them. `end` and `rendered` are the last ones that no recovery followed."""

    begin: Body | None = None
    end: Body | None = None
    end_at: int | None = None
    rendered: Body | None = None
    rendered_at: int | None = None
    entry: Body | None = None
    recoveries: list[tuple[int, Body]] = field(default_factory=list)
    orphans: int = 0
    anchors: list[tuple[int, Body]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the run ended, and its files were made."""
        return self.end is not None and self.end.get("status") == "complete" and self.rendered is not None

    def copy(self) -> Facts:
        """As they are now."""
        return replace(self, recoveries=list(self.recoveries), anchors=list(self.anchors))

    def take(self, seq: int, record: Body) -> None:
        """Looks at one record."""
        kind, body = record["kind"], record["body"]
        if kind not in _NOTED or not isinstance(body, dict):
            return
        if kind == "run.begin" and seq == 0:
            self.begin = body
        elif kind == "run.end":
            self.end, self.end_at, self.rendered = body, seq, None
        elif kind == "rendered":
            self.rendered, self.rendered_at = body, seq
        elif kind == "recovery":
            self.end = self.end_at = self.rendered = None
            self.recoveries.append((seq, body))
        elif kind == "orphan":
            self.orphans += 1
        elif kind == "project.entry":
            self.entry = self.entry or body
        elif kind == "anchor":
            self.anchors.append((seq, body))
