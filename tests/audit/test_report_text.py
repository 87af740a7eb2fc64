"""The page as text: what its policy allows, what is embedded in it, what reads without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_run import Plan, spot, write_run

from backtesting.audit.amounts import money, percent, plain, price
from backtesting.audit.figures import drawdowns, metric_rows
from backtesting.audit.page_data import embed
from backtesting.audit.renderings import write_renderings
from backtesting.audit.report import LIBRARY
from backtesting.audit.sheet import ASSETS

PLAIN_LINKS = {"https://www.tradingview.com/"}


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in ("script", "style", "title"):
            self._inside.append(tag)
            self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)


@pytest.fixture(params=["run_dir", "hostile_dir"])
def page(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue(request.param)
    return (folder / "report.html").read_text(encoding="utf-8")


def executed(elements: Elements) -> Iterator[str]:
    kinds = iter(text for tag, text in elements.texts if tag == "script")
    for tag, attributes in elements.found:
        if tag == "script":
            text = next(kinds)
            if attributes.get("type") != "application/json":
                yield text


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_exactly_the_scripts_and_the_style_of_the_page(page: str) -> None:
    elements = Elements(page)
    (policy,) = [a["content"] for tag, a in elements.found if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [source(text) for text in executed(elements)]
    assert rules["style-src"].split() == [source(text) for tag, text in elements.texts if tag == "style"]
    assert "unsafe" not in policy


def test_nothing_in_the_page_asks_for_anything(page: str) -> None:
    for tag, attributes in Elements(page).found:
        assert tag not in ("img", "iframe", "object", "embed", "link", "base", "video", "audio")
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        link = attributes.get("href") or "#"
        assert link.startswith("#") or link in PLAIN_LINKS


def test_hostile_text_is_only_text(hostile_dir: Path) -> None:
    page = (hostile_dir / "report.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert not {"b", "img"} & {tag for tag, _ in elements.found}
    assert not {"\u202e", "\u2066", "\x1b", "\u2028"} & set(page)
    assert "document.title='owned'" in page, "what was said is still there to read"
    assert "{{ 7 * 7 }}" in page
    chunks = [text for tag, text in elements.texts if tag == "script"][1:-2]
    assert json.loads(chunks[0])["strings"]


def test_the_figures_read_without_javascript(run_dir: Path) -> None:
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", " ", page[: page.index('<script type="application/json"')])
    for said in (
        "model: rules (built-in, not a language model)",
        "10,000.00 became",
        "Buy-and-hold over the same bars lost",
        "Prices and money are in USDT.",
        "956 of 956",
        "2 failed: 2 truncated",
        "Costs paid",
        "Result digest",
        "TradingView Lightweight Charts",
        "2 bars are missing inside the window",
    ):
        assert said in text
    assert "<polyline" in page


def test_the_library_is_the_vendored_one_with_its_licence() -> None:
    library = (ASSETS / LIBRARY).read_text(encoding="utf-8")
    assert "TradingView Lightweight Charts™ v5.2" in library
    assert "</script" not in library.lower()
    assert "Apache License" in (ASSETS / "lightweight-charts.LICENSE").read_text()
    assert "TradingView" in (ASSETS / "lightweight-charts.NOTICE").read_text()


LEAVES = st.text() | st.integers() | st.none()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_embedded_json_holds_its_value_and_no_markup(value: object) -> None:
    text = embed(value)  # type: ignore[arg-type]
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


@given(st.lists(st.decimals(1, 1000, places=2), min_size=1))
def test_a_drawdown_is_never_above_its_peak(values: list[Decimal]) -> None:
    falls = list(drawdowns(values, values[0]))
    assert all(-1 < fall <= 0 for fall in falls)
    assert falls[values.index(max(values))] == 0


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.0421), "+4.21 %"),
        (percent(-0.5), "-50.00 %"),
        (percent(-0.000001), "0.00 %"),
        (percent(12.0), "+1,200.00 %"),
        (money(Decimal("-1234.567")), "-1,234.57"),
        (plain(Decimal("-0.50")), "-0.5"),
        (plain(Decimal("-1234.5")), "-1,234.5"),
        (plain(Decimal("1E+4")), "10,000"),
        (price(Decimal("85735.64944"), 2), "85,735.65"),
    ],
)
def test_numbers_read_plainly(shown: str, expected: str) -> None:
    assert shown.replace("\u00a0", " ").replace("\u2212", "-") == expected


def test_each_metric_has_its_unit() -> None:
    rows = metric_rows(
        {
            "volatility": 0.0858,
            "exposure": 0.0697,
            "win_rate": 1 / 3,
            "buy_and_hold_max_drawdown": -0.1408,
            "buy_and_hold_volatility": 0.7246,
            "buy_and_hold_sharpe": -1.59,
            "cash_return": 0,
            "annual_return": -0.2225,
        }
    )
    shown = {row.label: row.value.replace("\u00a0", " ").replace("\u2212", "-") for row in rows}
    assert shown == {
        "Annual return": "-22.25 %",
        "Volatility, annual": "8.58 %",
        "Exposure, mean": "6.97 %",
        "Winning trades": "33.33 %",
        "Buy-and-hold volatility, annual": "72.46 %",
        "Buy-and-hold Sharpe ratio": "-1.59",
        "Buy-and-hold maximum drawdown": "-14.08 %",
        "Cash return": "0.00 %",
    }


def test_a_decision_that_a_stop_cut_off_is_none(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cut", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=20, complete=False))
    log = folder / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if b'"kind":"decision"' in line)
    log.write_bytes(b"".join(lines[:last]))
    write_renderings(folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<dt>Decisions</dt><dd>19</dd><dd class="note ">none failed, 1 unfinished</dd>' in page
