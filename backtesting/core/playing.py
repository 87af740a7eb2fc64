"""A prepared run, from the opening of its folder to its last record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from agents.llm.channel import Channel
from agents.llm.models import RULES
from backtesting.audit.summary import Summary
from backtesting.core.arguments import Settings
from backtesting.core.begun import Begun
from backtesting.core.crew import Crew
from backtesting.core.display import Advance, near, progress
from backtesting.core.environment import environment
from backtesting.core.loop import Session, Tape
from backtesting.core.market import market_in
from backtesting.core.notices import BudgetWatch, Notices
from backtesting.core.opening import Office, Opened, going_on
from backtesting.core.outcome import Result, end
from backtesting.core.podium import Podium
from backtesting.core.preparation import Prepared
from backtesting.core.reckoning import own_prices
from backtesting.core.resuming import Before
from backtesting.core.run import Overheard, Tally, begin, play
from backtesting.core.stopping import StoppableTransport, StopSwitch
from backtesting.core.timeline import Step
from data.journal.anchors import Moment
from data.journal.checkpoints import read_checkpoints
from data.journal.comms_file import CommsFile
from data.journal.stamping import NotStamped, stamp_checkpoint
from data.model.canonical import to_json
from data.model.errors import StoreUnavailable
from data.model.protocols import Clock, Journal, Record
from data.store.store import Store
from orchestration.communication_log import patch_all
from orchestration.compose import Panel, compose_session


@dataclass(frozen=True)
class Playing:
    """A run and all that it is played with. `begun` is the run that goes on, None for a first one."""

    settings: Settings
    run_id: str
    folder: Path
    root: Path
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    clock: Clock
    prepared: Prepared
    panel: Panel
    begun: Begun | None
    store: Store
    office: Office
    notices: Notices
    console: Console

    def to_its_end(self) -> Summary:
        """Opens the run, holds its sessions, and sums it up."""
        tally, switch = Tally(), StopSwitch()
        with ExitStack() as stack:
            stack.enter_context(switch.listening())  # to the end: what is begun and summed up is not left half done
            comms = stack.enter_context(closing(CommsFile(self.root / "data" / "logs", self.clock)))
            run = stack.enter_context(closing(self._open(tally, comms)))
            stack.enter_context(going_on(self.folder))
            stack.callback(comms.close)
            tally.unused |= run.before.answered
            podium = Podium(run.rehearsal, run.rehearsal)
            channel = stack.enter_context(closing(self._channel(podium, run.before, switch)))
            stack.callback(patch_all(podium, run=self.run_id))
            question = to_json(self.prepared.question)
            self.store.begin_run(self.run_id, question, str(self.folder), self.clock.now())
            self._announce(run)
            result = self._hold_sessions(run, podium, channel, switch, tally)
            summary = result.summary(self.run_id, self.folder, comms.path)
            if run.rehearsal.left:
                return summary  # stopped before anything new was recorded: there is nothing to add
            return self._end(run, result, summary)

    def _open(self, tally: Tally, comms: CommsFile) -> Opened:
        question, settings = self.prepared.question, self.settings
        if self.begun is not None:
            most = settings.max_failures
            return self.office.again(self.folder, self.run_id, question, most, self._budget, tally, comms)
        servers = {spec.base_url for spec in self.panel.keys if spec.provider != RULES}
        invocation = {**settings.invocation, "base_url": min(servers, default=None) if settings.base_url else None}
        own_prompts = settings.prompts is not None

        def write(journal: Journal) -> Record:
            place = environment(self.root)
            return begin(journal, self.prepared, self.run_id, place, self.panel, invocation, own_prompts)

        return self.office.first(self.folder, self.run_id, question, write, tally, comms)

    def _budget(self, before: Before) -> Decimal | None:
        """For what comes, in dollars."""
        return before.left_usd if self.settings.budget_goes_on else self.settings.budget_usd

    def _channel(self, podium: Podium, before: Before, switch: StopSwitch) -> Channel:
        settings = self.settings
        return Channel(
            podium,
            self.clock,
            lambda seconds: switch.pause(seconds, self.sleep),
            in_flight=settings.concurrency,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            monotonic=self.monotonic,
            timeout_s=settings.timeout_s,
            budget_usd=self._budget(before),
            accept_models=settings.accept_models,
            prices=own_prices(settings),
            memory=podium,
            so_far=before.totals,
            around=lambda transport: StoppableTransport(transport, switch),
        )

    def _announce(self, run: Opened) -> None:
        self._say(self._opening(run))
        if not self.console.is_terminal:
            self._say(f"watch it with: python -m scripts.runs watch {near(self.folder)}")
        if self.begun is None:
            self._stamp(run, Moment.BEGIN)

    def _opening(self, run: Opened) -> str:
        again = f", goes on behind {run.rehearsal.left:,} records" if run.rehearsal.left else ""
        tried = f"run {run.trial.number} of this project, {run.trial.of_question} with this question"
        budget = self._budget(run.before)
        purse = "" if budget is None else f", at most {budget} USD{' for what comes' if run.before.answered else ''}"
        return f"run {self.run_id}: {self.prepared.decisions:,} decisions, {self.panel.note}{again}{purse}; {tried}"

    def _hold_sessions(self, run: Opened, podium: Podium, channel: Channel, switch: StopSwitch, tally: Tally) -> Result:
        prepared = self.prepared
        market = market_in(self.store, prepared.question)
        session = compose_session(
            prepared.question,
            self.panel,
            look=market.look,
            instruments=prepared.instruments,
            channel=channel,
            journal=podium,
            run_id=self.run_id,
        )
        crew = Crew(
            session,
            podium,
            channel,
            switch,
            self.settings.concurrency,
            may_begin=lambda: not run.rehearsal.left,
            monotonic=self.monotonic,
        )
        started = self.monotonic()
        with progress(self.console, prepared.bars, lambda: channel.totals.cost_usd) as advance:
            ending = play(
                prepared,
                market.bars,
                lambda *coming: _overheard(crew.at_work(*coming), tally),
                podium,
                max_failures=self.settings.max_failures,
                check=switch.check,
                on_step=self._noticing(advance, channel),
            )
        return Result(prepared, ending, tally, channel.totals, self.panel.note, self.monotonic() - started)

    def _noticing(self, advance: Advance, channel: Channel) -> Advance:
        watch = BudgetWatch(self.notices, channel.budget_usd, lambda: channel.spent)

        def noticed(step: Step, tape: Tape) -> None:
            advance(step, tape)
            watch.look()

        return noticed

    def _end(self, run: Opened, result: Result, summary: Summary) -> Summary:
        end(run.journal, self.folder, result, summary)
        self._stamp(run, Moment.HEAD)
        last = run.journal.last
        summary = replace(summary, head=None if last is None else last.head)
        self.office.ended(self.run_id, summary.status, summary.head or "")
        told = summary.for_programs()
        try:
            self.store.end_run(self.run_id, summary.status, summary.result_digest, told, self.clock.now())
        except StoreUnavailable as error:  # a database lost on the way must not hide what the run's folder holds
            self._say(f"the run is not listed as ended: {error}")
        return summary

    def _stamp(self, run: Opened, moment: Moment) -> None:
        url = self.settings.timestamp_url
        if url is None:
            return
        points, _ = read_checkpoints(run.journal.folder)
        found = stamp_checkpoint(self.folder, moment, points[0 if moment is Moment.BEGIN else -1][0], url)
        if isinstance(found, NotStamped):
            self._say(f"warning: {found.warning}")
            return
        run.journal.append("anchor", {"moment": moment, "stamp": found})
        run.journal.sync()

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


@contextmanager
def _overheard(at_work: AbstractContextManager[Session], tally: Tally) -> Iterator[Session]:
    with at_work as session:
        yield Overheard(session, tally)
