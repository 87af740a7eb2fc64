"""Made runs over real bars, rendered once."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_run import Plan, spot, write_run
from recordings import Recorder

from backtesting.audit.renderings import write_renderings

HOSTILE = (
    "</script><script>document.title='owned'; window.owned = 1</script>"
    '<img src=x onerror="window.owned = 2"><!--<script>\u202ereversed\u2066\x1b[31m\'"&amp;\u2028{{ 7 * 7 }}=1+1'
)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 decisions on one symbol, two of them failed, every figure adding up."""
    folder = tmp_path_factory.mktemp("runs") / "made"
    write_run(folder, Plan({"BTCUSDT": spot("BTCUSDT")}, bars=240, fail_at=(17, 40)))
    write_renderings(folder)
    return folder


@pytest.fixture(scope="session")
def hostile_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, one with a hostile name, and a model that writes markup, control and bidi characters."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    files = {"<b>BTC</b>": spot("BTCUSDT"), "ETHUSDT": spot("ETHUSDT")}
    write_run(folder, Plan(files, bars=30, fail_at=(9,), hostile={5: HOSTILE}, warning=HOSTILE))
    write_renderings(folder)
    return folder


@pytest.fixture(scope="session")
def recorder(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, database_url: str, shared_data: Path
) -> Recorder:
    """Recorded runs of the main job, played when first asked for."""
    engine = request.getfixturevalue("_engine")
    return Recorder(engine, database_url, shared_data, tmp_path_factory.mktemp("recorded"))
