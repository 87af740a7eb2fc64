"""The runs that tests change or verify."""

from __future__ import annotations

from pathlib import Path

import crime_scene
import pytest
from main_job import bring

from data.model.instants import Interval
from data.store.store import Store

_SCENES: list[crime_scene.Scene] = []


@pytest.fixture
def bitcoin_csv(shared_data: Path) -> Path:
    """The bars that the runs were played on."""
    return shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"


@pytest.fixture
def scene(
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    bitcoin_csv: Path,
) -> crime_scene.Scene:
    """Two finished runs, played once."""
    if not _SCENES:
        store: Store = request.getfixturevalue("store")
        bring(store, bitcoin_csv, "BTCUSDT", Interval.H1)
        url = request.getfixturevalue("database_url")
        _SCENES.append(crime_scene.make_scene(tmp_path_factory.mktemp("scene"), url, monkeypatch))
    return _SCENES[0]
