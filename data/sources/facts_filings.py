"""Company filings: SEC companyfacts, SEC submissions, and Polygon's quarterly statements.

- Companyfacts say the day a figure was `filed`: it is known at the end of that day in New York. A restated figure comes
  again with a later day, and is a later version of the same fact. Where two filings of one day differ, the one with
  the higher accession number counts, and the report says how many.
- Submissions' `acceptanceDateTime` is New York time although it ends in Z; read as UTC it would be known four to five
  hours too early. An hour that the clocks repeat in autumn is taken as the later one.
- Polygon's `acceptance_datetime` is true UTC. Without it the filing date counts, at its end; a row without
  either is left out and counted, because nobody can say when it was known.

Keys: companyfacts' concept (`NetIncomeLoss`), Polygon's item (`net_income_loss`). A period is `start/end`, or one day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from data.model.market import Fact, FactKind, Finding
from data.sources.calendars import end_of_day
from data.sources.facts import Places, Sourced, counted, left_out
from data.sources.rows import Row

# Filing days are days of the SEC in New York, wherever the share itself is traded.
EDGAR = "XNYS"
NEW_YORK = ZoneInfo("America/New_York")
REPORTS = ("10-K", "10-Q", "8-K", "20-F", "6-K", "40-F")
INSIDERS = ("3", "4", "5", "144")


def read_companyfacts(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    units: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        units[row.text("concept")].add(row.text("unit"))
    chosen: dict[tuple[str, str, str, datetime], Sourced] = {}
    contradicted: list[Row] = []
    again: list[Fact] = []
    for row in sorted(rows, key=lambda row: row.text("accession")):
        fact = _companyfact(row, places, units)
        name = (fact.symbol, fact.key, fact.period, fact.known_at)
        if name in chosen and chosen[name][1].value != fact.value:
            contradicted.append(row)
        elif name in chosen:
            again.append(fact)
        chosen[name] = (row, fact)
    message = "figures that two filings of one day give differently; the later filing counts"
    findings = left_out("same_day_filings", contradicted, message)
    findings += counted("same_day", again, "rows that say the same as another one of that day")
    return list(chosen.values()), findings


def _companyfact(row: Row, places: Places, units: defaultdict[str, set[str]]) -> Fact:
    symbol, concept, unit = places.symbol(row, "symbol"), row.text("concept"), row.text("unit")
    filed, ended = row.day("filed"), row.day("period_end")
    if filed < ended:
        raise row.error(f"filed {filed}, before the end of its period {ended}")
    return Fact(
        symbol=symbol,
        kind=FactKind.FUNDAMENTAL,
        key=concept if unit == "USD" or len(units[concept]) == 1 else f"{concept} ({unit})",
        known_at=end_of_day(EDGAR, filed),
        source=f"SEC companyfacts {row.text('form')}",
        period=_period(row),
        value=row.number("value"),
        unit=unit,
    )


def _period(row: Row) -> str:
    started, ended = row.optional_day("period_start"), row.day("period_end")
    return f"{started}/{ended}" if started else str(ended)


def read_submissions(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    sourced = [(row, _submission(row, places)) for row in rows]
    message = "acceptance times written in New York time with a wrong Z; read as New York time"
    return sourced, [Finding("wrong_zone", "note", len(sourced), message)]


def _submission(row: Row, places: Places) -> Fact:
    form = row.text("form")
    about = row.optional_day("reportdate")
    accepted = row.wall_time("acceptancedatetime").replace(tzinfo=NEW_YORK, fold=1)
    return Fact(
        symbol=places.symbol(row, "symbol"),
        kind=FactKind.ALTERNATIVE,
        key=f"sec_{_group(form)}",
        known_at=accepted.astimezone(UTC),
        source="SEC submissions",
        period=row.text("accessionnumber"),
        text=f"Form {form}" + (f" for {about}" if about else ""),
    )


def _group(form: str) -> str:
    plain = form.removesuffix("/A")
    return "report" if plain in REPORTS else "insider" if plain in INSIDERS else "filing"


def read_polygon_quarterly(rows: Sequence[Row], places: Places) -> tuple[list[Sourced], list[Finding]]:
    dated = [row for row in rows if row.optional("acceptance_datetime") or row.optional("filing_date")]
    undated = [row for row in rows if not (row.optional("acceptance_datetime") or row.optional("filing_date"))]
    only_day = sum(1 for row in dated if not row.optional("acceptance_datetime"))
    findings = left_out(
        "no_filing_date", undated, "rows without a filing date, left out: nobody can say when they were known"
    )
    if only_day:
        message = "rows with a filing date and no time; known at the end of that day"
        findings.append(Finding("date_only", "note", only_day, message))
    return [(row, _statement_item(row, places)) for row in dated], findings


def _statement_item(row: Row, places: Places) -> Fact:
    symbol = places.symbol(row, "symbol")
    if row.optional("acceptance_datetime"):
        known_at = row.instant("acceptance_datetime")
    else:
        known_at = end_of_day(EDGAR, row.day("filing_date"))
    if known_at.date() < row.day("period_end"):
        raise row.error(f"filed {known_at.date()}, before the end of its period {row.text('period_end')}")
    return Fact(
        symbol=symbol,
        kind=FactKind.FUNDAMENTAL,
        key=row.text("item"),
        known_at=known_at,
        source="Polygon quarterly",
        period=_period(row),
        value=row.number("value"),
        unit=row.text("unit").replace(" ", ""),
    )
