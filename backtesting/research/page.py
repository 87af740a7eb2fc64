"""A sweep as one HTML page that needs nothing else: what was tried, how it came out, and what chance alone would show.

No script at all; the content security policy allows the page's own style by its digest and no request. Everything is
escaped, and control characters are shown.
"""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from backtesting.audit.amounts import MINUS, NONE, percent
from backtesting.audit.sheet import asset, environment, policy
from backtesting.research.heat import heat_maps
from backtesting.research.outcomes import Outcome, Outcomes
from backtesting.research.planning import Plan
from backtesting.research.strategies import STRATEGIES
from data.model.canonical import decimal_text

ASSETS = Path(__file__).parent / "assets"
ROWS, FAILED = 50, 20


def write_page(outcomes: Outcomes, plan: Plan, path: Path) -> None:
    """Writes it beside its place first, so that nobody reads half of it."""
    unfinished = path.with_suffix(".part")
    unfinished.write_text(page_html(outcomes, plan), "utf-8")
    unfinished.replace(path)


def page_html(outcomes: Outcomes, plan: Plan) -> str:
    """The page. Equal results give equal bytes."""
    style = asset("report.css") + (ASSETS / "sweep.css").read_text("utf-8")
    best = outcomes.ranked[0] if outcomes.ranked else None
    return (
        environment(ASSETS)
        .get_template("sweep.html.j2")
        .render(
            policy=policy((), style),
            style=Markup(style),  # noqa: S704 - our own files
            sweep_id=outcomes.sweep_id,
            name=plan.spec.name,
            what=f"{', '.join(plan.spec.symbols)} · {plan.spec.interval.value} bars · {_windows(plan)}",
            count=len(outcomes.all),
            best=None if best is None else _row(outcomes, best),
            verdict=outcomes.verdict,
            warnings=plan.warnings,
            tiles=_tiles(outcomes, plan),
            maps=heat_maps(outcomes),
            several=len({each.where for each in outcomes.all}) > 1,
            rows=[_row(outcomes, each) for each in outcomes.ranked[:ROWS]],
            unrated=len(outcomes.done) - len(outcomes.ranked),
            failed=[(each.who, each.question.symbol, each.window, each.reason) for each in outcomes.failed[:FAILED]],
            failed_count=len(outcomes.failed),
            rules=[(rule.name, rule.says) for rule in STRATEGIES.values() if rule.name in _names(plan)],
            settings=_settings(plan),
        )
    )


def _windows(plan: Plan) -> str:
    windows = plan.spec.windows
    return f"{windows[0].start_on} to {windows[0].end_on}" if len(windows) == 1 else f"{len(windows)} windows"


def _names(plan: Plan) -> set[str]:
    return {choice.name for choice in plan.spec.strategies}


def _tiles(outcomes: Outcomes, plan: Plan) -> list[tuple[str, str, str]]:
    best = outcomes.ranked[0] if outcomes.ranked else None
    expected = None if best is None else outcomes.expected_max(best)
    deflated = None if best is None or best.trial is None else outcomes.selection.deflated(best.trial)
    left_out = f"{plan.left_out} combinations left out" if plan.left_out else "none left out"
    return [
        ("Trials", f"{len(outcomes.all):,}", left_out),
        ("Best Sharpe", _ratio(best.trial.sharpe if best and best.trial else None), "annual"),
        ("Best by chance alone", _ratio(expected), "mean of as many worthless trials"),
        ("Deflated Sharpe", _chance(deflated), "probability that it is more than that"),
        ("Failed", f"{len(outcomes.failed):,}", "tried again by the same command" if outcomes.failed else "none"),
    ]


def _row(outcomes: Outcomes, each: Outcome) -> dict[str, object]:
    trial = each.trial
    assert trial is not None
    deflated = outcomes.selection.deflated(trial)
    return {
        "who": each.who,
        "where": each.where,
        "parameters": ", ".join(f"{name} {value}" for name, value in outcomes.varied(each).items()) or NONE,
        "rate": percent(trial.total_return),
        "held": NONE if trial.buy_and_hold_return is None else percent(trial.buy_and_hold_return),
        "tone": "good" if trial.total_return > 0 else "bad",
        "sharpe": _ratio(trial.sharpe),
        "deflated": _chance(deflated),
        "drawdown": percent(trial.max_drawdown),
        "turnover": _ratio(trial.turnover),
        "fills": f"{trial.fills:,}",
        "run": trial.run_id or "",
    }


def _settings(plan: Plan) -> list[tuple[str, str]]:
    spec = plan.spec
    search = spec.search
    drawn = "" if search.method == "grid" else f", {search.count} points, seed {search.seed}"
    windows = "; ".join(f"{window.start_on} to {window.end_on}" for window in spec.windows)
    return [
        ("Sweep", plan.sweep_id),
        ("Search", f"{search.method}{drawn}"),
        ("Symbols", ", ".join(spec.symbols)),
        ("Windows", f"{windows}, ends included"),
        ("Bars before a window that warm indicators up", f"up to {spec.warmup}"),
        ("Initial cash", decimal_text(spec.initial_cash)),
        ("Volume cap", f"{decimal_text(spec.limits.volume_cap)} of a bar's volume"),
    ]


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}".replace("-", MINUS)


def _chance(value: float | None) -> str:
    return NONE if value is None else percent(value, sign=False, digits=0)
