"""What agents were shown, out of the recorded requests: the market's block against the view, the book's against the
ledger.

A block shows prices to seven digits and volumes to five; what is shown must be what is known, to those digits. Limit:
indicators and words are taken as shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from backtesting.audit.exchanges import Asked
from backtesting.audit.findings import Findings
from backtesting.audit.wire import read_block
from data.model.decisions import Role
from data.model.instants import iso
from data.model.market import Bar, Fact, MarketView
from data.model.trading import Book

BARS_ID = "bars"
PRICE, VOLUME = Decimal("6E-7"), Decimal("6E-5")
"""Half a unit of the seventh and of the fifth digit, and what binary fractions may add."""

Block = Mapping[str, Any]


def fact_ids(market: Block) -> frozenset[str]:
    """The ids that an answer may cite: groups of indicators, facts, and the bars."""
    groups, facts = market.get("indicators"), market.get("facts")
    named = [str(fact.get("id")) for fact in facts if isinstance(fact, dict)] if isinstance(facts, list) else []
    return frozenset({BARS_ID, *(groups if isinstance(groups, dict) else ()), *named})


def check_market(findings: Findings, asked: Asked, market: Block, view: MarketView) -> None:
    """Names the first thing in the block that is not from the view."""
    what = f"market shown by the request at record {asked.seq}"
    head = {"symbol": view.symbol, "interval": view.interval.value, "as_of": iso(view.as_of)}
    if not findings.compare(asked.seq, what, {name: market.get(name) for name in head}, dict(head)):
        return
    if not _near(market.get("price"), view.price, PRICE):
        findings.add(asked.seq, f"price in the {what}", market.get("price"), view.price)
        return
    for row, bar in _beside(_rows(market), view.bars):
        if not _shows(row, bar):
            findings.add(asked.seq, f"bars in the {what}", row, f"the bar of {iso(bar.open_time)}")
            return
    for fact in market.get("facts") or ():
        if not (isinstance(fact, dict) and any(_tells(fact, known) for known in view.facts)):
            findings.add(asked.seq, f"facts in the {what}", fact, "no such fact")
            return


def check_book(findings: Findings, asked: Asked, book: Book | None) -> None:
    """The portfolio manager is shown the account as it is; nobody else is. `book` is None where it is not known."""
    blocks = [block for text in asked.whispered if (block := read_block(text, "book")) is not None]
    what = f"book shown by the request at record {asked.seq}"
    if asked.slot.role is not Role.PORTFOLIO:
        if blocks:
            findings.add(asked.seq, f"{what}: only the portfolio manager may see it")
        return
    if len(blocks) != 1:
        findings.add(asked.seq, what, f"{len(blocks)} books", "one book")
        return
    if book is None:
        return
    held = book.position(asked.slot.symbol)
    known = {"cash": book.cash, "equity": book.equity, "buying_power": book.buying_power}
    for name, value in known.items():
        if not _near(blocks[0].get(name), value, PRICE):
            findings.add(asked.seq, f"{name} in the {what}", blocks[0].get(name), value)
            return
    position = blocks[0].get("position") or {}
    quantity = Decimal(0) if held is None else held.quantity.copy_abs()
    if not _near(position.get("quantity", Decimal(0)), quantity, PRICE):
        findings.add(asked.seq, f"position in the {what}", position.get("quantity"), quantity)


def _rows(market: Block) -> Sequence[object]:
    bars = market.get("bars")
    rows = bars.get("rows") if isinstance(bars, dict) else None
    return rows if isinstance(rows, list) else []


def _beside(rows: Sequence[object], bars: Sequence[Bar]) -> Iterable[tuple[object, Bar]]:
    """The rows, and the newest bars as many."""
    return zip(reversed(rows), reversed(bars), strict=False)


def _shows(row: object, bar: Bar) -> bool:
    if not isinstance(row, list) or len(row) != 6:
        return False
    prices = zip(row[1:5], (bar.open, bar.high, bar.low, bar.close), strict=True)
    return all(_near(shown, known, PRICE) for shown, known in prices) and _near(row[5], bar.volume, VOLUME)


def _tells(shown: Block, fact: Fact) -> bool:
    if shown.get("known_at") != iso(fact.known_at) or shown.get("kind") != fact.kind.value:
        return False
    return "value" not in shown or (fact.value is not None and _near(shown["value"], fact.value, PRICE))


def _near(shown: object, known: Decimal, share: Decimal) -> bool:
    return isinstance(shown, Decimal) and abs(shown - known) <= abs(known) * share
