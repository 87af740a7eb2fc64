"""How a run's sessions are held: one after the other, or many in flight; and how what is in flight comes to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass

from agents.llm.admission import Dropped
from agents.llm.channel import Channel
from backtesting.accounting.account import Account
from backtesting.core.loop import Session
from backtesting.core.podium import Podium
from backtesting.core.speculation import Pipeline
from backtesting.core.stopping import StopSwitch
from backtesting.core.timeline import Ahead
from data.model.market import Fact
from orchestration.decision_session import DecisionSession

GRACE_S = 10.0
"""How long an answer that is on its way is waited for when the run ends: it is paid for, and going on needs it."""
_LOOK_S = 0.05


@dataclass(frozen=True)
class Crew:
    """`may_begin` says when sessions may be ahead of their bar; `monotonic` counts seconds."""

    session: DecisionSession
    podium: Podium
    channel: Channel
    switch: StopSwitch
    concurrency: int
    may_begin: Callable[[], bool]
    monotonic: Callable[[], float]

    @contextmanager
    def at_work(self, account: Account, actions: Mapping[str, list[Fact]], ahead: Ahead) -> Iterator[Session]:
        """The session to ask, bar by bar. At its end no call leaves any more, and none is on its way."""
        if self.concurrency == 1:
            yield self.session
            return
        pipeline = Pipeline(
            self.session,
            self.podium,
            account,
            actions,
            ahead,
            concurrency=self.concurrency,
            outcome=self.switch.outcome,
            wake=self.channel.admission.wake,
            may_begin=self.may_begin,
        )
        try:
            yield pipeline
        finally:
            self.channel.admission.stop(Dropped("the run is over"))
            self.switch.call_off()
            pipeline.close()
            self._land(pipeline)

    def _land(self, pipeline: Pipeline) -> None:
        """Waits for answers that are on their way, but not for long, and no longer after another signal."""
        until, patience = self.monotonic() + GRACE_S, min(self.switch.signals, 1)  # two may have come at once
        while pipeline.under_way and self.monotonic() < until and self.switch.signals <= patience:
            wait(list(pipeline.under_way), timeout=_LOOK_S)
        if pipeline.under_way:
            self.channel.abort(Dropped("the run is over"))
            wait(list(pipeline.under_way))
