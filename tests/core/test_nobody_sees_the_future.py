"""From real rows to the bytes of the prompts: what became known after an instant changes no byte up to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from random import Random

import databases
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from main_job import play

from agents.llm.channel import Channel
from agents.prompt_files import load_prompts
from data.door import SystemClock
from data.journal.memory_journal import MemoryJournal
from data.model.decisions import Role
from data.model.instants import Interval
from data.model.market import Bar, Fact
from data.model.question import AgentSpec, Question
from data.model.trading import Book
from data.sources.ingest import ingest_bar_file, ingest_fact_file
from data.sources.instruments import instrument_for
from data.store.store import Batch, Store
from orchestration.compose import Panel, choose_models, compose_session, look_into

sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))
from source_files import checked, read_facts

SYMBOL, CASH = "AAPL", Decimal(10_000)
INGESTED = datetime(2025, 6, 1, tzinfo=UTC)
NEWS_SHIFT = timedelta(days=190)  # the shared news are of 2025, the bars end in 2024: their spacing is what counts


@lru_cache
def real_rows(folder: Path) -> tuple[tuple[Bar, ...], tuple[Fact, ...]]:
    """Daily bars, filings, reported figures, news and dividends of one share, by what was known in 2024."""
    file = checked(folder / "us_equity_daily/unadjusted/AAPL_1d.csv.gz", SYMBOL, "1d")
    bars = tuple(bar for bar in file.bars if bar.open_time.year == 2024)
    names = (
        "fundamentals/sec_submissions_AAPL.csv.gz",
        "fundamentals/sec_companyfacts_AAPL.csv.gz",
        "corporate_actions/dividends.csv",
    )
    facts = [fact for name in names for fact in read_facts(folder / name).facts.facts if fact.symbol == SYMBOL]
    news = read_facts(folder / "news/equity_news_2025Q1_AAPL_MSFT_AMZN.csv.gz").facts.facts
    facts += [replace(fact, known_at=fact.known_at - NEWS_SHIFT) for fact in news if fact.symbol == SYMBOL]
    return bars, tuple(fact for fact in facts if fact.known_at.year == 2024)


def fill(store: Store, bars: Sequence[Bar], facts: Sequence[Fact], at: datetime = INGESTED) -> None:
    store.add_bars(Batch("made", "0" * 64, at), bars)
    store.add_facts(Batch("made", "0" * 64, at), facts)


def prompts(store: Store, as_of: datetime) -> list[str]:
    """The bodies of all requests of one session, and the decision's record after them."""
    models, keys = choose_models("rules", {}, None, {})
    panel = Panel(models, load_prompts(None), keys)
    agents = tuple(
        AgentSpec(role=role.value, model="rules", prompt=panel.prompts[role].version, prompt_sha256="0" * 64)
        for role in Role
    )
    day = as_of.date()
    asked = Question(symbols=(SYMBOL,), interval=Interval.D1, start_on=day, end_on=day, agents=agents)
    journal = MemoryJournal(SystemClock())
    channel = Channel(journal, SystemClock(), lambda _seconds: None)
    session = compose_session(
        asked,
        panel,
        look=look_into(store, asked),
        instruments={SYMBOL: instrument_for(SYMBOL)},
        channel=channel,
        journal=journal,
        run_id="run",
    )
    session.run_session(SYMBOL, as_of, Book(as_of, CASH, CASH, Decimal(0), CASH))
    channel.close()
    seen = [str(record.body["body"]) for record in journal.records if record.kind == "llm.request"]
    assert len(seen) == 4
    return [*seen, *(str(record.body) for record in journal.records if record.kind in ("market.view", "decision"))]


def name(row: Bar | Fact) -> tuple[object, ...]:
    return (row.open_time,) if isinstance(row, Bar) else (row.kind, row.key, row.period)


def scrambled(row: Bar | Fact, random: Random) -> Bar | Fact:
    factor = Decimal(random.randrange(50, 200)) / 100
    if isinstance(row, Bar):
        prices = {name: getattr(row, name) * factor for name in ("open", "high", "low", "close")}
        return replace(row, **prices, volume=row.volume + random.randrange(1000))
    text = None if row.text is None else f"{row.text} {random.random()}"
    return replace(row, value=None if row.value is None else row.value * factor + 1, text=text)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(40, 180), st.randoms(use_true_random=False))
def test_scrambling_the_future_changes_no_byte(store: Store, shared_data: Path, place: int, random: Random) -> None:
    bars, facts = real_rows(shared_data)
    as_of = bars[place].known_at
    databases.empty(store.engine)
    store.put_instrument(instrument_for(SYMBOL))
    fill(store, bars, facts)
    before = prompts(store, as_of)
    later = [scrambled(row, random) for row in (*bars, *facts) if row.known_at > as_of and random.random() < 0.7]
    past = [row for row in (*bars, *facts) if row.known_at <= as_of]
    event(f"{len(later) // 200 * 200} or more rows of another future")
    databases.empty(store.engine)
    store.put_instrument(instrument_for(SYMBOL))
    rows = [*past, *later]
    fill(store, [row for row in rows if isinstance(row, Bar)], [row for row in rows if isinstance(row, Fact)])
    named = {name(row): row for row in random.sample(past, 30)}  # one batch says one thing of each
    corrected = [scrambled(row, random) for row in named.values()]
    fill(
        store,
        [row for row in corrected if isinstance(row, Bar)],
        [replace(row, known_at=INGESTED) for row in corrected if isinstance(row, Fact)],
        INGESTED + timedelta(days=1),
    )
    assert prompts(store, as_of) == before


def test_what_is_known_does_change_the_prompts(store: Store, shared_data: Path) -> None:
    """The test above could fail: a row of the past does reach the prompts."""
    bars, facts = real_rows(shared_data)
    as_of, seen = bars[150].known_at, []
    for change in (Decimal(1), Decimal("1.01")):
        databases.empty(store.engine)
        store.put_instrument(instrument_for(SYMBOL))
        fill(store, [replace(bar, close=bar.close * change) if bar is bars[149] else bar for bar in bars], facts)
        seen.append(prompts(store, as_of))
    asked = [told[:4] for told in seen]  # the decision after them may be the same
    assert all(first != second for first, second in zip(*asked, strict=True))


@pytest.fixture
def apple(store: Store, shared_data: Path, database_url: str) -> str:
    clock = SystemClock()
    ingest_bar_file(store, shared_data / "us_equity_daily/unadjusted/AAPL_1d.csv.gz", SYMBOL, Interval.D1, clock=clock)
    for name in ("sec_submissions_AAPL.csv.gz", "sec_companyfacts_AAPL.csv.gz"):
        ingest_fact_file(store, shared_data / "fundamentals" / name, clock=clock)
    return database_url


def test_a_filing_after_the_close_is_not_in_that_days_prompts(tmp_path: Path, apple: str) -> None:
    """The 10-Q of 2024-08-01 was accepted at 18:03 in New York; its file says 18:03Z, two hours before the close."""
    window = ("--symbol", SYMBOL, "--interval", "1d", "--start_date", "2024-08-01", "--end_date", "2024-08-05")
    played = play(tmp_path, apple, *window, "--model", "rules")
    asked = [body["body"] for body in played.of("llm.request") if body["agent"] == "Fundamental_Analyst"]
    assert ["2024-08-01T22:03:34Z" in body for body in asked] == [False, True, True]
    assert not any("2024-08-01T18:03:34Z" in body for body in asked)
    views = played.of("market.view")
    sales = [{fact["period"] for fact in view["new_facts"] if fact["key"].startswith("Revenue")} for view in views]
    assert "2024-03-31/2024-06-29" not in sales[0] | sales[1], "figures filed on a day are known once it is over"
    assert any("2024-06-29" in period for period in sales[2])
