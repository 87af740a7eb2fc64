"""What a sweep's parts cost: a strategy's signals, the kernel, reading bars, the ledger.

The figures that docs/SCALE.md reckons with. Signals and the kernel work on a made series in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from itertools import count

import numpy as np

from backtesting.audit.story import parse
from backtesting.execution.kernel import play
from backtesting.execution.kernel_rules import KernelRules
from backtesting.research.planning import plan
from backtesting.research.questions import ArrayQuestion
from backtesting.research.spec import Spec
from backtesting.research.strategies import Prices, strategy
from backtesting.research.trials import numbers, play_question
from benchmarks.place import Place
from benchmarks.rows import Row, in_turn, middle, spent
from data.model.canonical import canonical_bytes
from data.store.tasks import Task, TaskLedger
from data.view import reach

BARS, TASKS, CLAIM = 200_000, 2_000, 200
_NUMBERS = count(1)


def rows(place: Place) -> Iterator[Row]:
    """Bars and tasks a second."""
    yield from _arrays(place)
    yield from _whole(place)
    yield from _ledger(place)
    yield from _reading(place)


def _arrays(place: Place) -> Iterator[Row]:
    chance = np.random.default_rng(1)
    closes = 100 * np.exp(np.cumsum(chance.normal(0, 0.001, BARS)))
    opens = np.concatenate((closes[:1], closes[:-1]))
    highs, lows = np.maximum(opens, closes) * 1.0005, np.minimum(opens, closes) * 0.9995
    prices, rule = Prices(closes, highs, lows), strategy("sma_crossover")
    settled = rule.settle({"fast": 20, "slow": 50})
    actions = rule.actions(prices, settled)
    volumes, rules = np.full(BARS, 1e9), KernelRules(stop_loss=0.02, take_profit=0.04)
    equity = play(opens, highs, lows, closes, volumes, actions, rules).equity
    found = in_turn(
        {
            "signals": lambda: spent(lambda: rule.actions(prices, settled)).wall,
            "kernel": lambda: spent(lambda: play(opens, highs, lows, closes, volumes, actions, rules)).wall,
            "numbers": lambda: spent(lambda: numbers(equity, 10_000.0, 365.0)).wall,
        },
        place.rounds,
        place.tell,
    )
    signals, kernel, figures = (BARS / middle(found[name]) / 1e6 for name in ("signals", "kernel", "numbers"))
    against = "the kernel with stop and target"
    yield Row("sweep: SMA crossover signals", signals, "M bars/s", against, kernel)
    yield Row("sweep: numbers of an equity curve", figures, "M bars/s", against, kernel)


def _whole(place: Place) -> Iterator[Row]:
    """Tasks as a worker does them, the ledger apart: read, played, written."""
    asked = place.settings
    choice = {"name": "sma_crossover", "parameters": {"fast": {"from": 2, "to": 21, "step": 1}, "slow": 50}}
    window = {"start_on": asked.start_on, "end_on": asked.end_on}
    spec = Spec.model_validate(
        {
            "name": "bench",
            "symbols": asked.symbols,
            "interval": asked.interval,
            "windows": [window],
            "strategies": [choice],
        }
    )
    tasks = plan(spec, place.store, {}).tasks

    def work() -> float:
        def each() -> None:
            for task in tasks:
                canonical_bytes(play_question(parse(ArrayQuestion, task.question), place.store).trial)

        return len(tasks) / spent(each).wall

    found = in_turn(
        {"work": work, "plan": lambda: len(tasks) / spent(lambda: plan(spec, place.store, {})).wall},
        place.rounds,
        place.tell,
    )
    bars = play_question(parse(ArrayQuestion, tasks[0].question), place.store).trial.bars
    yield Row(
        f"sweep: tasks over {bars} bars, whole", middle(found["work"]), "tasks/s", "planned", middle(found["plan"])
    )


def _ledger(place: Place) -> Iterator[Row]:
    """Entered, and claimed and completed by one worker, in claims of CLAIM and one by one."""

    def work(claim: int, tasks: int) -> float:
        ledger = TaskLedger(place.store.engine, f"bench-{next(_NUMBERS)}")
        ledger.enqueue({}, (Task(f"key-{each}", each, "arrays", {"of": each}) for each in range(tasks)))

        def drain() -> None:
            while leases := ledger.claim("arrays", "bench 1", claim, 600.0):
                ledger.complete([(lease, {"of": lease.task.place}) for lease in leases])

        return tasks / spent(drain).wall

    found = in_turn({"many": lambda: work(CLAIM, TASKS), "one": lambda: work(1, 100)}, place.rounds, place.tell)
    name = f"sweep: ledger, claimed and completed by {CLAIM}"
    yield Row(name, middle(found["many"]), "tasks/s", "one by one", middle(found["one"]))


def _reading(place: Place) -> Iterator[Row]:
    """The window's bars as columns, and the digest over the rows behind them."""
    asked = place.settings
    symbol, store = asked.symbols[0], place.store
    window = store.windows(symbol)[0]
    whole = reach(window.first_on, datetime.combine(window.last_on, time.max, UTC))
    found = in_turn(
        {
            "columns": lambda: (
                spent(lambda: store.columns(symbol, asked.interval, window.first_on, window.last_on)).wall
            ),
            "digest": lambda: spent(lambda: store.data_digest((symbol,), asked.interval, whole)).wall,
        },
        place.rounds,
        place.tell,
    )
    columns, digest = (window.bars / middle(found[name]) / 1e3 for name in ("columns", "digest"))
    yield Row("sweep: bars read as columns", columns, "k bars/s", "their data digest", digest)
