"""How long the canonical bytes of a large record take, beside the package that defines them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rfc8785

from benchmarks.journal_cost import recorded_reply
from benchmarks.place import Place
from benchmarks.rows import Row, in_turn, middle, spent
from data.model.canonical import canonical_bytes

CALLS = 200


def rows(place: Place) -> Iterator[Row]:
    """Milliseconds per record."""
    body: Any = recorded_reply(place.run)[1]["llm.request"]

    def repeat(write: Any) -> float:
        return spent(lambda: [write(body) for _ in range(CALLS)]).cpu / CALLS * 1e3

    found = in_turn(
        {"ours": lambda: repeat(canonical_bytes), "rfc8785": lambda: repeat(rfc8785.dumps)}, place.rounds, place.tell
    )
    yield Row("canonical JSON of a request of 30 KB", middle(found["ours"]), "ms", "rfc8785", middle(found["rfc8785"]))
