"""Makes a skip a failure where AGENTRADER_NO_SKIP=1 says that everything a test may need is there."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself whole never reaches the hook above."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and os.environ.get("AGENTRADER_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped where no skip is allowed: {report.longrepr}"
