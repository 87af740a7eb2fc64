"""What journaling costs a whole run: every decision of the window, once over the journal and once over nothing.

Both play the same decisions by the built-in rules, observed alike; only what is written, signed and flushed falls away.
What comes after the last decision (numbers, report) needs a log to be read and is in neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from itertools import count

from agents.llm.channel import Channel
from agents.prompt_files import load_prompts
from backtesting.core.market import market_in
from backtesting.core.podium import Podium
from backtesting.core.preparation import Prepared, prepare
from backtesting.core.run import play
from benchmarks.place import Place
from benchmarks.rows import Row, Spent, in_turn, middle, spent
from data.door import SystemClock
from data.journal.comms_file import CommsFile
from data.journal.notes import SigningKey
from data.journal.opened import create
from data.journal.run_journal import RunJournal
from data.model.protocols import Journal, Record
from orchestration.communication_log import patch_all
from orchestration.compose import Panel, choose_models, compose_session

RUN_ID = "benchmark"
_NUMBERS = count(1)


def rows(place: Place) -> Iterator[Row]:
    """Seconds of a run without its end."""
    models, keys = choose_models(place.settings.model, {}, None, {})
    panel = Panel(models, load_prompts(None), keys)
    prepared = prepare(place.settings, place.store, panel.models, panel.prompts)
    found = in_turn(
        {
            "journal": lambda: _journaled(place, prepared, panel),
            "nothing": lambda: _played(place, prepared, panel, Nothing()),
        },
        place.rounds,
        place.tell,
    )
    with_it, without = found["journal"], found["nothing"]
    name = f"run of {prepared.decisions} decisions"
    against = "the journal replaced by nothing"
    yield Row(f"{name}: CPU", middle([s.cpu for s in with_it]), "s", against, middle([s.cpu for s in without]))
    yield Row(f"{name}: wall", middle([s.wall for s in with_it]), "s", against, middle([s.wall for s in without]))


class Nothing:
    """A journal that keeps nothing, not even for a moment."""

    def __init__(self) -> None:
        self._numbers = count()
        self._clock = SystemClock()

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        return Record(next(self._numbers), self._clock.now(), kind, {}, slot, tuple(caused_by))

    def blob(self, _data: bytes) -> str:
        return ""

    def sync(self) -> None:
        """There is nothing to keep."""

    def recall(self, _slot: str, _request: bytes) -> None:
        """There is nothing to remember."""


def _journaled(place: Place, prepared: Prepared, panel: Panel) -> Spent:
    number = next(_NUMBERS)
    with ExitStack() as stack:
        comms = stack.enter_context(closing(CommsFile(place.folder / "comms" / str(number), SystemClock())))
        key = SigningKey.new(f"agentrader/run/{RUN_ID}")
        log = create(place.folder / "whole" / str(number))
        journal = stack.enter_context(closing(RunJournal(log, SystemClock(), key, [comms])))
        return _played(place, prepared, panel, journal)


def _played(place: Place, prepared: Prepared, panel: Panel, behind: Journal) -> Spent:
    market, journal = market_in(place.store, prepared.question), Podium(behind, Nothing())
    with ExitStack() as stack:
        channel = stack.enter_context(closing(Channel(journal, SystemClock(), lambda _seconds: None)))
        stack.callback(patch_all(journal, run=RUN_ID))
        session = compose_session(
            prepared.question,
            panel,
            look=market.look,
            instruments=prepared.instruments,
            channel=channel,
            journal=journal,
            run_id=RUN_ID,
        )
        return spent(
            lambda: play(
                prepared,
                market.bars,
                lambda *_: nullcontext(session),
                journal,
                max_failures=1,
                check=lambda: None,
                on_step=lambda _step, _tape: None,
            )
        )
