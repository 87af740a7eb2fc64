"""Counting without a vocabulary, beside what `o200k_base` (tiktoken 0.14) counts of the same texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.tokens import TOKENS_A_MESSAGE, count_tokens, request_tokens

TEXTS = {
    "prose": ("The technical analyst sees a falling long trend, and the volume gives no support to a recovery. ", 20),
    "bars": ('["03-31 01:00",81646.9,82272.72,81534.78,81953.03,778.61],', 33),
    "names": ('"sma_20":82520.59,"price_above_sma_in_atr":0.207,"words":"up: price above a rising average"', 33),
    "reply": ('{"reasons": ["Nothing is held."], "action": "HOLD", "confidence": 0.85, "size": 0.0}', 33),
    "headline": ("Apple Inc. raised its quarterly dividend by 4% to $0.25 a share, analysts' estimates aside.", 24),
}


@pytest.mark.parametrize("name", TEXTS)
def test_counts_about_what_a_tokenizer_does(name: str) -> None:
    text, counted = TEXTS[name]
    assert count_tokens(text) == pytest.approx(counted, rel=0.15)


def test_nothing_is_no_token() -> None:
    assert count_tokens("") == 0
    assert request_tokens({}) == 0


def test_a_request_is_its_messages_and_its_schema() -> None:
    messages = [{"role": "system", "content": "You trade."}, {"role": "user", "content": None}]
    bare = request_tokens({"model": "m", "messages": messages})
    assert bare == 2 * TOKENS_A_MESSAGE + count_tokens("You trade.")
    assert request_tokens({"messages": messages, "response_format": {"type": "object"}}) > bare


@given(st.text(), st.text())
def test_no_text_is_dropped_and_none_is_counted_beyond_its_bytes(one: str, other: str) -> None:
    both = count_tokens(one + " \n" + other)
    assert both >= max(count_tokens(one), count_tokens(other)) - 1
    assert count_tokens(one) <= len(one.encode(errors="replace"))
