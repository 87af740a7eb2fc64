"""A skip must not hide a hole on a machine that has everything."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SKIPS = {
    "by hand": "import pytest\ndef test_it(): pytest.skip('no browser')",
    "by mark": "import pytest\n@pytest.mark.skip(reason='no browser')\ndef test_it(): pass",
    "whole module": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    "missing import": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass",
}


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS.keys())
@pytest.mark.parametrize("no_skip", [False, True])
def test_a_skip_fails_where_none_is_allowed(
    source: str, no_skip: bool, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTRADER_NO_SKIP", "1" if no_skip else "0")
    pytester.makepyfile(source)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    result = pytester.runpytest_inprocess("-p", "no_skip", "-p", "no:xdist")
    outcomes = result.parseoutcomes()
    assert bool(outcomes.get("failed") or outcomes.get("errors")) is no_skip, result.stdout.str()
    assert bool(outcomes.get("skipped")) is not no_skip
    assert not no_skip or ("no browser" in result.stdout.str() or "no_such_module" in result.stdout.str())
