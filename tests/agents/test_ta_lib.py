"""TA-Lib without pandas, which every run would pay for and none needs."""

from __future__ import annotations

import subprocess
import sys

import house
import numpy as np
import pytest

from agents.ta_lib import talib

ABSENT = ("pandas", "scipy", "numba", "arch", "pyarrow")
ORDERS = {"ours alone": "", "pandas first": "import pandas; ", "talib first": "import talib; "}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=house.ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_main_job_loads_nothing_that_only_its_end_or_nobody_needs() -> None:
    found = python(
        f"import sys, orchestration.compose, backtesting.core.job; print([n for n in {ABSENT} if n in sys.modules])"
    )
    assert found == "[]"


@pytest.mark.parametrize("before", ORDERS.values(), ids=ORDERS)
def test_pandas_can_be_imported_before_and_after(before: str) -> None:
    ours = "from agents.ta_lib import talib; import pandas, numpy; "
    assert python(f"{before}{ours}print(talib.SMA(numpy.arange(5.0), 3)[-1], len(pandas.Series([1])))") == "3.0 1"


def test_averages() -> None:
    assert talib.SMA(np.arange(5.0), 2).tolist()[1:] == [0.5, 1.5, 2.5, 3.5]
