"""Facts as they were known at an instant.

Which version of a fact counts then is the database's own function `market.facts_known`; the planner takes it in, so the
indexes serve it. A fact that was said again unchanged is as old as when it was first said so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, text

from data.model.market import EVERY_SYMBOL, Fact, FactKind

# The keys of a kind are found by leaping from one to the next in the index, so long series cost nothing.
_PER_KEY = """
    WITH RECURSIVE leap (symbol, kind, amount, key) AS (
        SELECT symbol, kind, amount, (
            SELECT min(f.key) FROM market.facts f WHERE f.symbol = about.symbol AND f.kind = asked.kind
        )
        FROM unnest(%(symbols)s::text[]) AS about (symbol),
             unnest(%(kinds)s::text[], %(amounts)s::int[]) AS asked (kind, amount)
        UNION ALL
        SELECT symbol, kind, amount, (
            SELECT min(f.key) FROM market.facts f
            WHERE f.symbol = leap.symbol AND f.kind = leap.kind AND f.key > leap.key
        )
        FROM leap WHERE key IS NOT NULL
    ),
    series AS (
        SELECT symbol, kind, amount, key FROM leap WHERE key IS NOT NULL
        UNION ALL
        SELECT symbol, kind, amount, key
        FROM unnest(%(symbols)s::text[]) AS about (symbol),
             unnest(%(keyed_kinds)s::text[], %(keyed_amounts)s::int[], %(keys)s::text[]) AS asked (kind, amount, key)
    )
    SELECT f.symbol, f.kind, f.key, f.since, f.source, f.period, f.value, f.unit, f.body, f.effective_on
    FROM series CROSS JOIN LATERAL (
        SELECT * FROM market.facts_known(%(as_of)s) f
        WHERE f.symbol = series.symbol AND f.kind = series.kind AND f.key = series.key
          AND NOT (f.unit = 'dropped' AND f.value IS NULL AND f.body IS NULL)
        ORDER BY f.since DESC, f.period DESC LIMIT series.amount
    ) f
"""
_NEWEST = """
    SELECT f.symbol, f.kind, f.key, f.since, f.source, f.period, f.value, f.unit, f.body, f.effective_on
    FROM unnest(%(symbols)s::text[]) AS about (symbol),
         unnest(%(kinds)s::text[], %(amounts)s::int[]) AS asked (kind, amount)
    CROSS JOIN LATERAL (
        SELECT * FROM market.facts_known(%(as_of)s) f
        WHERE f.symbol = about.symbol AND f.kind = asked.kind
          AND NOT (f.unit = 'dropped' AND f.value IS NULL AND f.body IS NULL)
        ORDER BY f.since DESC, f.key DESC, f.period DESC LIMIT asked.amount
    ) f
"""
_ACTIONS = text("""
    SELECT symbol, kind, key, since, source, period, value, unit, body, effective_on FROM market.facts
    WHERE symbol = :symbol AND kind IN ('split', 'dividend') ORDER BY published_at, known_at, fact_id
""")


def facts_as_of(
    connection: Connection,
    symbol: str,
    as_of: datetime,
    per_key: Mapping[FactKind, int],
    newest: Mapping[FactKind, int],
    keys: Mapping[FactKind, Collection[str]],
) -> tuple[Fact, ...]:
    leaping = {kind: amount for kind, amount in per_key.items() if kind not in keys}
    keyed = [(kind.value, amount, key) for kind, amount in per_key.items() for key in sorted(keys.get(kind, ()))]
    common = {"symbols": [symbol, EVERY_SYMBOL], "as_of": as_of}
    asked = {
        "keyed_kinds": [kind for kind, _, _ in keyed],
        "keyed_amounts": [amount for _, amount, _ in keyed],
        "keys": [key for _, _, key in keyed],
    }
    found = [_fact(row) for row in connection.exec_driver_sql(_PER_KEY, common | asked | _amounts(leaping))]
    left = dict(newest)
    by_kind = [_fact(row) for row in connection.exec_driver_sql(_NEWEST, common | _amounts(newest))]
    for fact in sorted(by_kind, key=_order, reverse=True):  # the query took as many of the symbol as of every symbol
        if left[fact.kind] > 0:
            left[fact.kind] -= 1
            found.append(fact)
    return tuple(sorted(found, key=_order, reverse=True))


def actions_between(connection: Connection, symbol: str, start_on: date, end_on: date) -> tuple[Fact, ...]:
    """Of each action the version known on its day, as the market applied it; one known later as it was first told."""
    versions: dict[tuple[str, str, str], Fact] = {}
    for row in connection.execute(_ACTIONS, {"symbol": symbol}):
        action = _fact(row)
        name = (action.kind.value, action.key, action.period)
        if name not in versions or _in_time(action):
            versions[name] = action
    chosen = [
        fact
        for fact in versions.values()
        if fact.effective_on and not _is_dropped(fact) and start_on <= fact.effective_on <= end_on
    ]
    return tuple(sorted(chosen, key=lambda fact: (fact.effective_on, *_order(fact))))


def _is_dropped(fact: Fact) -> bool:
    return fact.unit == "dropped" and fact.value is None and fact.text is None


def _in_time(action: Fact) -> bool:
    if action.effective_on is None:
        return False
    end_of_day = datetime.combine(action.effective_on + timedelta(days=1), time(), UTC)
    return action.known_at < end_of_day


def _amounts(amounts: Mapping[FactKind, int]) -> dict[str, list[str] | list[int]]:
    return {"kinds": [kind.value for kind in amounts], "amounts": list(amounts.values())}


def _order(fact: Fact) -> tuple[datetime, str, str, str, str]:
    return fact.known_at, fact.kind.value, fact.key, fact.period, fact.symbol


def _fact(row: Sequence[Any]) -> Fact:
    symbol, kind, key, since, source, period, value, unit, body, effective_on = row
    return Fact(
        symbol=symbol,
        kind=FactKind(kind),
        key=key,
        known_at=since.astimezone(UTC),
        source=source,
        period=period,
        value=value,
        unit=unit,
        text=body,
        effective_on=effective_on,
    )
