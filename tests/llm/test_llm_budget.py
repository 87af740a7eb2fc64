"""Counting and the budget: exact in Decimal, under threads too; what may not be paid is not sent."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import fault_server as faults
import openai
import pytest
import wire
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.meter import Meter, Totals
from agents.llm.models import resolve_model
from agents.llm.prices import Price, PriceList, Tokens
from data.model.errors import BudgetExhausted, UsageError

ONE_CALL = Decimal("0.0035")  # 1000 tokens in at $2.50 a million, 100 out at $10


def server(*script: faults.Step, **options: Any) -> faults.FaultServer:
    return faults.FaultServer(script, answer=lambda _: "{}", **options)


def exhausted(line: wire.Wire) -> BudgetExhausted:
    with pytest.raises(openai.APIConnectionError) as error:
        line.ask()
    assert isinstance(error.value.__cause__, BudgetExhausted)
    return error.value.__cause__


def test_what_was_asked_and_paid_is_counted() -> None:
    with server(faults.status(500), faults.empty) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        with pytest.raises(openai.APIError):
            line.ask()
        line.ask()
    assert line.channel.totals == Totals(2, 1, 2000, 200, 2 * ONE_CALL)
    assert [body["cost_usd"] for body in line.bodies("llm.response")] == [None, "0.0035", "0.0035"]
    assert line.turn.exchange is not None
    assert line.turn.exchange.cost_usd == ONE_CALL


def test_an_unknown_price_is_no_zero() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url, "openai/house-model"))
        line.ask()
    assert line.channel.totals.cost_usd is None
    assert line.bodies("llm.response")[0]["cost_usd"] is None


def test_an_answer_without_a_count_of_tokens_has_no_price() -> None:
    body = b'{"model": "gpt-4o", "choices": [{"finish_reason": "stop", "message": {"content": "{}"}}]}'
    with server(faults.raw(body)) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
    assert line.channel.totals.cost_usd is None


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}, "0.0035"),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1500}, "0.0075"),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 7}, "0.0035"),
        ({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": "many"}, "0.0035"),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": -1000, "completion_tokens": 100, "total_tokens": 1100}, None),
    ],
)
def test_what_is_in_the_total_alone_was_thought_and_is_paid_and_no_prompt_has_no_token(
    usage: dict[str, Any], cost: str | None
) -> None:
    body = {"model": "gpt-4o", "choices": [{"finish_reason": "stop", "message": {"content": "{}"}}], "usage": usage}
    with server(faults.raw(json.dumps(body).encode())) as provider:
        line = wire.Wire(wire.at(provider.base_url), budget_usd=Decimal(1))
        line.ask()
    (told,) = line.bodies("llm.response")
    assert (told["cost_usd"], line.channel.totals.cost_usd) == (cost, None if cost is None else Decimal(cost))
    assert line.channel.spent == Decimal(cost) if cost else line.channel.spent > Decimal("0.04")


def test_a_price_of_nothing_is_free_whatever_the_server_counts() -> None:
    prices = PriceList({"openai/house-model": Price(Decimal(0), Decimal(0)), "rules": Price(Decimal(1), Decimal(1))})
    assert prices.is_free(resolve_model("openai/house-model"))
    assert not prices.is_free(resolve_model("rules"))


def test_the_user_s_own_price_counts_before_the_list() -> None:
    own = {"openai/house-model": Price(Decimal(10), Decimal(20)), "openai/gpt-4o": Price(Decimal(1), Decimal(1))}
    prices = PriceList(own)
    assert prices.cost(resolve_model("openai/house-model"), Tokens(1000, 100), wire.AT) == Decimal("0.012")
    assert prices.cost(resolve_model("openai/gpt-4o"), Tokens(1000, 0), wire.AT) == Decimal("0.001")


@pytest.mark.parametrize("name", ["rules", "ollama/llama3"])
def test_what_runs_here_is_free(name: str) -> None:
    assert PriceList().cost(resolve_model(name), Tokens(10**6, 10**6), wire.AT) == 0


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-4o",
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-2.5-flash",
        "openrouter/anthropic/claude-3.5-sonnet",
    ],
)
def test_every_provider_has_a_list(name: str) -> None:
    cost = PriceList().cost(resolve_model(name), Tokens(1000, 100), wire.AT)
    assert cost is not None
    assert cost > 0


def test_cached_tokens_are_cheaper_and_nonsense_is_bounded() -> None:
    prices, spec = PriceList(), resolve_model("openai/gpt-4o")
    assert prices.cost(spec, Tokens(1000, 0, 1000), wire.AT) == Decimal("0.00125")
    assert prices.cost(spec, Tokens(1000, 0, 10**9), wire.AT) == Decimal("0.00125")


def test_a_budget_with_an_unknown_price_is_refused_before_any_call() -> None:
    line = wire.Wire(wire.at("http://127.0.0.1:9/v1", "openai/house-model"), budget_usd=Decimal(1))
    with pytest.raises(UsageError, match=r"price of openai/house-model is not known.*--budget_usd"):
        line.channel.admit(line.spec)
    with pytest.raises(UsageError):
        line.ask()


def test_a_call_that_could_exceed_the_budget_is_not_sent() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url), budget_usd=Decimal("0.048"))
        line.ask()  # at most 0.0418, in fact 0.0035
        line.ask()
        assert "$0.048 is used up: $0.0070 spent" in str(exhausted(line))
    assert len(provider.received) == 2
    assert len(line.records("llm.request")) == 2
    assert line.channel.totals.calls == 2


def test_a_retry_needs_budget_too() -> None:
    with server(faults.torn_body) as provider:
        line = wire.Wire(wire.at(provider.base_url), budget_usd=Decimal("0.05"))
        assert "$0.04" in str(exhausted(line))
    assert len(provider.received) == 1
    assert line.channel.totals.possibly_paid == 1


def test_what_was_refused_costs_nothing() -> None:
    with server(*[faults.status(429)] * 3) as provider:
        line = wire.Wire(wire.at(provider.base_url), budget_usd=Decimal("0.05"))
        line.ask()
    assert line.channel.totals.cost_usd == ONE_CALL


def test_a_free_model_passes_any_budget() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url, "ollama/llama3"), budget_usd=Decimal(0))
        line.ask()
    assert line.channel.totals.cost_usd == 0


@given(st.lists(st.tuples(st.decimals("0", "0.4", places=3), st.decimals("0", "1", places=3)), max_size=20))
def test_the_budget_holds_as_long_as_no_call_costs_more_than_its_worst(calls: list[tuple[Decimal, Decimal]]) -> None:
    meter = Meter(Decimal(1))
    paid = Decimal(0)
    for worst, share in calls:
        try:
            meter.reserve(worst, again=False)
        except BudgetExhausted:
            assert paid + worst > 1
            continue
        meter.settle(worst, None, worst * share)
        paid += worst * share
    assert paid <= 1
    assert meter.totals.cost_usd == paid


def test_threads_never_overdraw_together() -> None:
    meter, gate, passed = Meter(Decimal(10)), threading.Barrier(16), []

    def spend(_number: int) -> None:
        gate.wait()
        for _ in range(50):
            try:
                if not meter.reserve(Decimal("0.5"), again=False):
                    continue
            except BudgetExhausted:
                continue
            meter.settle(Decimal("0.5"), Tokens(1, 1), Decimal("0.1"))
            passed.append(1)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(spend, range(16)))
    assert meter.totals.cost_usd == Decimal("0.1") * len(passed) <= 10
    assert meter.totals.calls == meter.totals.input_tokens == len(passed)


def test_one_channel_serves_many_threads() -> None:
    with server(*[faults.status(500)] * 5) as provider:
        line = wire.Wire(wire.at(provider.base_url))

        def ask(number: int) -> str:
            mine = wire.Wire.__new__(wire.Wire)
            mine.__dict__.update(line.__dict__)
            mine.turn = wire.Turn(f"slot/{number}", "Technical_Analyst", line.spec)
            said = mine.ask()
            assert mine.turn.exchange is not None
            request, response = (line.journal.records[seq] for seq in _seqs(mine))
            assert request.slot == response.slot == f"slot/{number}"
            assert response.caused_by == (request.seq,)
            return said

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(40))) == ["{}"] * 40
    assert line.channel.totals == Totals(40, 5, 40_000, 4_000, 40 * ONE_CALL)


def _seqs(line: wire.Wire) -> tuple[int, int]:
    assert line.turn.exchange is not None
    return line.turn.exchange.request_seq, line.turn.exchange.response_seq


def test_what_is_on_its_way_counts_against_the_budget() -> None:
    meter = Meter(Decimal(1))
    meter.reserve(Decimal("0.6"), again=False)
    assert not meter.reserve(Decimal("0.6"), again=False)
    with pytest.raises(BudgetExhausted, match=r"\$0\.6000 on its way"):
        meter.reserve(Decimal("1.1"), again=False)
    meter.release(Decimal("0.6"))
    assert meter.reserve(Decimal("0.6"), again=False)
    assert meter.totals.calls == 2


def test_an_answer_without_a_bill_counts_as_dear_as_it_could_be() -> None:
    meter = Meter(Decimal(1))
    meter.reserve(Decimal("0.6"), again=False)
    meter.settle(Decimal("0.6"), None, None)
    with pytest.raises(BudgetExhausted):
        meter.reserve(Decimal("0.6"), again=False)


def test_long_answers_are_expected_after_a_long_answer() -> None:
    meter = Meter(None)
    expected = [meter.longest_output]
    for length in (5000, 10):
        meter.reserve(Decimal(0), again=False)
        meter.settle(Decimal(0), Tokens(1, length), Decimal(0))
        expected.append(meter.longest_output)
    assert expected == [4096, 7500, 7500]


def test_the_price_is_that_of_the_release_that_answered() -> None:
    """The first gpt-4o cost twice what the name costs now; a name without a price costs what was asked for."""
    prices, spec, tokens = PriceList(), resolve_model("openai/gpt-4o"), Tokens(1000, 0)
    answered = [None, "gpt-4o-2024-05-13", "a-name-of-its-own"]
    costs = [prices.cost(spec, tokens, wire.AT, name) for name in answered]
    assert costs == [Decimal("0.0025"), Decimal("0.005"), Decimal("0.0025")]


def test_a_release_that_is_dearer_than_its_name_does_not_overdraw() -> None:
    def first_release(handler: faults.Handler, received: faults.Received) -> None:
        told = handler.server.owner.completion(received, model="gpt-4o-2024-05-13")
        usage = {"prompt_tokens": len(received.body) // 2, "completion_tokens": 300}
        handler.say(200, json.dumps(told | {"usage": usage}).encode())

    with server(then=first_release) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
        one_call = line.channel.totals.cost_usd
        assert one_call is not None
        line = wire.Wire(wire.at(provider.base_url), budget_usd=one_call * Decimal("30.99"))
        for _ in range(30):
            line.ask()
        exhausted(line)
    assert line.channel.totals.cost_usd == 30 * one_call


def answered(meter: Meter, count: int, tokens: Tokens, request_bytes: int) -> None:
    for _ in range(count):
        meter.reserve(Decimal(0), again=False)
        meter.settle(Decimal(0), tokens, Decimal(0), request_bytes)


def test_answers_tell_what_the_next_call_may_take_and_a_decision_ahead_is_not_counted_on() -> None:
    meter = Meter(Decimal(1))
    answered(meter, 15, Tokens(250, 80), 1000)
    assert meter.most(2000) == Tokens(2000, 4096)
    answered(meter, 1, Tokens(400, 100), 1000)
    aside = meter.most(2000)
    assert (aside.input, aside.output) == (pytest.approx(880, abs=1), 150)
    assert meter.most(2000, ahead=True) == Tokens(2000, 4096)


def test_nobody_goes_ahead_on_a_budget_before_the_first_answers_say_how_long_they_are() -> None:
    """One who thinks for 60,000 tokens costs many times what is set aside for him; 32 at once are a fortune."""
    meter = Meter(Decimal(100))
    for _ in range(4):
        assert not meter.reserve(Decimal("0.01"), again=False, before=1)
        assert meter.reserve(Decimal("0.01"), again=False)
        meter.settle(Decimal("0.01"), Tokens(2000, 60_000), Decimal("0.6"), 8000)
    assert meter.most(8000, ahead=True) == Tokens(8000, 90_000)
    assert meter.reserve(Decimal("0.9"), again=False, before=1)
    assert Meter(None).reserve(Decimal(0), again=False, before=1)


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 5000)), min_size=16), st.integers(1, 100_000))
def test_what_is_set_aside_is_never_less_than_what_such_a_call_took(
    seen: list[tuple[int, int]], request_bytes: int
) -> None:
    """Whatever the answers were: a call as dense and as long as the worst of them is covered."""
    meter = Meter(Decimal(1))
    for size, said in seen:
        answered(meter, 1, Tokens(size // 3, said), size)
    aside = meter.most(request_bytes)
    densest = max(size // 3 / size for size, _ in seen)
    assert request_bytes >= aside.input >= int(request_bytes * densest)
    assert aside.output >= max(said for _, said in seen)


def test_a_server_that_does_not_count_teaches_nothing() -> None:
    meter = Meter(Decimal(1))
    for _ in range(20):
        meter.reserve(Decimal(0), again=False)
        meter.settle(Decimal(0), None, None, 1000)
    assert meter.most(2000) == Tokens(2000, 4096)
