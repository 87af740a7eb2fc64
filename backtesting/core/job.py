"""The command's work, in order: who decides, which data, the run, its folder, what to say of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from rich.console import Console

from agents.llm.channel import Channel, Totals
from agents.llm.models import RULES
from agents.prompt_files import Prompt, load_prompts
from backtesting.core.arguments import Settings
from backtesting.core.consent import Ask
from backtesting.core.crew import Crew
from backtesting.core.display import Advance, progress, show_summary
from backtesting.core.environment import environment
from backtesting.core.fetching import bring_data
from backtesting.core.loop import Session, Tape
from backtesting.core.market import market_in
from backtesting.core.notices import BudgetWatch, Notices, require_places
from backtesting.core.opening import Office, Opened, going_on
from backtesting.core.outcome import Result, Summary, end, recorded_summary
from backtesting.core.podium import Podium
from backtesting.core.preparation import Prepared, prepare
from backtesting.core.reckoning import Reckoning, own_prices
from backtesting.core.rehearsal import Diverged
from backtesting.core.resuming import Begun, decided, read_begun, read_end
from backtesting.core.run import Overheard, Tally, begin, play
from backtesting.core.stopping import StoppableTransport, StopSwitch
from backtesting.core.timeline import Step
from data.journal.anchors import Moment
from data.journal.checkpoints import read_checkpoints
from data.journal.comms_file import CommsFile
from data.journal.stamping import NotStamped, stamp_checkpoint
from data.model.canonical import to_json
from data.model.decisions import Role
from data.model.errors import StoreUnavailable, UsageError
from data.model.protocols import Clock, Journal, Record
from data.store.database import open_database
from data.store.store import Store
from orchestration.communication_log import patch_all
from orchestration.compose import Panel, choose_models, compose_session, require_prices

INCOMPLETE = 3


@dataclass(frozen=True)
class Job:
    """One call of the command. Without `ask` there is nobody at a terminal to agree to a dear run."""

    settings: Settings
    environ: Mapping[str, str]
    run_id: str
    root: Path
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    clock: Clock
    ask: Ask | None = None

    def run(self, out: TextIO, err: TextIO) -> int:
        """Prints the result to `out` (with --json) and the rest to `err`; the value is the exit code."""
        logging.basicConfig(level=self.settings.log_level, stream=err)
        console = Console(file=err)
        begun = None if self.settings.resume is None else read_begun(self.settings.resume)
        if begun is not None and begun.run_id != self.run_id:
            return replace(self, run_id=begun.run_id).run(out, err)
        if self.settings.estimate:
            return self._reckoning.show(self._prompts(begun), self._decided(begun), out, console)
        notices = self._notices(console)
        try:
            with notices.at_a_stop():
                summary = self._finished(begun) or self._work(begun, console)
        except Diverged as parted:
            raise (parted if begun is None else parted.with_hint(begun.hint())) from None
        if self.settings.json:
            json.dump(summary.for_programs(), out)
            out.write("\n")
        show_summary(console, summary)
        notices.over(summary)
        return 0 if summary.status == "complete" else INCOMPLETE

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return self.settings.resume or self.settings.output_dir / self.run_id

    @property
    def _office(self) -> Office:
        keys = self.environ.get("AGENTRADER_KEYS")
        return Office(self.root, Path(keys) if keys else self.root / "data" / "keys", self.clock)

    def _notices(self, console: Console) -> Notices:
        places = require_places(self.settings.notify)
        return Notices(self.run_id, places, lambda line: console.print(line, markup=False, soft_wrap=True))

    def _noticing(self, advance: Advance, channel: Channel, console: Console) -> Advance:
        watch = BudgetWatch(self._notices(console), self.settings.budget_usd, lambda: channel.totals.cost_usd)

        def noticed(step: Step, tape: Tape) -> None:
            advance(step, tape)
            watch.look()

        return noticed

    def _finished(self, begun: Begun | None) -> Summary | None:
        """The result of a run that has nothing left to go on with."""
        end, rendered = (None, False) if begun is None else read_end(self.folder)
        if end is None or not rendered:
            return None
        summary = recorded_summary(end, self.folder)
        with going_on(self.folder):  # whoever was killed at the very end has told nobody yet
            self._office.ended(self.run_id, summary.status, summary.head or "")
        return summary

    def _work(self, begun: Begun | None, console: Console) -> Summary:
        settings = self.settings
        models, keys = choose_models(settings.model, settings.agent_models, settings.base_url, self.environ)
        require_prices(keys, settings.budget_usd, self.clock.now(), own_prices(settings))
        panel = Panel(models, self._prompts(begun), keys)
        with open_database(settings.database_url, self.root / "data" / "postgres") as database:
            store = Store(database.engine)
            bring_data(settings, store, self.clock, console)
            prepared = prepare(settings, store, panel.models, panel.prompts)
            if begun is not None:
                begun.require_same(prepared.question, prepared.data_digest)
            self._reckoning.require_consent(prepared, panel, store, self._decided(begun), self.ask)
            return self._play(prepared, panel, store, console, begun)

    @property
    def _reckoning(self) -> Reckoning:
        return Reckoning(self.settings, self.root, self.clock)

    def _decided(self, begun: Begun | None) -> int:
        return 0 if begun is None else decided(self.folder)

    def _prompts(self, begun: Begun | None) -> Mapping[Role, Prompt]:
        """A run goes on with the prompts it began with."""
        if begun is None:
            return load_prompts(self.settings.prompts)
        recorded = begun.prompts
        if self.settings.prompts is not None and load_prompts(self.settings.prompts) != recorded:
            raise UsageError(f"--prompts {self.settings.prompts} are not those of run {begun.run_id}; leave it out")
        return recorded

    def _play(self, prepared: Prepared, panel: Panel, store: Store, console: Console, begun: Begun | None) -> Summary:
        tally, switch = Tally(), StopSwitch()
        with ExitStack() as stack:
            comms = stack.enter_context(closing(CommsFile(self.root / "data" / "logs", self.clock)))
            run = stack.enter_context(closing(self._open(prepared, panel, begun, tally, comms)))
            stack.enter_context(going_on(self.folder))
            stack.callback(comms.close)
            tally.unused |= run.before.answered
            podium = Podium(run.rehearsal, run.rehearsal)
            channel = stack.enter_context(closing(self._channel(podium, run.before.totals, switch)))
            stack.callback(patch_all(podium, run=self.run_id))
            store.begin_run(self.run_id, to_json(prepared.question), str(self.folder), self.clock.now())
            console.print(self._opening(prepared, panel, run), markup=False, soft_wrap=True)
            if not console.is_terminal:
                console.print(
                    f"watch it with: python -m scripts.runs watch {self.folder}", markup=False, soft_wrap=True
                )
            if begun is None:
                self._stamp(run, Moment.BEGIN, console)
            market = market_in(store, prepared.question)
            session = compose_session(
                prepared.question,
                panel,
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
            with switch.listening(), progress(console, prepared.bars, lambda: channel.totals.cost_usd) as advance:
                ending = play(
                    prepared,
                    market.bars,
                    lambda *coming: _overheard(crew.at_work(*coming), tally),
                    podium,
                    max_failures=self.settings.max_failures,
                    check=switch.check,
                    on_step=self._noticing(advance, channel, console),
                )
            result = Result(prepared, ending, tally, channel.totals, panel.note, self.monotonic() - started)
            summary = result.summary(self.run_id, self.folder, comms.path)
            if run.rehearsal.left:
                return summary  # stopped before anything new was recorded: there is nothing to add
            end(run.journal, self.folder, result, summary)
            self._stamp(run, Moment.HEAD, console)
            last = run.journal.last
            summary = replace(summary, head=None if last is None else last.head)
            self._list_end(store, summary, console)
        return summary

    def _open(self, prepared: Prepared, panel: Panel, begun: Begun | None, tally: Tally, comms: CommsFile) -> Opened:
        question, settings = prepared.question, self.settings
        if begun is not None:
            return self._office.again(self.folder, self.run_id, question, settings.max_failures, tally, comms)
        servers = {spec.base_url for spec in panel.keys if spec.provider != RULES}
        invocation = {**settings.invocation, "base_url": min(servers, default=None) if settings.base_url else None}

        own_prompts = settings.prompts is not None

        def write(journal: Journal) -> Record:
            return begin(journal, prepared, self.run_id, environment(self.root), panel, invocation, own_prompts)

        return self._office.first(self.folder, self.run_id, question, write, tally, comms)

    def _opening(self, prepared: Prepared, panel: Panel, run: Opened) -> str:
        again = f", goes on behind {run.rehearsal.left} records" if run.rehearsal.left else ""
        tried = f"run {run.trial.number} of this project, {run.trial.of_question} with this question"
        return f"run {self.run_id}: {prepared.decisions} decisions, {panel.note}{again}; {tried}"

    def _stamp(self, run: Opened, moment: Moment, console: Console) -> None:
        url = self.settings.timestamp_url
        if url is None:
            return
        points, _ = read_checkpoints(run.journal.folder)
        found = stamp_checkpoint(self.folder, moment, points[0 if moment is Moment.BEGIN else -1][0], url)
        if isinstance(found, NotStamped):
            console.print(f"warning: {found.warning}", markup=False, soft_wrap=True)
            return
        run.journal.append("anchor", {"moment": moment, "stamp": found})
        run.journal.sync()

    def _list_end(self, store: Store, summary: Summary, console: Console) -> None:
        """A database lost on the way must not hide what the run's folder holds."""
        self._office.ended(self.run_id, summary.status, summary.head or "")
        try:
            store.end_run(self.run_id, summary.status, summary.result_digest, summary.for_programs(), self.clock.now())
        except StoreUnavailable as error:
            console.print(f"the run is not listed as ended: {error}", markup=False, soft_wrap=True)

    def _channel(self, podium: Podium, so_far: Totals, switch: StopSwitch) -> Channel:
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
            budget_usd=settings.budget_usd,
            accept_models=settings.accept_models,
            prices=own_prices(settings),
            memory=podium,
            so_far=so_far,
            around=lambda transport: StoppableTransport(transport, switch),
        )


@contextmanager
def _overheard(at_work: AbstractContextManager[Session], tally: Tally) -> Iterator[Session]:
    with at_work as session:
        yield Overheard(session, tally)
