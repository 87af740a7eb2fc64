"""What is said of a run before it asks anybody, beside what it then takes; and budgets, which stop it in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from counting_model import Counted
from main_job import WINDOW, play

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

from agents.llm.models import resolve_model
from agents.llm.prices import PriceList, Tokens
from backtesting.core import authentic_backtest
from backtesting.core.consent import require_consent
from backtesting.core.estimate import Estimate, Pace, Range, estimate
from backtesting.core.sampling import Call, Sample
from data.door import SystemClock
from data.model.errors import UsageError

KEY = {"OPENAI_API_KEY": "sk-nobody-is-asked"}
MINI = (*WINDOW, "--model", "openai/gpt-4o-mini")
NOW = SystemClock().now()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Counted]]:
    """The address of a server that counts, and what it counted. It takes many at once: a call that was turned away
    may have been paid, and the budget says so."""
    counted = Counted()
    monkeypatch.setattr(server._Server, "request_queue_size", 256)
    server.Handler.disable_nagle_algorithm = True
    with server.FaultServer(then=counted.step) as listening:
        yield listening.base_url, counted


def test_the_estimate_sends_nothing_and_leaves_nothing(
    tmp_path: Path, bitcoin: str, counting: tuple[str, Counted]
) -> None:
    url, counted = counting
    told = play(tmp_path, bitcoin, *MINI, "--base_url", url, "--estimate")
    assert (told.code, counted.calls) == (0, 0)
    assert "nothing was sent" in told.err
    assert not (tmp_path / "runs").exists()
    assert told.summary["estimate"]["decisions"] == 240


@pytest.mark.parametrize("concurrency", ["1", "32"])
def test_a_run_takes_what_was_said_stops_at_half_and_goes_on(
    tmp_path: Path, bitcoin: str, counting: tuple[str, Counted], concurrency: str
) -> None:
    url, counted = counting
    words = (*MINI, "--base_url", url, "--concurrency", concurrency)
    told = play(tmp_path, bitcoin, *words, "--estimate").summary["estimate"]
    whole = play(tmp_path, bitcoin, *words, environ=KEY)
    assert whole.code == 0
    took = counted.input + counted.output
    assert told["input_tokens"]["likely"] + told["output_tokens"]["likely"] == pytest.approx(took, rel=0.15)
    assert told["input_tokens"]["low"] <= counted.input <= told["input_tokens"]["high"]
    assert told["output_tokens"]["low"] <= counted.output <= told["output_tokens"]["high"]
    assert told["calls"]["low"] <= counted.calls <= told["calls"]["high"]
    assert told["usd"]["low"] <= counted.spent <= told["usd"]["high"]
    assert told["disk_bytes"]["low"] <= _size(whole.folder) <= told["disk_bytes"]["high"]

    before, half = counted.spent, told["usd"]["likely"] / 2
    stopped = play(tmp_path, bitcoin, *words, "--budget_usd", f"{half}", environ=KEY)
    spent = counted.spent - before
    assert stopped.code == 3
    assert "budget" in stopped.summary["reason"]
    assert half - 2 * counted.dearest < spent <= half

    rest = play(tmp_path, bitcoin, "--resume", str(stopped.folder), "--budget_usd", f"{half * 1.1}", environ=KEY)
    assert rest.code == 0
    assert rest.summary["result_digest"] == whole.summary["result_digest"]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sample(*calls: tuple[str, int, int], decisions: int = 1) -> Sample:
    return Sample(decisions, tuple(Call(resolve_model(name), Tokens(*both)) for name, *both in calls), 1000)


def test_what_was_sampled_is_scaled_to_the_run() -> None:
    found = estimate(_sample(("openai/gpt-4o", 1000, 100)), 10, 10, Pace(), PriceList(), NOW)
    assert found.calls == Range(10, 10, 11)
    assert (found.input_tokens.likely, found.output_tokens.likely) == (10_000, 1500)
    assert found.usd is not None
    assert found.usd.likely == pytest.approx(0.025 + 0.015)


def test_rules_are_free_and_count_no_tokens() -> None:
    found = estimate(_sample(("rules", 1000, 100)), 10, 10, Pace(), PriceList(), NOW)
    assert found.is_free
    assert found.input_tokens == Range(0, 0, 0)
    assert found.wall_s.high < 60


def test_an_unknown_price_is_named_and_is_no_zero() -> None:
    found = estimate(_sample(("openai/house-model", 10, 1), ("openai/gpt-4o", 10, 1)), 1, 1, Pace(), PriceList(), NOW)
    assert (found.usd, found.unpriced, found.is_free) == (None, ("openai/house-model",), False)


@pytest.mark.parametrize(
    ("pace", "least_s"),
    [(Pace(64, requests_per_minute=30), 60), (Pace(64, tokens_per_minute=1000), 60 * 60), (Pace(64), 4)],
)
def test_no_run_is_faster_than_its_limits(pace: Pace, least_s: float) -> None:
    found = estimate(_sample(("openai/gpt-4o", 1000, 100)), 60, 60, pace, PriceList(), NOW)
    assert found.wall_s.likely >= least_s
    assert found.wall_s.low <= found.wall_s.likely <= found.wall_s.high


def test_a_limit_lets_the_first_minute_s_calls_go_at_once() -> None:
    sample = _sample(("openai/gpt-4o", 1000, 100))
    free, limited = (estimate(sample, 30, 30, pace, PriceList(), NOW) for pace in (Pace(), Pace(1, 30)))
    assert (limited.wall_s.low, limited.wall_s.likely) == (free.wall_s.low, free.wall_s.likely)


def test_each_call_is_priced_by_itself_where_a_long_prompt_is_dearer() -> None:
    """All prompts of a run together are longer than any prompt, and cost what each of them does."""
    found = estimate(_sample(("gemini/gemini-2.5-pro", 2600, 0)), 960, 960, Pace(), PriceList(), NOW)
    each = PriceList().cost(resolve_model("gemini/gemini-2.5-pro"), Tokens(2600, 0), NOW)
    together = PriceList().cost(resolve_model("gemini/gemini-2.5-pro"), Tokens(2600 * 960, 0), NOW)
    assert found.usd is not None
    assert each is not None
    assert together is not None
    assert found.usd.likely == pytest.approx(float(each) * 960)
    assert found.usd.likely < float(together) * 0.6


@pytest.mark.parametrize(("places", "likely"), [(1, 100), (9, 104), (32, 116), (256, 120)])
def test_more_in_flight_are_more_asked_for_nothing(places: int, likely: int) -> None:
    found = estimate(_sample(("openai/gpt-4o", 10, 1)), 100, 100, Pace(places), PriceList(), NOW)
    assert (found.calls.low, found.calls.likely) == (100, likely)


def _costing(usd: float | None) -> Estimate:
    one = Range(1, 1, 1)
    sum_ = None if usd is None else Range(usd / 2, usd, usd * 2)
    return Estimate(("m/n",), 1, 1, one, one, one, sum_, () if sum_ else ("m/n",), one, one, 1)


@pytest.mark.parametrize(("usd", "budget"), [(0.0, None), (1.0, None), (9.0, "1"), (None, "0.5")])
def test_what_costs_a_dollar_at_most_is_not_asked_about(usd: float | None, budget: str | None) -> None:
    require_consent(_costing(usd), None if budget is None else Decimal(budget), None)


@pytest.mark.parametrize(("usd", "budget"), [(1.01, None), (9.0, "1.01"), (None, None), (None, "5")])
def test_what_may_cost_more_needs_a_yes(usd: float | None, budget: str | None) -> None:
    asked: list[str] = []

    def answer(*, yes: bool) -> None:
        require_consent(
            _costing(usd), None if budget is None else Decimal(budget), lambda word: bool(asked.append(word)) or yes
        )

    with pytest.raises(UsageError, match="--yes"):
        require_consent(_costing(usd), None if budget is None else Decimal(budget), None)
    with pytest.raises(UsageError, match="nothing was asked of any model"):
        answer(yes=False)
    answer(yes=True)
    assert len(asked) == 2
    assert asked[0].endswith("[y/N] ")


def test_a_dear_run_is_refused_where_nobody_can_be_asked(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(authentic_backtest, "ROOT", tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY["OPENAI_API_KEY"])
    with server.FaultServer() as listening:
        words = [*WINDOW, "--model", "openai/gpt-4o", "--base_url", listening.base_url, "--database", bitcoin]
        assert authentic_backtest.main([*words, "--output_dir", str(tmp_path / "runs")]) == 2
        assert listening.received == []
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "this run would cost 7." in told
    assert " USD (" in told
    assert "--yes" in told
    assert not (tmp_path / "runs").exists()


def test_a_resumed_run_is_asked_about_what_is_left(tmp_path: Path, bitcoin: str, counting: tuple[str, Counted]) -> None:
    """After so many decisions that the rest costs next to nothing, nobody needs to be asked."""
    url, _ = counting
    words = (*WINDOW, "--model", "openai/gpt-4o", "--base_url", url, "--decide_every", "12")
    stopped = play(tmp_path, bitcoin, *words, "--budget_usd", "0.3", environ=KEY)
    assert stopped.code == 3
    told = play(tmp_path, bitcoin, "--resume", str(stopped.folder), "--estimate")
    left = told.summary["estimate"]["decisions"]
    assert left == 20 - stopped.summary["decisions"]
    assert 0 < left < 20


@pytest.mark.parametrize("also", [("--estimate",), ()])
def test_a_price_that_belongs_to_no_model_of_the_run_is_told(
    tmp_path: Path, bitcoin: str, counting: tuple[str, Counted], also: tuple[str, ...]
) -> None:
    words = (*MINI, "--decide_every", "24", "--base_url", counting[0])
    told = play(tmp_path, bitcoin, *words, "--price", "gpt-4o-mini=1,2", *also, environ=KEY)
    line = "warning: --price gpt-4o-mini counts for nothing: no agent asks that model, but openai/gpt-4o-mini"
    assert line in told.err.splitlines()
    told = play(tmp_path, bitcoin, *words, "--price", "openai/gpt-4o-mini=1,2", *also, environ=KEY)
    assert "counts for nothing" not in told.err


def test_a_price_of_one_s_own_keeps_a_budget_and_is_remembered(
    tmp_path: Path, bitcoin: str, counting: tuple[str, Counted]
) -> None:
    url, counted = counting
    words = (*WINDOW, "--model", "openai/house", "--base_url", url, "--decide_every", "24", "--budget_usd", "0.5")
    with pytest.raises(UsageError, match="--price openai/house=IN,OUT"):
        play(tmp_path, bitcoin, *words, environ=KEY)
    stopped = play(tmp_path, bitcoin, *words, "--price", "10,20", environ=KEY)
    assert (stopped.code, counted.calls) == (3, stopped.summary["calls"])
    assert stopped.summary["cost_usd"] == pytest.approx((10 * counted.input + 20 * counted.output) / 1e6)
    assert stopped.summary["cost_usd"] <= 0.5
    rest = play(tmp_path, bitcoin, "--resume", str(stopped.folder), "--budget_usd", "9", environ=KEY)
    assert rest.code == 0
