"""kill -9 at any moment: the run goes on, asks for nothing twice, loses nothing, and comes to the same result.

A round is one run that is killed again and again, also while it is resumed, until it is let finish. In every second one
many decisions are in flight. `make torture`
plays many rounds; a failing one is played again with TORTURE_SEED and its number.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from ground import SEED, Ground, Patient
from witness import Witness

ROUNDS = int(os.environ.get("TORTURE_ROUNDS") or 20)
MOST_KILLS = 5
IN_FLIGHT = (1, 6)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_killed_run_comes_to_the_same_result(ground: Ground, number: int, record_property: Any) -> None:
    chance = random.Random(f"{SEED}/{number}")
    patient = ground.begin(IN_FLIGHT[number % len(IN_FLIGHT)])
    witness = Witness(patient)
    for _ in range(chance.randint(1, MOST_KILLS)):
        ended = patient.play(*patient.next_words, **_moment(chance, ground, patient))
        if ended.code == 0:
            break
        assert ended.code == -9, ended
        record_property(f"torture: kills {witness.look()}", 1)
        record_property("torture: kills in all", 1)
    records = witness.judge(patient.play(*patient.next_words))
    record_property(f"torture: rounds, {patient.in_flight} in flight", 1)
    record_property("torture: sessions discarded", sum(record["kind"] == "session.discarded" for record in records))
    record_property("torture: requests without a reply", sum(record["kind"] == "orphan" for record in records))
    record_property("torture: replies on record", sum(record["kind"] == "llm.response" for record in records))


def _moment(chance: random.Random, ground: Ground, patient: Patient) -> dict[str, Any]:
    """By the clock, or in a step on the disk: any, one of the first, or one of the renderings."""
    what = chance.choice(["clock", "clock", "step", "step", "early", "rendering"])
    if what == "clock":
        return {"after": chance.uniform(0, ground.seconds)}
    step = {"early": chance.randint(1, 16), "rendering": chance.randint(1, 7)}.get(
        what, chance.randint(1, _steps_left(ground, patient))
    )
    part = chance.choice([0.0, 0.001, 0.5, 0.999, 1.0])
    return {"fatal": {"step": step, "part": part, "only": "replace" if what == "rendering" else None}}


def _steps_left(ground: Ground, patient: Patient) -> int:
    """About so many steps on the disk are to come."""
    return max(20, ground.steps - 2 * patient.log.count(b"\n"))
