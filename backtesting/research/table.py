"""A sweep as a table: one row a task, in Parquet, with what the best of so many trials must be read against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from backtesting.research.outcomes import Outcome, Outcomes
from backtesting.research.trials import Trial

NAME = "results.parquet"


def write_table(outcomes: Outcomes, path: Path) -> None:
    """Writes it beside its place first, so that nobody reads half of it.

    `parameters` is a JSON object. `sharpe_expected_max` (annual, as `sharpe`) is what the best of so many trials would
    show without any skill; `deflated_sharpe` the probability that there is skill after all.
    """
    import pyarrow as pa  # noqa: PLC0415 (a third of a second)
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [_row(outcomes, each) for each in outcomes.all]
    columns = {name: pa.array([row[name] for row in rows], _kind(pa, name)) for name in _COLUMNS}
    about = {"sweep_id": outcomes.sweep_id, "trials": str(outcomes.selection.trials)}
    unfinished = path.with_suffix(".part")
    pq.write_table(pa.table(columns).replace_schema_metadata(about), unfinished, compression="zstd")
    unfinished.replace(path)


_TEXT = ("key", "strategy", "symbol", "window", "parameters", "reason", "run_id", "run_dir", "result_digest")
_WHOLE = ("trials", "attempts", "bars", "fills", "decisions", "failed_decisions")
_OWN = ("sharpe_expected_max", "deflated_sharpe")
_COLUMNS = (
    *("key", "strategy", "symbol", "window", "parameters", "attempts", "reason", "trials"),
    *Trial.model_fields,
    *_OWN,
)


def _kind(pa: object, name: str) -> object:
    return pa.string() if name in _TEXT else pa.int64() if name in _WHOLE else pa.float64()  # type: ignore[attr-defined]


def _row(outcomes: Outcomes, each: Outcome) -> Mapping[str, object]:
    chosen, trial = outcomes.selection, each.trial
    found = dict.fromkeys(Trial.model_fields) if trial is None else dict(trial)
    return {
        "key": each.key,
        "strategy": each.who,
        "symbol": each.question.symbol,
        "window": each.window,
        "parameters": json.dumps(dict(each.parameters), sort_keys=True),
        "attempts": each.attempts,
        "reason": each.reason,
        "trials": chosen.trials,
        **found,
        "sharpe_expected_max": outcomes.expected_max(each),
        "deflated_sharpe": None if trial is None else chosen.deflated(trial),
    }
