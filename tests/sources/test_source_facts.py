"""Facts out of files: the layout by its header, the instant each is known, versions, and what is refused."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_files import read_facts, utc, versions, write

from data.model.errors import DataError
from data.model.market import Fact, FactKind
from data.sources.facts import key_of, settle
from data.sources.rows import Row

OWN = "symbol,kind,key,known_at,value,unit,text,period,source,effective_on"
SEC = "symbol,concept,unit,period_start,period_end,value,accession,form,filed"
NEWS = "symbol,published_at,published_at_raw,title,description,source,url"
POLYGON = "symbol,period_start,period_end,filing_date,acceptance_datetime,item,value,unit"


def one(path: Path) -> Fact:
    (fact,) = read_facts(path).facts.facts
    return fact


@pytest.mark.parametrize(
    ("row", "known_at"),
    [
        ("*,macro,cpi,2025-04-10T12:30:00Z,2.4,percent,,2025-03,BLS,", "2025-04-10T12:30"),
        ("*,macro,cpi,2025-04-10T08:30:00-04:00,2.4,percent,,2025-03,BLS,", "2025-04-10T12:30"),
        ("AAPL,news,n1,2025-04-10,,,something happened,,,", "2025-04-11T04:00"),  # the day ends in New York
        ("BTCUSDT,alternative,hashrate,2025-04-10,850,EH/s,,2025-04-10,,", "2025-04-11T00:00"),  # in UTC
        ("NVDA,split,split,,10,,,,,2024-06-10", "2024-06-10T13:30"),  # the open of its session
        ("NVDA,split,split,2024-05-22T20:20:00Z,10,,,,,2024-06-10", "2024-05-22T20:20"),
        ("NVDA,split,split,2024-06-11,10,,,,,2024-06-10", "2024-06-10T13:30"),  # never later than that
        ("AAPL,dividend,cash,,0.25,USD,,,,2024-11-09", "2024-11-11T14:30"),  # a Saturday: the next session
    ],
)
def test_our_own_layout_says_when_a_fact_was_known(tmp_path: Path, row: str, known_at: str) -> None:
    assert one(write(tmp_path, OWN, row)).known_at == utc(known_at)


def test_our_own_layout_keeps_every_column(tmp_path: Path) -> None:
    path = write(tmp_path, OWN, "*,macro,cpi,2025-04-10T12:30:00Z,2.4,percent,as expected,2025-03,BLS,")
    assert one(path) == Fact(
        symbol="*",
        kind=FactKind.MACRO,
        key="cpi",
        known_at=utc("2025-04-10T12:30"),
        source="BLS",
        period="2025-03",
        value=Decimal("2.4"),
        unit="percent",
        text="as expected",
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("*,rumour,x,2025-04-10,1,,,,,", "kind 'rumour' is none of fundamental, news"),
        ("*,macro,,2025-04-10,1,,,,,", "key is empty"),
        ("*,macro,x,2025-04-10,,,,,,", "neither a value nor a text"),
        ("*,macro,x,,1,,,,,", "known_at is empty"),
        ("*,macro,x,2025-04-10T10:00:00,1,,,,,", "has no zone"),
        ("*,macro,x,yesterday,1,,,,,", "is not a time"),
        ("*,macro,x,2025-04-10,NaN,,,,,", "value 'NaN' is not a number"),
        ("NVDA,split,split,,0,,,,,2024-06-10", "a split needs a value above zero"),
        ("NVDA,split,split,,10,,,,,", "effective_on is empty"),
        ("*,split,split,,10,,,,,2024-06-10", "a split needs a symbol of its own"),
        (",macro,x,2025-04-10,1,,,,,", "symbol is empty"),
    ],
)
def test_a_bad_row_rejects_the_file(tmp_path: Path, row: str, says: str) -> None:
    good = "*,macro,cpi,2025-04-10T12:30:00Z,2.4,percent,,2025-03,BLS,"
    with pytest.raises(DataError) as caught:
        read_facts(write(tmp_path, OWN, good, row))
    assert "file.csv, line 3" in str(caught.value)
    assert says in str(caught.value)


def test_a_header_that_is_no_layout_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"columns a, b are no known layout of facts \(facts: symbol, kind, key, known_at"
    ):
        read_facts(write(tmp_path, "a,b", "1,2"))


def test_a_date_without_time_is_known_only_when_the_day_is_over(tmp_path: Path) -> None:
    fact = one(write(tmp_path, "symbol,date,title", "BTC,2022-05-12,halted"))
    assert (fact.known_at, fact.kind, fact.text) == (utc("2022-05-13"), FactKind.NEWS, "halted")


def test_a_files_symbol_can_be_renamed(tmp_path: Path) -> None:
    file = read_facts(write(tmp_path, "symbol,date,title", "BTC,2022-05-12,halted"), BTC="BTCUSDT")
    assert [fact.symbol for fact in file.facts.facts] == ["BTCUSDT"]


def test_news_goes_by_published_at_and_says_what_the_raw_time_was(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        NEWS,
        "AAPL,2025-01-01T05:00:00Z,2025-01-01T13:00:00,Title,More,Reuters,https://x/1",
        "AAPL,2025-01-01T06:00:00Z,2025-01-01T06:00:00Z,Same,Same,,",
    )
    file = read_facts(path)
    assert [(fact.known_at, fact.text, fact.source, fact.key) for fact in file.facts.facts] == [
        (utc("2025-01-01T05:00"), "Title — More", "Reuters", "https://x/1"),
        (utc("2025-01-01T06:00"), "Same", "news", "Same"),
    ]
    (finding,) = file.facts.findings
    assert (finding.code, finding.count) == ("wrong_zone", 1)
    assert "+8 h" in finding.message


@pytest.mark.parametrize(
    ("written", "known_at"),
    [
        ("2025-01-10T16:30:26.000Z", "2025-01-10T21:30:26"),  # winter
        ("2024-08-01T18:03:34.000Z", "2024-08-01T22:03:34"),  # summer
        ("2024-11-03T01:30:00.000Z", "2024-11-03T06:30:00"),  # an hour that comes twice: the later
    ],
)
def test_the_secs_acceptance_time_is_new_york_time(tmp_path: Path, written: str, known_at: str) -> None:
    path = write(
        tmp_path,
        "symbol,accessionNumber,filingDate,reportDate,acceptanceDateTime,form",
        f"AAPL,0000320193-25-000002,2025-01-10,2025-01-01,{written},8-K",
    )
    fact = one(path)
    assert (fact.known_at, fact.key, fact.text) == (utc(known_at), "sec_report", "Form 8-K for 2025-01-01")


def test_a_restated_figure_is_known_from_its_own_filing_and_repeats_are_kept(tmp_path: Path) -> None:
    rows = [
        "AAPL,Assets,USD,,2008-09-27,39572,a-3,10-K,2010-10-27",
        "AAPL,Assets,USD,,2008-09-27,39572,a-1,10-Q,2009-07-22",
        "AAPL,Assets,USD,,2008-09-27,36171,a-2,10-K/A,2010-01-25",
        "AAPL,Assets,USD,,2008-09-27,36171,a-4,10-K,2011-10-26",
    ]
    file = read_facts(write(tmp_path, SEC, *rows))
    assert versions(file, "Assets", "2008-09-27") == [
        (utc("2009-07-23T04:00"), Decimal(39572)),
        (utc("2010-01-26T05:00"), Decimal(36171)),
        (utc("2010-10-28T04:00"), Decimal(39572)),
        (utc("2011-10-27T04:00"), Decimal(36171)),
    ]
    repeated = read_facts(write(tmp_path, SEC, *rows, rows[-1].replace("a-4", "a-5").replace("2011", "2012")))
    assert repeated.facts.facts[:-1] == file.facts.facts
    assert (repeated.facts.facts[-1].known_at, repeated.facts.facts[-1].value) == (utc("2012-10-27T04:00"), 36171)
    assert {finding.code: finding.count for finding in repeated.facts.findings} == {"repeated": 1}


def test_of_two_filings_of_one_day_the_later_counts_and_the_report_says_so(tmp_path: Path) -> None:
    rows = [
        f"AAPL,Assets,USD,,2012-09-29,{value},{number},{form},2013-04-24"
        for value, number, form in ((2062, "0001193125-13-170623", "8-K"), (2100, "0001193125-13-168288", "10-Q"))
    ]
    file = read_facts(write(tmp_path, SEC, *rows))
    assert [value for _, value in versions(file, "Assets", "2012-09-29")] == [Decimal(2062)]
    assert {finding.code: finding.count for finding in file.facts.findings} == {"same_day_filings": 1}


def test_one_concept_in_two_units_is_two_facts(tmp_path: Path) -> None:
    rows = ["AAPL,Life,Year,,2012-09-29,5,a-1,10-K,2013-04-24", "AAPL,Life,USD,,2012-09-29,7,a-1,10-K,2013-04-24"]
    file = read_facts(write(tmp_path, SEC, *rows))
    assert sorted(fact.key for fact in file.facts.facts) == ["Life", "Life (Year)"]


def test_a_filing_day_is_new_yorks_wherever_the_share_trades(tmp_path: Path) -> None:
    path = write(tmp_path, SEC, "BTCUSDT,Assets,USD,,2012-09-29,7,a-1,10-K,2013-04-24")
    assert one(path).known_at == utc("2013-04-25T04:00"), "four hours later than the end of the UTC day"


def test_a_figure_filed_before_its_period_ended_rejects(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: filed 2012-09-01, before the end of its period 2012-09-29"):
        read_facts(write(tmp_path, SEC, "AAPL,Assets,USD,,2012-09-29,7,a-1,10-K,2012-09-01"))


def test_statements_without_a_filing_date_are_left_out_and_counted(tmp_path: Path) -> None:
    file = read_facts(
        write(
            tmp_path,
            POLYGON,
            "MSFT,2024-07-01,2024-09-30,2024-10-30,2024-10-30T20:07:17Z,revenues,1,USD",
            "MSFT,2024-04-01,2024-06-30,2024-07-30,,revenues,2,USD",
            "MSFT,2024-01-01,2024-03-31,,,revenues,3,USD / shares",
        )
    )
    assert [(fact.known_at, fact.value) for fact in file.facts.facts] == [
        (utc("2024-07-31T04:00"), Decimal(2)),
        (utc("2024-10-30T20:07:17"), Decimal(1)),
    ]
    assert file.rows == 3
    found = {finding.code: (finding.severity, finding.count, finding.examples) for finding in file.facts.findings}
    assert found == {"no_filing_date": ("warning", 1, ("line 4",)), "date_only": ("note", 1, ())}


@pytest.mark.parametrize(
    ("declared", "ex", "known_at"),
    [
        ("2024-10-31", "2024-11-08", "2024-11-01T04:00"),
        ("", "2024-11-08", "2024-11-08T14:30"),
        ("2024-11-08", "2024-11-08", "2024-11-08T14:30"),  # its end would be after the open of the ex session
        ("2024-12-31", "2024-11-08", "2024-11-08T14:30"),
    ],
)
def test_a_dividend_is_known_when_declared_and_at_the_latest_at_its_ex_open(
    tmp_path: Path, declared: str, ex: str, known_at: str
) -> None:
    header = "cash_amount,currency,declaration_date,dividend_type,ex_dividend_date,ticker"
    fact = one(write(tmp_path, header, f"0.25,USD,{declared},CD,{ex},AAPL"))
    assert (fact.known_at, fact.value, fact.effective_on) == (utc(known_at), Decimal("0.25"), date(2024, 11, 8))


@pytest.mark.parametrize(("before", "after", "value"), [("1", "10", "10"), ("2", "3", "1.5"), ("8", "1", "0.125")])
def test_a_split_is_new_shares_per_old_share(tmp_path: Path, before: str, after: str, value: str) -> None:
    path = write(tmp_path, "execution_date,split_from,split_to,ticker", f"2024-06-10,{before},{after},NVDA")
    assert (one(path).value, one(path).known_at) == (Decimal(value), utc("2024-06-10T13:30"))


def test_two_values_with_one_publication_reject(tmp_path: Path) -> None:
    rows = [f"*,macro,cpi,2025-04-10T12:30:00Z,{value},,,2025-03,," for value in (1, 2)]
    with pytest.raises(DataError, match="line 3: another macro 'cpi' 2025-03 of \\* than in line 2"):
        read_facts(write(tmp_path, OWN, *rows))


def test_very_long_addresses_stay_apart() -> None:
    one_key, other = key_of("https://x/" + "a" * 900 + "1"), key_of("https://x/" + "a" * 900 + "2")
    assert one_key != other
    assert max(len(one_key), len(other)) <= 300


published = st.tuples(st.integers(0, 5), st.integers(0, 2))


@given(st.lists(published, max_size=12, unique_by=lambda each: each[0]))
def test_whatever_is_left_out_changes_no_reading(rows: list[tuple[int, int]]) -> None:
    """At any instant the settled versions say what the last row published by then says."""

    def fact(day: int, value: int) -> Fact:
        return Fact("X", FactKind.MACRO, "k", utc("2025-01-01") + timedelta(days=day), "s", value=Decimal(value))

    settled = settle((Row("f", line, {}), fact(*row)) for line, row in enumerate(rows, 2)).facts
    for day in range(-1, 7):
        at = utc("2025-01-01") + timedelta(days=day)
        assert latest(list(settled), at) == latest([fact(*row) for row in rows], at)


def latest(facts: list[Fact], at: datetime) -> Decimal | None:
    known = [fact for fact in facts if fact.known_at <= at]
    return max(known, key=lambda fact: fact.known_at).value if known else None
