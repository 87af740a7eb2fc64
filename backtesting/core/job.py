"""The command's work, in order: who decides, which data, the run, its folder, what to say of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from agents.llm.channel import Channel
from agents.prompt_files import load_prompts
from backtesting.core.arguments import Settings
from backtesting.core.display import progress, show_summary
from backtesting.core.environment import environment
from backtesting.core.fetching import bring_data
from backtesting.core.outcome import Result, Summary, end
from backtesting.core.preparation import Prepared, prepare
from backtesting.core.run import Overheard, Tally, begin, play
from backtesting.core.stopping import StoppableTransport, StopSwitch
from data.journal.comms_file import CommsFile
from data.journal.run_journal import RunJournal
from data.model.canonical import to_json
from data.model.errors import StoreUnavailable
from data.model.protocols import Clock, Journal
from data.store.database import open_database
from data.store.store import Store
from orchestration.communication_log import patch_all
from orchestration.compose import Panel, choose_models, compose_session, require_prices

INCOMPLETE = 3


@dataclass(frozen=True)
class Job:
    """One call of the command."""

    settings: Settings
    environ: Mapping[str, str]
    run_id: str
    root: Path
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    clock: Clock

    def run(self, out: TextIO, err: TextIO) -> int:
        """Prints the result to `out` (with --json) and the rest to `err`; the value is the exit code."""
        logging.basicConfig(level=self.settings.log_level, stream=err)
        console = Console(file=err)
        settings = self.settings
        models, keys = choose_models(settings.model, settings.agent_models, settings.base_url, self.environ)
        require_prices(keys, settings.budget_usd, self.clock.now())
        panel = Panel(models, load_prompts(settings.prompts), keys)
        with open_database(settings.database_url, self.root / "data" / "postgres") as database:
            store = Store(database.engine)
            bring_data(settings, store, self.clock, console)
            prepared = prepare(settings, store, panel.models, panel.prompts)
            summary = self._play(prepared, panel, store, console)
        if settings.json:
            json.dump(summary.for_programs(), out)
            out.write("\n")
        show_summary(console, summary)
        return 0 if summary.status == "complete" else INCOMPLETE

    def _play(self, prepared: Prepared, panel: Panel, store: Store, console: Console) -> Summary:
        folder = self.settings.output_dir / self.run_id
        tally, switch = Tally(), StopSwitch()
        with ExitStack() as stack:
            comms = stack.enter_context(closing(CommsFile(self.root / "data" / "logs", self.clock)))
            journal = stack.enter_context(closing(RunJournal(folder, self.clock, [tally, comms])))
            channel = stack.enter_context(closing(self._channel(journal, switch)))
            stack.callback(patch_all(journal, run=self.run_id))
            begin(journal, prepared, self.run_id, environment(self.root), panel.note)
            store.begin_run(self.run_id, to_json(prepared.question), str(folder), self.clock.now())
            opening = f"run {self.run_id}: {prepared.decisions} decisions, {panel.note}"
            console.print(opening, markup=False, soft_wrap=True)
            session = compose_session(
                prepared.question,
                panel,
                store=store,
                instruments=prepared.instruments,
                channel=channel,
                journal=journal,
                run_id=self.run_id,
            )
            started = self.monotonic()
            with switch.listening(), progress(console, prepared.bars, lambda: channel.totals.cost_usd) as advance:
                ending = play(
                    prepared,
                    store,
                    Overheard(session, tally),
                    journal,
                    max_failures=self.settings.max_failures,
                    check=switch.check,
                    on_step=advance,
                )
            result = Result(prepared, ending, tally, channel.totals, panel.note, self.monotonic() - started)
            summary = result.summary(self.run_id, folder, comms.path)
            end(journal, folder, result, summary)
            self._list_end(store, summary, console)
        return summary

    def _list_end(self, store: Store, summary: Summary, console: Console) -> None:
        """A database lost on the way must not hide what the run's folder holds."""
        try:
            store.end_run(self.run_id, summary.status, summary.result_digest, summary.for_programs(), self.clock.now())
        except StoreUnavailable as error:
            console.print(f"the run is not listed as ended: {error}", markup=False, soft_wrap=True)

    def _channel(self, journal: Journal, switch: StopSwitch) -> Channel:
        settings = self.settings
        return Channel(
            journal,
            self.clock,
            lambda seconds: switch.wait(lambda: self.sleep(seconds)),
            timeout_s=settings.timeout_s,
            budget_usd=settings.budget_usd,
            accept_models=settings.accept_models,
            around=lambda transport: StoppableTransport(transport, switch),
        )
