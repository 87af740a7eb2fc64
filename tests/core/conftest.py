"""The demonstration windows of real bars, in an empty store."""

from __future__ import annotations

from pathlib import Path

import main_job
import pytest
from flight_model import serving
from flights import Hangar, require_counted, require_landed

from data.model.instants import Interval
from data.store.store import Store


@pytest.fixture
def bitcoin(store: Store, shared_data: Path, database_url: str) -> str:
    """The URL of a database that holds BTCUSDT 1h, 2025-03-01 to 2025-04-15."""
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    main_job.bring(store, path, "BTCUSDT", Interval.H1)
    return database_url


_UNDISTURBED: list[tuple[str, float]] = []


@pytest.fixture
def hangar(tmp_path: Path, store: Store, bitcoin: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Hangar:
    """With bars of two symbols, and with what one decision after the other comes to."""
    path = shared_data / "crypto_spot" / "ETHUSDT_1h_2025-03-01_2025-04-15.csv"
    main_job.bring(store, path, "ETHUSDT", Interval.H1)
    monkeypatch.setattr("agents.llm.retries._LONGEST_BACKOFF_S", 0.02)
    made = Hangar(tmp_path, bitcoin)
    if not _UNDISTURBED:
        with serving() as model:
            serial = made.fly(model, 1)
        assert serial.summary["fills"] >= 8, "hardly a prediction would fail"
        made.digest = serial.summary["result_digest"]
        require_landed(serial, made)
        require_counted(serial, model)
        _UNDISTURBED.append((made.digest, serial.summary["cost_usd"]))
    made.digest, made.cost = _UNDISTURBED[0]
    return made
