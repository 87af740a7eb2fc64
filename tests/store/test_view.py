"""What an agent may see: curated facts, bars in today's shares, and nothing from after the instant."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_rows import MADE, bar, batch, fact, hour, split
from sqlalchemy import event, text

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.sources.ingest import ingest_bar_file, ingest_fact_file
from data.store.store import Store
from data.view import STALE_AFTER, build_market_view

H1, D1 = Interval.H1, Interval.D1


class Later:
    """A clock long after all the data."""

    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC)


def day(number: int, close: str | int, **changes: object) -> Bar:
    """A daily bar of the session `number` days after 2025-04-01."""
    opened = hour(24 * number + 13.5)
    known = {"open_time": opened, "known_at": opened + timedelta(hours=6.5), "session_on": opened.date()}
    return bar(0, close, interval=D1, **known | changes)


@pytest.fixture
def made(any_store: Store) -> Store:
    any_store.put_instrument(MADE)
    return any_store


def closes(store: Store, as_of: float, lookback: int = 250) -> list[str]:
    return [str(each.close.normalize()) for each in build_market_view(store, "MADE", D1, hour(as_of), lookback).bars]


def test_without_a_known_bar_there_is_no_view(made: Store) -> None:
    made.add_bars(batch(), [bar(0), bar(0, symbol="UNLISTED")])
    for symbol, interval, at in (("MADE", H1, 0.5), ("MADE", D1, 99), ("UNLISTED", H1, 99), ("NONE", H1, 99)):
        with pytest.raises(DataError, match=f"no {interval} bar of {symbol} was known at 2025-04-0"):
            build_market_view(made, symbol, interval, hour(at))


def test_a_view_holds_the_last_bars_and_its_instrument(made: Store) -> None:
    made.add_bars(batch(), [bar(n, 100 + n) for n in range(9)])
    view = build_market_view(made, "MADE", H1, hour(5.5), lookback=3)
    assert (view.instrument, view.as_of, view.interval) == (MADE, hour(5.5), H1)
    assert view.bars == (bar(2, 102), bar(3, 103), bar(4, 104))
    assert view.price == 104


def test_bars_before_a_split_are_restated_once_it_applies(made: Store) -> None:
    """Ten for one from the session of 2025-04-04, known at its open."""
    made.add_bars(batch(), [day(0, 1000), day(1, 1010), day(2, 1020), day(3, "102.5"), day(4, 103)])
    applied = split(24 * 3 + 13.5, date(2025, 4, 4), 10)
    made.add_facts(batch(), [applied])
    assert closes(made, 24 * 3 + 12) == ["1E+3", "1.01E+3", "1.02E+3"]
    assert closes(made, 24 * 3 + 19) == ["1E+3", "1.01E+3", "1.02E+3"]  # in the session, before its bar is known
    assert closes(made, 24 * 3 + 20) == ["1E+2", "101", "102", "102.5"]
    view = build_market_view(made, "MADE", D1, hour(24 * 9))
    assert [str(each.close.normalize()) for each in view.bars] == ["1E+2", "101", "102", "102.5", "103"]
    assert [each.volume for each in view.bars] == [105, 105, 105, Decimal("10.5"), Decimal("10.5")]
    assert (view.bars[0].open, view.bars[0].high, view.bars[0].low) == (100, Decimal("100.1"), Decimal("99.9"))
    assert view.splits == (applied,)
    assert [each.kind for each in view.facts] == []
    assert view.last == day(4, 103)


def test_splits_multiply_and_thirds_are_rounded_at_eight_places(made: Store) -> None:
    made.add_bars(batch(), [day(0, 700), day(1, 100), day(2, 200)])
    made.add_facts(batch(), [split(24, date(2025, 4, 2), 7), split(48, date(2025, 4, 3), "0.3333333333")])
    view = build_market_view(made, "MADE", D1, hour(99))
    assert [str(each.close) for each in view.bars] == ["300.00000003", "300.00000003", "200"]
    assert [each.effective_on for each in view.splits] == [date(2025, 4, 2), date(2025, 4, 3)]


def test_a_split_before_the_first_bar_is_history(made: Store) -> None:
    made.add_bars(batch(), [day(5, 100), day(6, 101)])
    made.add_facts(batch(), [split(24, date(2025, 4, 2), 10), split(24, date(2025, 4, 6), 10)])
    view = build_market_view(made, "MADE", D1, hour(999))
    assert view.splits == ()
    assert view.bars == (day(5, 100), day(6, 101))


def test_adjusted_prices_are_left_alone(made: Store) -> None:
    made.add_bars(batch(adjustment="split+dividend"), [day(0, 100), day(1, 101)])
    made.add_facts(batch(), [split(24, date(2025, 4, 2), 10)])
    view = build_market_view(made, "MADE", D1, hour(999))
    assert (view.bars, view.splits) == ((day(0, 100), day(1, 101)), ())


def test_a_split_that_was_corrected_counts_as_it_was_known(made: Store) -> None:
    made.add_bars(batch(), [day(0, 1000), day(1, 100), day(2, 100)])
    made.add_facts(batch(), [split(24, date(2025, 4, 2), 10), split(50, date(2025, 4, 2), 5)])
    assert closes(made, 49) == ["1E+2", "1E+2"]
    assert closes(made, 999) == ["2E+2", "1E+2", "1E+2"]


@pytest.mark.parametrize("ratio", [0, -2, None])
def test_a_split_that_is_none_is_an_error(made: Store, ratio: int | None) -> None:
    made.add_bars(batch(), [day(0, 100), day(1, 101)])
    made.add_facts(batch(), [split(24, date(2025, 4, 2), ratio)])
    with pytest.raises(DataError, match="a split of MADE on 2025-04-02 with the ratio"):
        build_market_view(made, "MADE", D1, hour(99))


def test_the_desk_is_not_flooded(made: Store) -> None:
    made.add_bars(batch(), [bar(0)])
    facts = [fact(n / 10, None, f"story {n}", kind=FactKind.NEWS, text="…") for n in range(40)]
    facts += [fact(n / 10, n, "vix", period=str(n), symbol="*") for n in range(40)]
    facts += [fact(n / 10, n, "NetIncomeLoss", period=str(n), kind=FactKind.FUNDAMENTAL) for n in range(40)]
    facts += [fact(n / 10, n, "DeferredTaxes", period=str(n), kind=FactKind.FUNDAMENTAL) for n in range(40)]
    made.add_facts(batch(), facts)
    view = build_market_view(made, "MADE", H1, hour(2))
    taken = [(each.kind.value, each.key) for each in view.facts]
    assert (taken.count(("macro", "vix")), taken.count(("fundamental", "NetIncomeLoss"))) == (5, 12)
    assert [key for kind, key in taken if kind == "news"] == [f"story {n}" for n in range(20, 5, -1)]
    assert {key for kind, key in taken if kind == "fundamental"} == {"NetIncomeLoss"}
    assert [each.known_at for each in view.facts] == sorted((each.known_at for each in view.facts), reverse=True)


@pytest.mark.parametrize("kind", STALE_AFTER)
def test_what_is_stale_stays_out(made: Store, kind: FactKind) -> None:
    key = "Assets" if kind is FactKind.FUNDAMENTAL else "key"
    end = 24 * 1000
    aged = STALE_AFTER[kind].days * 24
    made.add_bars(batch(), [bar(end - 1)])
    made.add_facts(batch(), [fact(end - aged, 1, key, kind=kind, period="1"), fact(end - aged - 1, 2, key, kind=kind)])
    assert [int(each.value or 0) for each in build_market_view(made, "MADE", H1, hour(end)).facts] == [1]


def test_a_view_changes_its_digest_with_its_content(made: Store) -> None:
    made.add_bars(batch(), [bar(0), bar(1)])
    first = build_market_view(made, "MADE", H1, hour(2)).digest
    assert build_market_view(made, "MADE", H1, hour(2)).digest == first
    made.add_facts(batch(), [fact(1)])
    assert build_market_view(made, "MADE", H1, hour(2)).digest != first


@pytest.fixture
def apple(any_store: Store, shared_data: Path) -> Store:
    """Apple's daily bars and all that is known of the company."""
    clock = Later()
    ingest_bar_file(any_store, shared_data / "us_equity_daily/unadjusted/AAPL_1d.csv.gz", "AAPL", D1, clock=clock)
    for name in (
        "fundamentals/sec_companyfacts_AAPL.csv.gz",
        "fundamentals/sec_submissions_AAPL.csv.gz",
        "fundamentals/polygon_quarterly_AAPL_MSFT_AMZN.csv.gz",
        "corporate_actions/dividends.csv",
    ):
        ingest_fact_file(any_store, shared_data / name, clock=clock)
    return any_store


SCRAMBLE = """
    SET LOCAL session_replication_role = replica;
    UPDATE market.bars SET close = close * 3, volume = 1, flags = '{scrambled}' WHERE known_at > :after;
    DELETE FROM market.bars WHERE known_at > :after AND extract(day FROM open_time)::int % 2 = 0;
    UPDATE market.facts SET value = 1, body = 'scrambled', unit = 'x' WHERE known_at > :after;
    DELETE FROM market.facts WHERE known_at > :after AND fact_id % 3 = 0;
"""


def test_apples_past_does_not_know_its_future(apple: Store) -> None:
    """Scrambling what became known after the results of 2024-08-01 changes no earlier view by one byte."""
    after = datetime(2024, 8, 1, 20, 30, tzinfo=UTC)
    instants = [after - timedelta(days=days, hours=hours) for days in (0, 1, 40, 400) for hours in (0, 4)]
    seen = [build_market_view(apple, "AAPL", D1, at).digest for at in instants]
    end = build_market_view(apple, "AAPL", D1, after + timedelta(days=90)).digest
    with apple.engine.begin() as connection:
        for statement in SCRAMBLE.strip().rstrip(";").split(";"):
            connection.execute(text(statement), {"after": after} if ":after" in statement else {})
    assert [build_market_view(apple, "AAPL", D1, at).digest for at in instants] == seen
    assert build_market_view(apple, "AAPL", D1, after + timedelta(days=90)).digest != end


def test_apples_figures_are_known_when_they_were_filed(apple: Store) -> None:
    """The year to 2024-09-28 was in the 10-K of 2024-11-01, known at the end of that day in New York."""

    def income(at: datetime) -> list[str]:
        facts = build_market_view(apple, "AAPL", D1, at).facts
        return [each.period for each in facts if each.key == "NetIncomeLoss"]

    filed = datetime(2024, 11, 2, 4, tzinfo=UTC)
    assert "2023-10-01/2024-09-28" not in income(filed - timedelta(seconds=1))
    assert income(filed)[0] == "2023-10-01/2024-09-28"


def test_a_view_reads_by_index(apple: Store, shared_data: Path) -> None:
    """However long the history is, no statement walks through all of a table's bars or facts."""
    ingest_bar_file(apple, shared_data / "crypto_spot/BTCUSDT_1h.csv.gz", "BTCUSDT", H1, clock=Later())
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(apple.engine, "before_cursor_execute", note)
    try:
        for symbol, interval, at in (
            ("BTCUSDT", H1, datetime(2020, 4, 1, tzinfo=UTC)),
            ("BTCUSDT", H1, datetime(2025, 4, 1, tzinfo=UTC)),
            ("AAPL", D1, datetime(2024, 11, 20, tzinfo=UTC)),
        ):
            assert len(build_market_view(apple, symbol, interval, at).bars) == 250
    finally:
        event.remove(apple.engine, "before_cursor_execute", note)
    reads = [(statement, parameters) for statement, parameters in asked if "bars" in statement or "facts" in statement]
    assert len(reads) >= 6
    with apple.engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
        for statement, parameters in reads:
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            assert not re.search(r"Seq Scan on (bars|facts)", "\n".join(str(row[0]) for row in plan)), statement


def test_nvidias_split_is_restated_in_real_bars(any_store: Store, shared_data: Path) -> None:
    ingest_bar_file(any_store, shared_data / "us_equity_daily/unadjusted/NVDA_1d.csv.gz", "NVDA", D1, clock=Later())
    effective = date(2024, 6, 10)
    opened = datetime(2024, 6, 10, 13, 30, tzinfo=UTC)
    fact_of_it = Fact(
        "NVDA", FactKind.SPLIT, "split", opened, "made", "2024-06-10", Decimal(10), effective_on=effective
    )
    any_store.add_facts(batch(), [fact_of_it])
    before = build_market_view(any_store, "NVDA", D1, opened)
    after = build_market_view(any_store, "NVDA", D1, opened + timedelta(hours=6.5))
    assert before.splits == ()
    assert after.splits == (fact_of_it,)
    pairs = list(zip(before.bars[1:], after.bars[:-1], strict=True))
    assert all(
        old == replace(new, **{n: getattr(old, n) for n in ("open", "high", "low", "close", "volume")})
        for old, new in pairs
    )
    assert all(old.close == new.close * 10 and old.volume * 10 == new.volume for old, new in pairs)
    jumps = [abs(b.close / a.close - 1) for a, b in zip(after.bars, after.bars[1:], strict=False)]
    assert max(jumps) < Decimal("0.3")
