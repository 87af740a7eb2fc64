"""From what the user asked to a question that can be answered: instruments, window, warnings, or one clear refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from math import ceil

from pydantic import ValidationError

from agents.llm.models import ModelSpec
from agents.prompt_files import Prompt
from backtesting.core.arguments import Settings
from data.model.decisions import Role
from data.model.errors import DataError, SyntheticDataError, UsageError
from data.model.market import AssetClass, Fact, FactKind, Instrument
from data.model.question import AgentSpec, Costs, Limits, Question
from data.sources.calendars import end_of_day, sessions_between
from data.sources.ingest import missing_window_command
from data.sources.quality import split_like
from data.store.store import Store
from data.view import LOOKBACK, reach


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the first bar. `bars` and `decisions` count the window."""

    question: Question
    instruments: Mapping[str, Instrument]
    actions: Mapping[str, list[Fact]]
    bars: int
    decisions: int
    data_digest: str
    warnings: tuple[str, ...]


def prepare(
    settings: Settings,
    store: Store,
    models: Mapping[Role, ModelSpec],
    prompts: Mapping[Role, Prompt],
    warmup: int = LOOKBACK,
) -> Prepared:
    """`warmup` bars up to the window's first are part of the data. Raises UsageError or DataError with what to do."""
    instruments = {symbol: _instrument(settings, store, symbol) for symbol in settings.symbols}
    for instrument in instruments.values():
        _require_window(settings, store, instrument)
    sessions = {symbol: _sessions(settings, store, symbol) for symbol in settings.symbols}
    if settings.mini:
        settings = replace(settings, end_on=max(sorted(held)[:2][-1] for held in sessions.values()))
        sessions = {symbol: _sessions(settings, store, symbol) for symbol in settings.symbols}
    counts = {symbol: sum(held.values()) for symbol, held in sessions.items()}
    known_by = max(end_of_day(instrument.calendar, settings.end_on) for instrument in instruments.values())
    _refuse_synthetic(settings, store, known_by)
    actions = {
        symbol: [] if _adjustment(settings, store, symbol) else _actions(settings, store, symbol)
        for symbol in settings.symbols
    }
    return Prepared(
        question=_question(settings, models, prompts),
        instruments=instruments,
        actions=actions,
        bars=sum(counts.values()),
        decisions=sum(ceil(count / settings.decide_every) for count in counts.values()),
        data_digest=store.data_digest(settings.symbols, settings.interval, reach(settings.start_on, known_by, warmup)),
        warnings=(
            *_gaps(settings, instruments, sessions),
            *_adjusted(settings, store),
            *_dropped(settings, store),
            *_unrecorded_splits(settings, store, instruments, actions),
        ),
    )


def _instrument(settings: Settings, store: Store, symbol: str) -> Instrument:
    instrument = store.instrument(symbol)
    if instrument is None:
        known = sorted({window.symbol for window in store.windows()})
        alike = get_close_matches(symbol.upper(), known, 1)
        if alike:
            bring = _command(settings, symbol)
            raise UsageError(f"unknown symbol {symbol}; did you mean {alike[0]}? Otherwise bring it with: {bring}")
        at_hand = ", ".join(known) or "none yet"
        raise UsageError(
            f"unknown symbol {symbol}; symbols at hand: {at_hand}. Bring it with: {_command(settings, symbol)}"
        )
    if instrument.asset_class is AssetClass.PERPETUAL:
        raise UsageError(f"{symbol} is a perpetual: refused, because its funding payments are not in the data")
    if settings.market and settings.market != instrument.calendar:
        raise UsageError(
            f"--market {settings.market}: {symbol} was ingested with the calendar {instrument.calendar}, which decides "
            "when its bars were known; ingest it again under another symbol to change that"
        )
    return instrument


def _require_window(settings: Settings, store: Store, instrument: Instrument) -> None:
    held = [w for w in store.windows(instrument.symbol) if w.interval == settings.interval]
    expected = sessions_between(instrument.calendar, settings.start_on, settings.end_on)
    if not expected:
        raise DataError(f"{instrument.calendar} has no session from {settings.start_on} to {settings.end_on}")
    if not held or held[0].first_on > expected[0] or held[0].last_on < expected[-1]:
        if not held and (made := _resampling(settings, store, instrument.symbol)):
            raise DataError(f"no {settings.interval} bars of {instrument.symbol}; make them of shorter ones: {made}")
        have = f"the data holds {held[0].first_on} to {held[0].last_on}" if held else "the data holds none"
        raise DataError(
            f"no {settings.interval} bars of {instrument.symbol} for all of {settings.start_on} to {settings.end_on}: "
            f"{have}. Bring them with: {_command(settings, instrument.symbol)}"
        )


def _resampling(settings: Settings, store: Store, symbol: str) -> str | None:
    """The command that makes the bars of the longest of the shorter ones at hand; None where none fit."""
    wanted = settings.interval.length
    fit = [w.interval for w in store.windows(symbol) if w.interval.length < wanted and not wanted % w.interval.length]
    if not fit:
        return None
    longest = max(fit, key=lambda interval: interval.length)
    return f"python -m scripts.data resample --symbol {symbol} --interval {longest} --into {settings.interval}"


def _sessions(settings: Settings, store: Store, symbol: str) -> Mapping[date, int]:
    held = store.session_counts(symbol, settings.interval, settings.start_on, settings.end_on)
    if not held:
        raise DataError(
            f"no {settings.interval} bar of {symbol} from {settings.start_on} to {settings.end_on}. "
            f"Bring them with: {_command(settings, symbol)}"
        )
    return held


def _command(settings: Settings, symbol: str) -> str:
    return missing_window_command(symbol, settings.interval, settings.start_on, settings.end_on, settings.market)


def _refuse_synthetic(settings: Settings, store: Store, known_by: datetime) -> None:
    sources = store.synthetic_sources(settings.symbols, settings.interval, known_by)
    if sources:
        raise SyntheticDataError(
            f"synthetic rows from {', '.join(sources)}: an authentic backtest runs on real data only; "
            "ingest real bars under another symbol"
        )


def _question(settings: Settings, models: Mapping[Role, ModelSpec], prompts: Mapping[Role, Prompt]) -> Question:
    try:
        return Question(
            symbols=settings.symbols,
            interval=settings.interval,
            start_on=settings.start_on,
            end_on=settings.end_on,
            agents=tuple(
                AgentSpec(
                    role=role.value,
                    model=models[role].shown,
                    prompt=prompts[role].version,
                    prompt_sha256=prompts[role].sha256,
                )
                for role in Role
            ),
            protocol=settings.protocol,
            temperature=settings.temperature,
            seed=settings.seed,
            initial_cash=settings.initial_cash,
            decide_every=settings.decide_every,
            costs=Costs(commission_bps=settings.commission_bps, slippage_bps=settings.slippage_bps),
            limits=Limits(position_size=settings.position_size, allow_short=settings.allow_short),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = "--" + "_".join(str(part) for part in first["loc"]) if first["loc"] else "the flags"
        raise UsageError(f"{where}: {first['msg']}") from None


def _actions(settings: Settings, store: Store, symbol: str) -> list[Fact]:
    return list(store.actions_between(symbol, settings.start_on, settings.end_on))


def _adjustment(settings: Settings, store: Store, symbol: str) -> str | None:
    text = store.adjustments((symbol,), settings.interval).get(symbol, "none")
    return None if text == "none" else text


def _adjusted(settings: Settings, store: Store) -> Iterator[str]:
    for symbol in settings.symbols:
        if text := _adjustment(settings, store, symbol):
            yield (
                f"{symbol} is adjusted ({text}): its levels contain later corporate actions, which agents could read "
                "as knowledge of the future; splits and dividends are not applied again"
            )


def _dropped(settings: Settings, store: Store) -> Iterator[str]:
    for symbol in settings.symbols:
        if gone := store.dropped_bars(symbol, settings.interval, settings.start_on, settings.end_on):
            yield (
                f"{symbol}: {gone:,} bars of the window were dropped later, and are played as they were known then; "
                "to do without them, ingest the right file under another symbol"
            )


def _unrecorded_splits(
    settings: Settings, store: Store, instruments: Mapping[str, Instrument], actions: Mapping[str, list[Fact]]
) -> Iterator[str]:
    for symbol, traded in instruments.items():
        if traded.asset_class is not AssetClass.EQUITY or _adjustment(settings, store, symbol):
            continue
        told = {action.effective_on for action in actions[symbol] if action.kind is FactKind.SPLIT}
        bars = store.first_bars(symbol, settings.interval, settings.start_on, settings.end_on)
        for day, ratio in split_like(bars):
            if day not in told:
                yield (
                    f"{symbol} opens on {day} as after a split of {ratio}, and no split is on record, so the jump "
                    "counts as gain or loss; if it was one, bring it: python -m scripts.ingest facts FILE"
                )


def _gaps(
    settings: Settings, instruments: Mapping[str, Instrument], sessions: Mapping[str, Mapping[date, int]]
) -> Iterator[str]:
    for symbol, held in sessions.items():
        calendar = instruments[symbol].calendar
        expected = sessions_between(calendar, settings.start_on, settings.end_on)
        per_day = timedelta(days=1) // settings.interval.length
        if instruments[symbol].is_always_open:
            missing = len(expected) * per_day - sum(held.values())
        else:
            missing = len(set(expected) - set(held))
        if missing > 0:
            what = "bars" if instruments[symbol].is_always_open else "sessions"
            yield f"{symbol}: {missing} {what} are missing inside the window; orders wait for the next real bar"
