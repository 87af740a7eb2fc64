"""The command's work, in order: who decides, which data, the run, its folder, what to say of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from rich.console import Console

from agents.prompt_files import Prompt, load_prompts
from backtesting.audit.summary import Summary
from backtesting.core.arguments import Settings
from backtesting.core.begun import Begun, decided, read_begun, read_end
from backtesting.core.consent import Ask
from backtesting.core.display import show_summary
from backtesting.core.fetching import bring_data
from backtesting.core.notices import Notices, require_places
from backtesting.core.opening import Office, going_on
from backtesting.core.outcome import recorded_summary
from backtesting.core.playing import Playing
from backtesting.core.preparation import prepare
from backtesting.core.reckoning import Reckoning, own_prices, warn_of_prices
from backtesting.core.rehearsal import Diverged
from data.model.decisions import Role
from data.model.errors import UsageError
from data.model.protocols import Clock
from data.store.database import open_database
from data.store.store import Store
from orchestration.compose import Panel, choose_models, require_prices

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
        console = Console(file=err, highlight=False)
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
        show_summary(console, summary)
        notices.over(summary)
        self._tell_programs(summary, out, console)
        return 0 if summary.status == "complete" else INCOMPLETE

    def _tell_programs(self, summary: Summary, out: TextIO, console: Console) -> None:
        """With --share once the run is handed on; a run that cannot be is over all the same."""
        told = summary.for_programs()
        try:
            if self.settings.share:
                from backtesting.core.handing_on import hand_on_if_complete  # noqa: PLC0415 (pyarrow: 20 MB)

                told["shared"] = None
                told["shared"] = hand_on_if_complete(summary, self.root, console)
        finally:
            if self.settings.json:
                json.dump(told, out)
                out.write("\n")

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
        warn_of_prices(settings, models.values(), console)
        require_prices(keys, settings.budget_usd, self.clock.now(), own_prices(settings))
        panel = Panel(models, self._prompts(begun), keys)
        with open_database(settings.database_url, self.root / "data" / "postgres") as database:
            store = Store(database.engine)
            bring_data(settings, store, self.clock, console)
            prepared = prepare(settings, store, panel.models, panel.prompts)
            if begun is not None:
                begun.require_same(prepared.question, prepared.data_digest)
            self._reckoning.require_consent(prepared, panel, store, self._decided(begun), self.ask)
            notices, office = self._notices(console), self._office
            playing = Playing(
                settings, self.run_id, self.folder, self.root, self.monotonic, self.sleep, self.clock,
                prepared, panel, begun, store, office, notices, console,
            )  # fmt: skip
            return playing.to_its_end()

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
