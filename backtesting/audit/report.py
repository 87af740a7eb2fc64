"""A run as one HTML page that needs nothing else: no server, no network, no file beside it.

The page is a pure function of the journal. Its content security policy allows only the scripts and the style that are
in it, by their digests, and no request at all; everything a model or a feed wrote is text there, never markup. The
figures and tables read without JavaScript, charts and transcripts need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from markupsafe import Markup

from backtesting.audit import amounts, figures
from backtesting.audit.figures import Figure
from backtesting.audit.page_data import embed, price_digits, run_data, transcripts
from backtesting.audit.sheet import asset, enclosed, sheet
from backtesting.audit.story import Story
from data.model.canonical import Json, decimal_text, digest
from data.model.instants import show
from data.model.market import Fact, FactKind
from data.model.trading import Trade

LIBRARY = "lightweight-charts.standalone.production.js"
SCRIPTS = ("page.js", "charts.js", "decisions.js", "transcript.js")
DRAWN_POINTS = 600


def report_html(story: Story) -> str:
    """The page. Equal stories give equal bytes."""
    return sheet(
        "report.html.j2",
        asset(LIBRARY),
        enclosed(*SCRIPTS),
        asset("report.css"),
        run=Markup(embed(run_data(story))),  # noqa: S704 - embed escapes what HTML would read
        chunks=[Markup(embed(chunk)) for chunk in transcripts(story)],  # noqa: S704
        **_context(story),
    )


def _context(story: Story) -> dict[str, object]:
    begin, end = story.begin.body, story.end.body if story.end else {}
    warnings = begin.get("warnings")
    question = story.question
    return {
        "run_id": story.run_id,
        "symbols": list(question.symbols),
        "window": f"{question.interval.value} bars, {question.start_on} to {question.end_on}",
        "model_note": str(begin.get("model_note") or "model: unknown"),
        "headline": figures.headline(story),
        "verdict": figures.verdict(story),
        "rate": figures.tiles(story)[0],
        "complete": end.get("status") == "complete",
        "reason": end.get("reason") or "the log ends without a run.end record",
        "warnings": [str(warning) for warning in warnings] if isinstance(warnings, list) else [],
        "tiles": figures.tiles(story)[1:],
        "standing": list(figures.standing(story)),
        "comparison": figures.comparison(story),
        "metrics": figures.metric_rows(end.get("metrics"), end.get("significance")),
        "costs": figures.costs(story),
        "agents": figures.agents(story),
        "trades": list(_trades(story)),
        "actions": [_action(seq, action) for seq, action in story.actions],
        "settings": list(settings(story)),
        "provenance": list(_provenance(story)),
        "end_record": story.end.seq if story.end else None,
        "currency": figures.currency(story),
        "drawing": _drawing(story),
    }


def _trades(story: Story) -> Iterator[dict[str, object]]:
    numbers = {
        (order.symbol, order.order_id): session.number
        for session in story.sessions
        if session.decision
        for order in session.decision.value.orders
    }
    entries = {(f.symbol, f.at): numbers.get((f.symbol, f.order_id)) for _, f in reversed(story.fills)}
    for place, (seq, trade) in enumerate(story.trades, 1):
        shown = _trade(trade, price_digits(story, trade.symbol))
        yield {**shown, "place": place, "record": seq, "decision": entries.get((trade.symbol, trade.entry_at))}


def _trade(trade: Trade, digits: int) -> dict[str, object]:
    return {
        "symbol": trade.symbol,
        "side": "long" if trade.quantity > 0 else "short",
        "quantity": amounts.plain(abs(trade.quantity)),
        "entry_at": show(trade.entry_at).removesuffix(" UTC"),
        "exit_at": show(trade.exit_at).removesuffix(" UTC"),
        "entry_price": amounts.price(trade.entry_price, digits),
        "exit_price": amounts.price(trade.exit_price, digits),
        "profit": amounts.money(trade.profit),
        "rate": amounts.percent(float(trade.rate)),
        "costs": amounts.money(trade.costs),
        "reason": trade.reason.value,
        "tone": "good" if trade.profit > 0 else "bad",
    }


def _action(seq: int, action: Fact) -> Figure:
    value = decimal_text(action.value) if action.value is not None else "?"
    meant = "new shares for one old" if action.kind is FactKind.SPLIT else f"{action.unit or 'cash'} a share"
    return Figure(f"{action.symbol}, {action.effective_on}", f"{action.kind.value}: {value} {meant}", f"record {seq}")


def settings(story: Story) -> Iterator[Figure]:
    """What was asked, as labelled rows."""
    asked = story.question
    costs, limits = asked.costs, asked.limits
    yield Figure("Symbols", ", ".join(asked.symbols))
    yield Figure("Interval", asked.interval.value)
    yield Figure("Window", f"{asked.start_on} to {asked.end_on}, both included")
    yield Figure("Initial cash", f"{amounts.money(asked.initial_cash)} {figures.currency(story)}")
    yield Figure("Protocol", asked.protocol.replace("_", " "))
    yield Figure("Decides every", f"{asked.decide_every} bar" + ("s" if asked.decide_every > 1 else ""))
    yield Figure("Bars shown to agents", f"up to {asked.lookback}")
    temperature = "the model's own" if asked.temperature is None else f"{asked.temperature:g}"
    yield Figure("Temperature, seed", f"{temperature}, {'none' if asked.seed is None else asked.seed}")
    yield Figure("Position size", amounts.percent(float(limits.position_size), sign=False, digits=0))
    yield Figure("Exposure limit", amounts.percent(float(limits.max_exposure), sign=False, digits=0))
    yield Figure("Short selling", "allowed" if limits.allow_short else "not allowed")
    yield Figure("Volume cap", f"{amounts.percent(float(limits.volume_cap), sign=False, digits=0)} of a bar's volume")
    yield Figure("Stop distance", f"{_fraction(limits.min_stop)} to {_fraction(limits.max_stop)} of the entry price")
    yield Figure("Commission", f"{decimal_text(costs.commission_bps)} bps, {costs.commission_model}")
    yield Figure("Slippage", f"{decimal_text(costs.slippage_bps)} bps, {costs.slippage_model}")


def _provenance(story: Story) -> Iterator[Figure]:
    begin, end = story.begin.body, story.end.body if story.end else {}
    yield Figure("Run", story.run_id)
    yield Figure("Result digest", str(end.get("result_digest") or "none: the run did not end"))
    yield Figure("Data digest", str(begin.get("data_digest")))
    for spec in story.question.agents:
        yield Figure(f"Prompt, {spec.role}", f"{spec.prompt} {spec.prompt_sha256}")
    environment = begin.get("environment")
    if isinstance(environment, dict):
        files = environment.get("files")
        yield from _flat({name: value for name, value in environment.items() if name != "files"})
        if isinstance(files, dict):
            yield Figure("Code, prompts, lock", f"{len(files)} files, together {digest(files)}; each in spec.json")
    yield Figure("Log", f"log.jsonl, records {story.begin.seq} to {story.end.seq if story.end else 'its last'}")


def _flat(value: Json, prefix: str = "") -> Iterator[Figure]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}{name} ")
    else:
        yield Figure(prefix.strip().capitalize(), "unknown" if value is None else str(value))


def _drawing(story: Story) -> dict[str, str]:
    """Two polylines of an 800 x 200 drawing for readers without JavaScript."""
    step = max(1, len(story.equity) // DRAWN_POINTS)
    points = story.equity[::step]
    values = [value for point in points for value in (point.row.equity, point.benchmark)]
    if len(points) < 2 or max(values) == min(values):
        return {}
    low, high, width = min(values), max(values), len(points) - 1

    def line(series: list[Decimal]) -> str:
        return " ".join(
            f"{800 * place / width:.1f},{float(200 * (high - value) / (high - low)):.1f}"
            for place, value in enumerate(series)
        )

    held = line([point.benchmark for point in points])
    return {"agents": line([point.row.equity for point in points]), "held": held}


def _fraction(value: Decimal) -> str:
    return amounts.percent(float(value), sign=False, digits=1)
