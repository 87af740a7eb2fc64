"""Reckons what a run would take, out of its settings and the data at hand: to show it, or to ask whether it may."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console

from agents.llm.models import NO_KEY, ModelSpec
from agents.llm.prices import Price, PriceList
from agents.prompt_files import Prompt
from backtesting.core.arguments import Settings
from backtesting.core.consent import Ask, for_programs, require_consent, show_estimate
from backtesting.core.estimate import Estimate, Pace, estimate
from backtesting.core.fetching import bring_data
from backtesting.core.market import market_in
from backtesting.core.preparation import Prepared, prepare
from backtesting.core.sampling import MOST, take_sample
from data.model.decisions import Role
from data.model.escape import escape_line
from data.model.protocols import Clock
from data.store.database import open_database
from data.store.store import Store
from orchestration.compose import Panel, name_models

SOME = 6
"""Decisions that are held to see whether a run is dear."""


def own_prices(settings: Settings) -> dict[str, Price]:
    """The user's own, by `provider/name`."""
    return {name: Price(*both) for name, both in settings.prices.items()}


def warn_of_prices(settings: Settings, models: Iterable[ModelSpec], console: Console) -> None:
    """A price that belongs to nobody is most likely one whose model is misspelt."""
    asked = {spec.shown for spec in models}
    for name in sorted(settings.prices.keys() - asked):
        line = f"warning: --price {name} counts for nothing: no agent asks that model, but {', '.join(sorted(asked))}"
        console.print(escape_line(line), markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Reckoning:
    """Sends nothing to any model, and needs no key."""

    settings: Settings
    root: Path
    clock: Clock

    def show(self, prompts: Mapping[Role, Prompt], decided: int, out: TextIO, console: Console) -> int:
        """For `--estimate`; the value is the exit code."""
        settings = self.settings
        models = name_models(settings.model, settings.agent_models, settings.base_url)
        panel = Panel(models, prompts, dict.fromkeys(models.values(), NO_KEY))
        warn_of_prices(settings, models.values(), console)
        with open_database(settings.database_url, self.root / "data" / "postgres") as database:
            store = Store(database.engine)
            bring_data(settings, store, self.clock, console)
            prepared = prepare(settings, store, panel.models, panel.prompts)
            found = self.reckon(prepared, panel, store, decided, MOST)
        if settings.json:
            json.dump(for_programs(found), out)
            out.write("\n")
        show_estimate(console, found)
        return 0

    def require_consent(self, prepared: Prepared, panel: Panel, store: Store, decided: int, ask: Ask | None) -> None:
        """Raises UsageError for a dear run that nobody agreed to."""
        prices = PriceList(own_prices(self.settings))
        if self.settings.yes or all(prices.is_free(spec) for spec in panel.models.values()):
            return
        require_consent(self.reckon(prepared, panel, store, decided, SOME), self.settings.budget_usd, ask)

    def reckon(self, prepared: Prepared, panel: Panel, store: Store, decided: int, most: int) -> Estimate:
        """What the decisions after the first `decided` would take."""
        settings = self.settings
        sample = take_sample(prepared, panel, market_in(store, prepared.question), self.clock, most)
        left = max(0, prepared.decisions - decided)
        pace = Pace(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        return estimate(sample, left, prepared.bars, pace, PriceList(own_prices(settings)), self.clock.now())
