"""A recorded run, run again: the same code, with the network and the database shut.

Bars and views come from the run's own records, replies by slot and request digest. It ends with the same result digest,
or stops at the first place that differs and says which. With other prompts it tells what would have been asked, and
lets the recorded replies stand. It writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from agents.llm.channel import Channel
from agents.llm.models import NO_KEY, resolve_model
from agents.prompt_files import Prompt, load_prompts
from backtesting.audit.recorded_views import RecordedViews, recorded_instruments
from backtesting.audit.story import parse
from backtesting.core.begun import Begun, read_begun
from backtesting.core.environment import changed_files
from backtesting.core.loop import Tape
from backtesting.core.market import Market
from backtesting.core.podium import Podium
from backtesting.core.preparation import Prepared
from backtesting.core.rehearsal import Diverged, Rehearsal
from backtesting.core.run import Ending, Overheard, Tally, play
from backtesting.core.timeline import Step
from data.journal.shelf import Shelf
from data.model.canonical import Json
from data.model.decisions import Role
from data.model.differences import Difference
from data.model.errors import DataError, RunIncomplete
from data.model.instants import iso
from data.model.market import Bar, Fact, MarketView
from data.model.protocols import Clock, Record
from orchestration.communication_log import patch_all
from orchestration.compose import Panel, compose_session

_END = "the record ends here"


@dataclass(frozen=True, slots=True)
class Changed:
    """A request that would have been another: its slot, and for each text that differs its place and both versions."""

    slot: str
    seq: int
    texts: tuple[Difference, ...]


@dataclass(frozen=True)
class Replayed:
    """What a replay came to. `digest` is None unless the whole run was met again; `divergence` is where it parted."""

    begun: Begun
    recorded_digest: str | None
    digest: str | None
    tape: Tape
    replies: int
    divergence: Diverged | None
    changed_files: tuple[str, ...]
    asked_otherwise: tuple[Changed, ...]

    @property
    def is_same(self) -> bool:
        """Whether the run was met again to its end, with the result it recorded."""
        return self.digest is not None and self.digest == self.recorded_digest


class Reached(RunIncomplete):
    """The replay is where it was asked to stop."""


@dataclass
class Replay:
    """`until` ends it behind the bar that opens then; `other_prompts` are asked in the place of the run's own."""

    folder: Path
    clock: Clock
    until: datetime | None = None
    other_prompts: Path | None = None
    watch: Callable[[int, int], None] = lambda _decided, _of: None

    def run(self) -> Replayed:
        """Raises DataError for a folder whose log is not a run's."""
        begun = read_begun(self.folder)
        if begun is None:
            raise DataError(f"{self.folder} holds no complete record: there is nothing to replay")
        with ExitStack() as stack:
            shelf = stack.enter_context(closing(Shelf(self.folder)))
            changes: list[Changed] = []
            rehearsal = Rehearsal(_Ended(), shelf, [tally := Tally()], self._lenient(changes))
            ending, divergence = self._meet(begun, shelf, rehearsal, tally, stack)
            recorded = [shelf.read(place).body["result_digest"] for place in shelf.live() if place.kind == "run.end"]
        result = str(recorded[-1]) if recorded and recorded[-1] else None
        return Replayed(
            begun=begun,
            recorded_digest=result,
            digest=ending.digest if result else None,  # of a run that stopped between two bars nothing is left over
            tape=ending.tape,
            replies=tally.replies,
            divergence=divergence,
            changed_files=changed_files(begun.files) if divergence else (),
            asked_otherwise=tuple(changes),
        )

    def _meet(
        self, begun: Begun, shelf: Shelf, rehearsal: Rehearsal, tally: Tally, stack: ExitStack
    ) -> tuple[Ending, Diverged | None]:
        prepared, last = _prepared(begun, shelf), Tape()

        def step(step: Step, tape: Tape) -> None:
            nonlocal last
            last = tape
            self.watch(len(tape.decisions), prepared.decisions)
            if self.until is not None and min(bar.open_time for bar in step.bars.values()) >= self.until:
                raise Reached("the bar that was asked for is reached")

        panel = self._panel(begun)
        podium = Podium(rehearsal, rehearsal)
        channel = stack.enter_context(closing(_channel(podium, self.clock, begun)))
        stack.callback(patch_all(podium, run=begun.run_id))
        market = _market(shelf, begun)
        session = compose_session(
            prepared.question,
            panel,
            look=market.look,
            instruments=prepared.instruments,
            channel=channel,
            journal=podium,
            run_id=begun.run_id,
        )
        try:
            ending = play(
                prepared,
                market.bars,
                lambda *_: nullcontext(Overheard(session, tally)),
                podium,
                max_failures=prepared.decisions + 1,
                check=lambda: None,
                on_step=step,
            )
            if ending.digest is not None:
                rehearsal.require_all_met()
        except Diverged as divergence:
            return Ending(last, str(divergence), None), divergence
        return ending, None

    def _panel(self, begun: Begun) -> Panel:
        """The prompts of today, unless the run brought its own."""
        models = {Role(agent.role): resolve_model(agent.model) for agent in begun.question.agents}
        prompts: Mapping[Role, Prompt] = begun.prompts if begun.has_own_prompts else load_prompts(None)
        if self.other_prompts is not None:
            prompts = load_prompts(self.other_prompts)
        return Panel(models, prompts, dict.fromkeys(models.values(), NO_KEY))

    def _lenient(self, changes: list[Changed]) -> Callable[[Record, tuple[Difference, ...]], None] | None:
        if self.other_prompts is None:
            return None
        return lambda record, texts: changes.append(Changed(record.slot or "", record.seq, texts))


class _Ended:
    """The journal behind a record: there is nothing."""

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        raise RunIncomplete(_END)

    def blob(self, data: bytes) -> str:
        raise RunIncomplete(_END)

    def sync(self) -> None:
        """Nothing was written."""


class _Shut(httpx.BaseTransport):
    """The network of a replay."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"a replay asked {request.url.host}")


def _channel(podium: Podium, clock: Clock, begun: Begun) -> Channel:
    accepted = begun.invocation.get("accept_models")
    return Channel(
        podium,
        clock,
        lambda _seconds: None,
        accept_models=tuple(str(name) for name in accepted) if isinstance(accepted, list) else (),
        memory=podium,
        around=lambda _transport: _Shut(),
    )


def _prepared(begun: Begun, shelf: Shelf) -> Prepared:
    body, instruments = begun.record.body, recorded_instruments(begun.record)
    actions: dict[str, list[Fact]] = {symbol: [] for symbol in instruments}
    for place in shelf.live():
        if place.kind == "action":
            action = parse(Fact, shelf.read(place).body)
            actions[action.symbol].append(action)
    return Prepared(
        question=begun.question,
        instruments=instruments,
        actions=actions,
        bars=parse(int, body["bars_in_window"]),
        decisions=parse(int, body["decisions_in_window"]),
        data_digest=str(body["data_digest"]),
        warnings=(),
    )


def _market(shelf: Shelf, begun: Begun) -> Market:
    """The window as the run recorded it."""
    live = shelf.live()
    views = (shelf.read(place) for place in live if place.kind == "market.view")
    recorded = RecordedViews.of(begun.record)

    def look(symbol: str, as_of: datetime) -> MarketView:
        record = next(views, None)
        if record is None:
            raise RunIncomplete(_END)
        found, asked = f"{record.body['symbol']} at {record.body['as_of']}", f"{symbol} at {iso(as_of)}"
        if found != asked:
            raise Diverged(record.slot, record.kind, record.seq, Difference("", found, asked))
        return recorded.take(record)

    def bars(symbol: str) -> Generator[Bar, None, None]:
        for place in live:
            if place.kind == "bar":
                body: Mapping[str, Json] = shelf.read(place).body
                if body["symbol"] == symbol:
                    yield parse(Bar, body["bar"])

    return Market(look, bars)
