"""The figures of a run's page, in words and plain numbers: verdict, tiles, metrics, costs, agents.

Money is in the instruments' currency, rates are shown in percent. Returns, drawdowns and costs are added up here from
the equity rows and fills, so that a run that was cut off has them too; the metrics are those that `run.end` records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from backtesting.audit.amounts import GAP, MINUS, NONE, money, percent
from backtesting.audit.story import Reply, Story, Trial
from data.model.canonical import Json, decimal_text
from data.model.decisions import Abstention, Role


class Figure(NamedTuple):
    """A label, its value, what it means or compares to, and `good`, `bad` or nothing for its colour."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the equity rows and fills add up to. Rates are fractions, drawdowns zero or below; money exact."""

    initial: Decimal
    final: Decimal
    benchmark: Decimal
    drawdown: float
    benchmark_drawdown: float
    commission: Decimal
    slippage: Decimal

    @property
    def rate(self) -> float:
        return float(self.final / self.initial - 1)

    @property
    def benchmark_rate(self) -> float:
        return float(self.benchmark / self.initial - 1)


def sums(story: Story) -> Sums:
    """Before the first bar's end everything is the initial cash."""
    initial = story.question.initial_cash
    last = story.equity[-1] if story.equity else None
    return Sums(
        initial=initial,
        final=last.row.equity if last else initial,
        benchmark=last.benchmark if last else initial,
        drawdown=min(drawdowns((point.row.equity for point in story.equity), initial), default=0.0),
        benchmark_drawdown=min(drawdowns((point.benchmark for point in story.equity), initial), default=0.0),
        commission=sum((fill.commission for _, fill in story.fills), Decimal(0)),
        slippage=sum((fill.slippage for _, fill in story.fills), Decimal(0)),
    )


def drawdowns(values: Iterable[Decimal], initial: Decimal) -> Iterator[float]:
    """For each value how far it lies below the highest one so far, as a fraction (zero or negative)."""
    peak = initial
    for value in values:
        peak = max(peak, value)
        yield float(value / peak - 1)


def currency(story: Story) -> str:
    """The one currency of all instruments, or nothing where they differ."""
    named = {instrument.currency for instrument in story.instruments.values()}
    return named.pop() if len(named) == 1 else ""


def headline(story: Story) -> str:
    """`10,000.00 became 9,769.12 USDT`."""
    total = sums(story)
    return f"{money(total.initial)} became {money(total.final)} {currency(story)}".strip()


def verdict(story: Story) -> str:
    """One sentence that compares the agents with having done nothing, in both ways of doing nothing."""
    total = sums(story)
    behind = total.rate - total.benchmark_rate
    place = "ahead of" if behind > 0 else "behind"
    difference = f"{abs(behind) * 100:.2f} percentage points {place} it" if abs(behind) >= 0.00005 else "level with it"
    return (
        f"The agents {_made(total.rate)}. Buy-and-hold over the same bars {_made(total.benchmark_rate)}, "
        f"so they were {difference}. Cash would have kept {money(total.initial)}."
    )


def tiles(story: Story) -> list[Figure]:
    """The figures that a trader asks for first."""
    total = sums(story)
    ahead = total.rate - total.benchmark_rate
    decided, failed = _decided(story), _failures(story)
    open_ones = f", {len(story.sessions) - decided:,} unfinished" if decided < len(story.sessions) else ""
    won = sum(trade.profit > 0 for _, trade in story.trades)
    replies = [event for session in story.sessions for event in session.events if isinstance(event, Reply)]
    traced = sum(reply.traced for reply in replies)
    costs = total.commission + total.slippage
    return [
        Figure("Return", percent(total.rate), f"{percent(ahead)} against holding", _tone(total.rate)),
        Figure("Buy-and-hold", percent(total.benchmark_rate), "bought at the first chance, after costs"),
        Figure("Deepest fall", percent(total.drawdown), f"holding: {percent(total.benchmark_drawdown)}"),
        Figure("Closed trades", str(len(story.trades)), f"{won} with a profit" if story.trades else "none yet"),
        Figure("Costs paid", money(costs), f"{percent(float(costs / total.initial), sign=False)} of the first capital"),
        Figure("Decisions", f"{decided:,}", failed + open_ones, "" if failed == "none failed" else "bad"),
        Figure(
            "Replies traced",
            f"{traced:,} of {len(replies):,}",
            "to a recorded provider response",
            "bad" if traced < len(replies) else "",
        ),
    ]


def standing(story: Story) -> Iterator[Figure]:
    """What a reader must know before the figures: which try it was, who answered, whether it was stopped on the way."""
    if story.trial is not None:
        yield Figure("Trial", trial_text(story.trial.value), f"record {story.trial.seq}")
    for server in story.servers.all():
        is_known = server.is_built_in or server.provider is not None
        yield Figure("Answered by", str(server), f"{server.answers:,} times", "" if is_known else "bad")
    if story.recoveries:
        times = "once" if len(story.recoveries) == 1 else f"{len(story.recoveries)} times"
        yield Figure("Stopped and resumed", times, f"at record {', '.join(map(str, story.recoveries))}")
    if story.orphans:
        what = "request has no answer" if len(story.orphans) == 1 else "requests have no answer"
        yield Figure("Orphans", f"{len(story.orphans)} {what}", "possibly paid", "bad")


def trial_text(trial: Trial) -> str:
    """`run 17 of the project, 3rd of this question, 6 unfinished`."""
    return (
        f"run {trial.number} of the project, {_ordinal(trial.of_question)} of this question, "
        f"{trial.unfinished} unfinished"
    )


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"


def comparison(story: Story) -> list[tuple[str, str, str, str]]:
    """Rows of agents against buy-and-hold and cash: what, and the three values."""
    total = sums(story)
    nothing = percent(0.0)
    return [
        ("Final equity", money(total.final), money(total.benchmark), money(total.initial)),
        ("Total return", percent(total.rate), percent(total.benchmark_rate), nothing),
        ("Deepest fall from a peak", percent(total.drawdown), percent(total.benchmark_drawdown), nothing),
    ]


def models_cost(story: Story) -> Decimal | None:
    """USD of the calls that were answered; None where a price is not known."""
    known = [call.cost_usd for call in story.calls if call.model is not None or call.cost_usd is not None]
    return None if None in known else sum((Decimal(each) for each in known if each is not None), Decimal(0))


def costs(story: Story) -> list[Figure]:
    """What trading and thinking cost."""
    total, bps = sums(story), story.question.costs
    calls = story.calls
    tokens_in, tokens_out = sum(call.input_tokens for call in calls), sum(call.output_tokens for call in calls)
    spent = models_cost(story)
    model = "unknown" if spent is None else f"{spent:.4f} USD"
    return [
        Figure("Commission", money(total.commission), f"{decimal_text(bps.commission_bps)} bps of the traded value"),
        Figure("Slippage", money(total.slippage), f"{decimal_text(bps.slippage_bps)} bps, inside the fills' prices"),
        Figure("Fills", f"{len(story.fills):,}", f"{len(story.cancellations):,} orders or parts of them not filled"),
        Figure("Models", model, f"{len(calls):,} calls, {tokens_in:,} tokens in, {tokens_out:,} out"),
    ]


def agents(story: Story) -> list[dict[str, str]]:
    """A row a seat: model, prompt, how often it said what, how sure it was."""
    specs = {spec.role: spec for spec in story.question.agents}
    seats = [(role, specs[role.value]) for role in Role if role.value in specs]
    return [_seat(story, role, spec.model, spec.prompt) for role, spec in seats]


def _seat(story: Story, role: Role, model: str, prompt: str) -> dict[str, str]:
    said: Counter[str] = Counter()
    sure: list[Decimal] = []
    for session in story.sessions:
        entry = session.answers.get(role.agent)
        if entry is None:
            continue
        if isinstance(entry.value, Abstention):
            said["abstained"] += 1
        else:
            said[entry.value.action.value] += 1
            sure.append(entry.value.confidence)
    mean = percent(float(sum(sure) / len(sure)), sign=False, digits=1) if sure else NONE
    counts = {name: f"{said[name]:,}" for name in ("BUY", "SELL", "HOLD", "abstained")}
    return {"agent": role.shown, "model": model, "prompt": prompt, "sure": mean, **counts}


def metric_rows(metrics: Json, significance: Json = None) -> list[Figure]:
    """The recorded metrics with labels, and their intervals; one without a label of ours keeps its name."""
    if not isinstance(metrics, Mapping):
        return []
    known = [name for name in _METRICS if name in metrics]
    others = [name for name in metrics if name not in _METRICS]
    return [_with_interval(_metric(name, metrics[name]), name, significance) for name in (*known, *others)]


def _with_interval(figure: Figure, name: str, significance: Json) -> Figure:
    """How far the number could lie by luck alone, for those that were resampled."""
    drawn = significance.get(name) if isinstance(significance, Mapping) else None
    if not isinstance(drawn, Mapping):
        return figure
    low, high, level = (float(str(drawn[end])) for end in ("low", "high", "level"))
    show = (
        percent if _METRICS.get(name, ("", ""))[1] == "percent" else (lambda value: f"{value:.2f}".replace("-", MINUS))
    )
    return Figure(figure.label, figure.value, f"{level:.0%} interval {show(low)} to {show(high)}, by resampling bars")


_METRICS = {
    "total_return": ("Total return", "percent"),
    "annual_return": ("Annual return", "percent"),
    "volatility": ("Volatility, annual", "share"),
    "sharpe": ("Sharpe ratio", "ratio"),
    "sortino": ("Sortino ratio", "ratio"),
    "calmar": ("Calmar ratio", "ratio"),
    "max_drawdown": ("Maximum drawdown", "percent"),
    "drawdown_bars": ("Longest drawdown, in bars", "plain"),
    "exposure": ("Exposure, mean", "share"),
    "turnover": ("Turnover", "ratio"),
    "win_rate": ("Winning trades", "share"),
    "profit_factor": ("Profit factor", "ratio"),
    "costs_paid": ("Costs paid", "money"),
    "buy_and_hold_return": ("Buy-and-hold return", "percent"),
    "buy_and_hold_volatility": ("Buy-and-hold volatility, annual", "share"),
    "buy_and_hold_sharpe": ("Buy-and-hold Sharpe ratio", "ratio"),
    "buy_and_hold_max_drawdown": ("Buy-and-hold maximum drawdown", "percent"),
    "cash_return": ("Cash return", "percent"),
    "periods_per_year": ("Bars a year", "plain"),
}


def _metric(name: str, value: Json) -> Figure:
    label, kind = _METRICS.get(name, (name.replace("_", " ").capitalize(), "plain"))
    if value is None:
        return Figure(label, NONE, "undefined over these bars")
    if kind in ("percent", "share"):
        return Figure(label, percent(float(str(value)), sign=kind == "percent"))
    if kind == "money":
        return Figure(label, money(Decimal(str(value))))
    if kind == "ratio" or isinstance(value, float):
        return Figure(label, f"{float(str(value)):.2f}".replace("-", MINUS))
    return Figure(label, str(value))


def _made(rate: float) -> str:
    if abs(rate) < 0.00005:
        return "made nothing"
    return f"{'made' if rate > 0 else 'lost'} {abs(rate) * 100:.2f}{GAP}%"


def _decided(story: Story) -> int:
    """Sessions that came to their end: the one that a stop cut off decided nothing."""
    return sum(session.decision is not None for session in story.sessions)


def _failures(story: Story) -> str:
    """`3 failed: 2 truncated, 1 timeout`."""
    failures = [s.decision.value.failure for s in story.sessions if s.decision]
    reasons = Counter(failure.reason.value for failure in failures if failure)
    if not reasons:
        return "none failed"
    named = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in sorted(reasons.items()))
    return f"{reasons.total():,} failed: {named}"


def _tone(rate: float) -> str:
    return "good" if rate > 0 else "bad" if rate < 0 else ""
