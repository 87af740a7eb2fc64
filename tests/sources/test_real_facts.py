"""The traps that really are in the shared facts, each met by its rule."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from source_files import known, read_facts, utc, versions

from data.model.market import FactKind


def test_companyfacts_are_known_once_filed_and_restated_later(shared_data: Path) -> None:
    file = read_facts(shared_data / "fundamentals/sec_companyfacts_AAPL.csv.gz")
    counts, filed_that_day = {each.code: each.count for each in file.facts.findings}, utc("2013-04-25T04:00")
    assert (file.layout, file.rows) == ("SEC companyfacts", 23_259)
    told: dict[tuple[str, str], Decimal | None] = {}
    news = 0
    for fact in file.facts.facts:
        news += told.get((fact.key, fact.period)) != fact.value
        told[fact.key, fact.period] = fact.value
    assert news + counts["repeated"] + counts["same_day"] + counts["same_day_filings"] == file.rows
    assert counts["same_day_filings"] == 2
    that_day = [value for at, value in versions(file, "UnrecognizedTaxBenefits", "2012-09-29") if at == filed_that_day]
    assert that_day == [Decimal(2_062_000_000)], "of the 10-Q and the 8-K of that day, the 8-K came later"
    restated = [(str(at.date()), value) for at, value in versions(file, "Assets", "2008-09-27")]
    first, again, restatement, *later = restated
    assert first == ("2009-07-23", Decimal(39_572_000_000))
    assert restatement == ("2010-01-26", Decimal(36_171_000_000))
    assert again[1] == first[1]
    assert {value for _, value in later} == {restatement[1]}
    assert all(fact.known_at.hour in (4, 5) for fact in file.facts.facts), "the end of the filing day in New York"


def test_submissions_are_four_to_five_hours_later_than_their_z_says(shared_data: Path) -> None:
    file = read_facts(shared_data / "fundamentals/sec_submissions_AAPL.csv.gz")
    assert (len(file.facts.facts), file.facts.findings[0].count) == (1_000, 1_000)
    first = next(fact for fact in file.facts.facts if fact.period == "0000320193-25-000002")
    assert first.known_at == utc("2025-01-10T23:30:12")
    assert Counter(fact.key for fact in file.facts.facts)["sec_report"] == 151
    assert known(file, utc("2025-01-10T23:30:11")) == list(file.facts.facts[:-1])


def test_two_sources_agree_on_when_a_quarter_was_filed(shared_data: Path) -> None:
    """Polygon's acceptance times are true UTC; the SEC's, read as New York time, are the same instants."""
    statements = read_facts(shared_data / "fundamentals/polygon_quarterly_AAPL_MSFT_AMZN.csv.gz").facts.facts
    filings = read_facts(shared_data / "fundamentals/sec_submissions_AAPL.csv.gz").facts.facts
    accepted = {fact.known_at for fact in filings}
    quarters = {fact.known_at for fact in statements if fact.symbol == "AAPL" and fact.known_at > utc("2023-05-01")}
    assert len(quarters) == 5
    assert quarters <= accepted


def test_every_statement_of_the_file_says_when_it_was_filed(shared_data: Path) -> None:
    file = read_facts(shared_data / "fundamentals/polygon_quarterly_AAPL_MSFT_AMZN.csv.gz")
    assert {finding.code: finding.count for finding in file.facts.findings} == {"date_only": 5_201}
    assert (file.rows, len(file.facts.facts)) == (6_078, 6_078)


def test_news_of_which_304_rows_run_8_hours_ahead(shared_data: Path) -> None:
    file = read_facts(shared_data / "news/equity_news_2025Q1_AAPL_MSFT_AMZN.csv.gz")
    (finding,) = file.facts.findings
    assert (len(file.facts.facts), finding.count) == (351, 304)
    assert "+8 h" in finding.message
    assert file.facts.facts[0].known_at == utc("2025-01-01T05:00")
    assert file.facts.facts[-1].known_at < utc("2025-04-01")
    assert {fact.kind for fact in file.facts.facts} == {FactKind.NEWS}


def test_events_with_a_date_only_are_known_at_its_end(shared_data: Path) -> None:
    file = read_facts(shared_data / "news/btc_events_dykstranet_2010_2022.csv", BTC="BTCUSDT")
    pizza = file.facts.facts[0]
    assert (pizza.symbol, pizza.period, pizza.known_at) == ("BTCUSDT", "2010-05-22", utc("2010-05-23"))
    assert len(file.facts.facts) == 121
    assert all(fact.known_at - utc(fact.period) == timedelta(days=1) for fact in file.facts.facts)


def test_dividends_and_splits(shared_data: Path) -> None:
    dividends = read_facts(shared_data / "corporate_actions/dividends.csv")
    splits = read_facts(shared_data / "corporate_actions/splits.csv")
    special = [fact.key for fact in dividends.facts.facts if fact.effective_on == date(2004, 11, 15)]
    assert sorted(special) == ["CD", "SC"], "two dividends of one day are two facts"
    assert dividends.facts.findings[0].count == 37
    assert len(dividends.facts.facts) == 133
    assert [(fact.symbol, fact.value) for fact in splits.facts.facts][-2:] == [("AAPL", 4), ("AMZN", 20)]
    assert splits.facts.facts[-1].known_at == utc("2022-06-06T13:30")
