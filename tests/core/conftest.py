"""The demonstration window of real bars, in an empty store."""

from __future__ import annotations

from pathlib import Path

import main_job
import pytest

from data.model.instants import Interval
from data.store.store import Store


@pytest.fixture
def bitcoin(store: Store, shared_data: Path, database_url: str) -> str:
    """The URL of a database that holds BTCUSDT 1h, 2025-03-01 to 2025-04-15."""
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    main_job.bring(store, path, "BTCUSDT", Interval.H1)
    return database_url
