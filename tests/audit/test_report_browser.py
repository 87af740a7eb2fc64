"""The page in a real browser: it opens without a complaint or a request, and shows what was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from made_run import Plan, spot, write_run

from backtesting.audit.renderings import write_renderings

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.find() is None, reason="needs Chromium"),
]
PANEL = "document.getElementById('transcript')"
ROWS = "document.querySelectorAll('#decision-table tbody tr').length"
SIZES = [(1360, 900, False), (390, 844, True), (320, 640, True)]


@pytest.fixture(scope="module")
def page() -> Iterator[chromium.Page]:
    with chromium.Page() as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(page: chromium.Page) -> Iterator[None]:
    """Whatever a test does, the page complains of nothing and asks for nothing but itself."""
    page.complaints.clear()
    page.requests.clear()
    page.size(1360, 900)
    yield
    page.run("new Promise((done) => setTimeout(done, 50))")
    assert page.complaints == []
    asked = {url.split("#")[0].rsplit("/", 1)[-1] for url in page.requests}
    assert asked <= {"report.html", "about:blank"}
    assert "report.html" in asked


def drawn(page: chromium.Page, folder: Path, fragment: str = "") -> None:
    page.open(folder / "report.html", fragment)
    page.until(f"{ROWS} > 0 && document.querySelectorAll('#price-chart canvas').length > 0")


def text(page: chromium.Page, expression: str) -> str:
    shown = page.run(f"{expression}.textContent")
    assert isinstance(shown, str)
    return shown


@pytest.mark.parametrize(("width", "height", "mobile"), SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_and_draws(
    page: chromium.Page, run_dir: Path, *, width: int, height: int, mobile: bool, dark: bool
) -> None:
    page.size(width, height, mobile=mobile, dark=dark)
    drawn(page, run_dir)
    assert page.run("document.documentElement.scrollWidth") == width
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 22, 26)") is dark
    assert page.run(_COLOURS) > 3, "the candles are painted"


# How many different colours the price chart's canvases show.
_COLOURS = """(() => {
  const seen = new Set();
  for (const canvas of document.querySelectorAll('#price-chart canvas')) {
    if (!canvas.width || !canvas.height) continue;
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < data.length; at += 4) if (data[at + 3]) seen.add(data.slice(at, at + 3).join());
  }
  return seen.size;
})()"""


def test_a_click_on_a_row_shows_the_transcript(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    assert page.run(f"{PANEL}.hidden")
    page.click("#decision-table tr[data-number='18'] td.why")
    page.until(f"!{PANEL}.hidden")
    shown = text(page, PANEL)
    for agent in ("Technical Analyst", "Fundamental Analyst", "Portfolio Manager", "Decision Agent"):
        assert agent in shown
    for said in (
        "Decision 18 of 240",
        "I looked at trend and volatility first.",
        "no fundamental fact was known",
        "rests on f1, f2",
        "78.5\u00a0% confident",
        "Limit cost_reserve: size 1 becomes 0.997",
        "Order: BUY 0.11699859 to open",
        "Filled: BUY 0.11699859 at 85,231.732938 in the bar of 2025-03-01 18:00 UTC",
        "1,840 tokens in",
    ):
        assert said in shown


def test_the_way_back_closes_the_transcript(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.click("#decision-table tr[data-number='18'] td.why")
    page.until(f"!{PANEL}.hidden")
    page.run("history.back()")
    page.until(f"{PANEL}.hidden")


# Of each chart's picture: whether it is all that paper shows of it, whether it fits, and whether its corner is white.
_ON_PAPER = """Array.from(document.querySelectorAll('.chart'), (chart) => {
  const [picture, ...others] = Array.from(chart.children).filter((each) => each.checkVisibility());
  const data = picture.tagName === 'CANVAS' ? picture.getContext('2d').getImageData(1, 1, 1, 1).data : [];
  const inside = picture.getBoundingClientRect().right <= chart.getBoundingClientRect().right;
  return [others.length, inside, Array.from(data)];
})"""


def test_paper_shows_the_charts_whole_and_light(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.click("#theme")
    page.click("#theme")
    wide = "document.querySelector('#price-chart canvas').clientWidth"
    before = page.run(wide)
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.size(700, 900)
    page.send("Emulation.setEmulatedMedia", media="print")
    assert page.run(_ON_PAPER) == [[0, True, [255, 255, 255, 255]]] * 2
    assert page.run("getComputedStyle(document.body).color") == "rgb(28, 31, 36)"
    assert page.run("document.getElementById('page-place').checkVisibility()"), "it says that there are more rows"
    page.send("Emulation.setEmulatedMedia", media="")
    page.size(1360, 900)
    page.run("dispatchEvent(new Event('afterprint'))")
    page.until(f"{wide} === {before}")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    assert page.run("document.querySelectorAll('.paper').length") == 0
    page.run("localStorage.clear()")


def test_without_scripts_there_is_a_drawing_and_no_empty_box(page: chromium.Page, run_dir: Path) -> None:
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(run_dir / "report.html")
        drawings = "document.querySelectorAll('.chart, .drawing, .hint')"
        assert page.run(f"Array.from({drawings}, (each) => each.checkVisibility())") == [False, False, False, True]
    finally:
        page.send("Emulation.setScriptExecutionDisabled", value=False)


def test_a_failed_decision_shows_what_failed(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir, "#d17")
    page.until(f"!{PANEL}.hidden")
    shown = text(page, PANEL)
    assert "FAILED" in shown
    assert "truncated (Portfolio Manager): finish_reason is length after 4096 tokens" in shown
    assert "No order." in shown


def test_a_click_on_the_chart_shows_the_transcript_of_that_bar(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.run("document.getElementById('price-chart').scrollIntoView({block: 'center'})")
    x, y = page.run(
        "(() => { const b = document.getElementById('price-chart').getBoundingClientRect();"
        " return [b.x + b.width * 0.4, b.y + b.height * 0.5]; })()"
    )
    page.click_at(x, y)
    page.until(f"!{PANEL}.hidden")
    number = int(page.run("location.hash").removeprefix("#d"))
    assert 60 < number < 140
    assert text(page, PANEL).startswith(f"Decision {number} of 240")


def test_the_keyboard_is_enough(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.run("document.querySelector('#decision-table tbody a').focus()")
    page.press("Enter")
    page.until(f"!{PANEL}.hidden")
    assert page.run(f"document.activeElement === {PANEL}")
    page.press("ArrowRight")
    page.until(f"{PANEL}.textContent.startsWith('Decision 2 of')")
    page.press("ArrowLeft")
    page.until(f"{PANEL}.textContent.startsWith('Decision 1 of')")
    page.press("Escape")
    page.until(f"{PANEL}.hidden")
    assert page.run("location.hash") == ""
    assert page.run("document.activeElement.closest('#decision-table') !== null")


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ("document.getElementById('filter-outcome').value = 'FAILED'", "1-2 of 2"),
        ("document.getElementById('filter-outcome').value = 'order'", "1-25 of 30"),
        ("document.getElementById('filter-text').value = 'NO fundamental fact'", "1-25 of 240"),
        ("document.getElementById('filter-text').value = 'finish_reason is length'", "1-2 of 2"),
        ("document.getElementById('filter-text').value = 'said by nobody'", "no decision fits"),
    ],
)
def test_decisions_are_filtered(page: chromium.Page, run_dir: Path, script: str, place: str) -> None:
    drawn(page, run_dir)
    page.run(f"{script}; document.getElementById('filters').requestSubmit()")
    assert text(page, "document.getElementById('page-place')").replace("\u2013", "-") == place


def test_the_pages_of_the_table_turn(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.click("#page-after")
    assert page.run("document.querySelector('#decision-table tbody tr').dataset.number") == "26"
    page.click("#page-before")
    assert page.run("document.querySelector('#decision-table tbody tr').dataset.number") == "1"


def test_a_trade_leads_to_the_decision_that_opened_it(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.click("#trades tbody a")
    page.until(f"!{PANEL}.hidden")
    assert text(page, PANEL).startswith("Decision 18 of 240")


def test_the_theme_is_chosen_and_kept(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.run(paper)
    page.click("#theme")
    page.click("#theme")
    assert text(page, "document.getElementById('theme')") == "Theme: dark"
    assert page.run(paper) != light
    page.run("localStorage.clear()")


def test_hostile_text_does_nothing(page: chromium.Page, hostile_dir: Path) -> None:
    drawn(page, hostile_dir, "#d5")
    page.until(f"!{PANEL}.hidden")
    shown = text(page, PANEL)
    assert "</script><script>document.title='owned'; window.owned = 1</script>" in shown
    assert "\\u202ereversed\\u2066\\x1b[31m" in shown
    assert page.run("document.title").startswith("<b>BTC</b>, ETHUSDT")
    assert page.run("window.owned === undefined")
    assert page.run("document.querySelectorAll('img, b:not(.legend b)').length") == 0


def test_each_of_several_symbols_has_its_chart(page: chromium.Page, hostile_dir: Path) -> None:
    drawn(page, hostile_dir)
    legend = "document.getElementById('price-legend')"
    assert text(page, legend).startswith("<b>BTC</b> 2025-03-02 05:00")
    page.run("document.getElementById('symbol').value = '1'")
    page.run("document.getElementById('symbol').dispatchEvent(new Event('change'))")
    assert text(page, legend).startswith("ETHUSDT 2025-03-02 05:00")
    page.run("document.getElementById('filter-symbol').value = '1'; document.getElementById('filters').requestSubmit()")
    assert text(page, "document.getElementById('page-place')") == "1\u201325 of 30"


def test_thousands_of_decisions_open_at_once(page: chromium.Page, tmp_path: Path) -> None:
    bars = spot("BTCUSDT").read_text().splitlines()
    header, first = bars[0], bars[1:]
    long = tmp_path / "long.csv"
    years = [line.replace("2025-", f"{2021 + year}-") for year in range(5) for line in first[:1000]]
    long.write_text("\n".join([header, *years]))
    folder = write_run(tmp_path / "run", Plan({"BTCUSDT": long}, bars=5000))
    write_renderings(folder)
    drawn(page, folder, "#d4321")
    page.until(f"!{PANEL}.hidden")
    assert text(page, PANEL).startswith("Decision 4,321 of 5,000")
    assert page.run("performance.getEntriesByType('navigation')[0].domComplete") < 10_000


def test_the_policy_stops_what_was_not_in_the_page(page: chromium.Page, run_dir: Path) -> None:
    drawn(page, run_dir)
    page.run(
        "{ const made = document.createElement('script'); made.textContent = 'window.owned = 1';"
        " document.body.append(made); }"
    )
    assert page.run("window.owned === undefined")
    assert page.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'stopped')") == "stopped"
    assert any("Content Security Policy" in str(complaint) for complaint in page.complaints)
    page.complaints.clear()
    page.requests[:] = [url for url in page.requests if "127.0.0.1" not in url]


# Pixels from the chart's left edge to the first that is green or red.
_LEFT = """(() => {
  let first = Infinity;
  for (const canvas of document.querySelectorAll('#price-chart canvas')) {
    if (!canvas.width || !canvas.height) continue;
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < data.length; at += 4) {
      const colours = data.slice(at, at + 3);
      if (!data[at + 3] || Math.max(...colours) - Math.min(...colours) <= 60) continue;
      first = Math.min(first, (at / 4) % canvas.width);
    }
  }
  return first / devicePixelRatio;
})()"""


@pytest.mark.parametrize(("width", "height", "mobile"), SIZES)
def test_the_first_bar_and_its_labels_stand_clear_of_the_edge(
    page: chromium.Page, run_dir: Path, *, width: int, height: int, mobile: bool
) -> None:
    page.size(width, height, mobile=mobile)
    drawn(page, run_dir)
    page.run("new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))")
    assert 8 <= page.run(_LEFT) <= 40
