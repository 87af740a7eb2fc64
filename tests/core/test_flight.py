"""Many decisions in flight come to the result of one after the other, whatever the model's server does meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import house
import httpx
import pytest
from flight_model import Model, serving
from flights import Hangar, require_counted, require_landed

AT_ONCE = {"a few": (4, 0.0, 0.0), "many": (32, 0.2, 0.0), "in trouble": (32, 0.05, 0.05)}


@pytest.mark.parametrize("how", AT_ONCE)
def test_the_result_is_that_of_one_after_the_other(hangar: Hangar, how: str) -> None:
    concurrency, slowest, faults = AT_ONCE[how]
    with serving((0.01 if slowest else 0.0, slowest), faults) as model:
        flown = hangar.fly(model, concurrency)
    require_landed(flown, hangar)
    require_counted(flown, model)
    assert 1 < model.most <= concurrency
    summary = flown.summary
    assert (summary["failed"], summary["failures"]) == (0, {})
    assert (summary["retries"] > 0) == (faults > 0)
    decided = [(body["bar_open_time"], body["symbol"], body["number"]) for body in flown.of("decision")]
    assert decided == sorted(decided)
    assert [number for _, _, number in decided] == [*range(1, summary["decisions"] + 1)]
    discarded = [record for record in flown.records if record.kind == "session.discarded"]
    assert discarded, "no prediction failed"
    assert summary["wasted_calls"] >= 1
    wasted = summary["cost_usd"] * summary["wasted_calls"] / model.answered.total()
    assert summary["wasted_usd"] == pytest.approx(wasted)


@pytest.fixture
def rules_server() -> Iterator[str]:
    """In a process of its own, as a user would measure with it."""
    command = [sys.executable, "-m", "benchmarks.rules_server", "--latency", "0.01:0.2", "--faults", "0.05"]
    with subprocess.Popen(command, cwd=house.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        yield server.stdout.readline().strip()
        server.stdin.close()


def test_a_server_of_its_own_is_asked_for_each_answer_once(hangar: Hangar, rules_server: str) -> None:
    flown = hangar.fly(Model(url=rules_server), 32)
    counts = json.loads(httpx.get(f"{rules_server.removesuffix('/v1')}/counts", trust_env=False).content)
    hangar.digest = flown.summary["result_digest"]
    require_landed(flown, hangar)
    assert flown.summary["calls"] + flown.summary["retries"] == sum(counts["asked"].values())
    assert set(counts["answered"].values()) == {1}
    assert counts["most_under_way"] <= 32
