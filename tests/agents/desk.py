"""What tests of opinions share: views of real and of made markets, and the four rules at one table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents.brief import book_brief, market_brief
from agents.llm.models import resolve_model
from agents.llm.rules import answer
from agents.opinions import parse
from agents.prompt_files import load_prompts, system_message
from data.model.decisions import Abstention, Opinion, Role
from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Fact, FactKind, Instrument, MarketView
from data.model.trading import Book

HOUR = timedelta(hours=1)
START = datetime(2025, 1, 1, tzinfo=UTC)
COIN = Instrument("BTCUSDT", AssetClass.CRYPTO, "24/7", "USDT", Decimal("0.01"), Decimal("1e-8"))
RULES = resolve_model("rules")
PROMPTS = load_prompts(None)
Answers = dict[Role, Opinion | Abstention]


def bar(number: int, close: float, *, spread: float = 1.0, volume: float = 10.0, symbol: str = "BTCUSDT") -> Bar:
    """The bar that opens `number` hours after the start; its range is twice the spread around its close."""
    at = START + number * HOUR
    high, low, end = (Decimal(f"{price:.6f}") for price in (close + spread, close - spread, close))
    return Bar(symbol, Interval.H1, at, at + HOUR, end, high, low, end, Decimal(f"{volume:.6f}"), at.date())


def market(closes: Iterable[float], **more: Any) -> tuple[Bar, ...]:
    return tuple(bar(number, close, **more) for number, close in enumerate(closes))


def view(bars: Sequence[Bar], facts: Sequence[Fact] = (), instrument: Instrument = COIN, **more: Any) -> MarketView:
    """Right after the last bar."""
    newest = tuple(sorted(facts, key=lambda fact: fact.known_at, reverse=True))
    return MarketView(bars[-1].symbol, bars[-1].interval, bars[-1].known_at, instrument, tuple(bars), newest, **more)


def fact(kind: FactKind, key: str, days_old: float = 1, now: datetime | None = None, **more: Any) -> Fact:
    value = more.pop("value", None)
    known_at = (now or START) - timedelta(days=days_old)
    more = {"symbol": "BTCUSDT", "source": "test", **more}
    return Fact(kind=kind, key=key, known_at=known_at, value=None if value is None else Decimal(str(value)), **more)


def hourly(path: Path, symbol: str) -> tuple[Bar, ...]:
    """The bars of one of the real hourly files."""
    with path.open(encoding="utf-8") as lines:
        return tuple(_hourly(row, symbol) for row in csv.DictReader(lines))


def _hourly(row: dict[str, str], symbol: str) -> Bar:
    at = datetime.fromisoformat(row["open_time"])
    prices = (Decimal(row[name]) for name in ("open", "high", "low", "close", "volume"))
    return Bar(symbol, Interval.H1, at, at + HOUR, *prices, at.date())


def blocks(text: str) -> list[Any]:
    """The fenced JSON blocks of a message, read as any Markdown reader would find them."""
    return [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def nothing_held(seen: MarketView, **more: Any) -> Book:
    cash = Decimal(10000)
    return Book(seen.as_of, cash, cash, Decimal(0), cash, **more)


def messages(role: Role, seen: MarketView, book: Book, said: Sequence[tuple[Role, str]] = ()) -> list[dict[str, Any]]:
    """What the agent in that role is sent in the group chat."""
    told = [
        {"role": "system", "content": system_message(PROMPTS[role], RULES)},
        {"role": "user", "content": market_brief(seen).text, "name": "Chat_Manager"},
        *({"role": "user", "content": text, "name": speaker.agent} for speaker, text in said),
    ]
    if role is Role.PORTFOLIO:
        told.append({"role": "user", "content": book_brief(book, seen.symbol)})
    return told


def discuss(seen: MarketView, book: Book | None = None) -> Answers:
    """The rules at all four seats."""
    said: list[tuple[Role, str]] = []
    for role in Role:
        said.append((role, answer(messages(role, seen, book or nothing_held(seen), said))))
    known = market_brief(seen).fact_ids
    return {role: parse(role, text, known) for role, text in said}
