"""A log that was changed, and signed again as well as can be: what no longer follows is named with its record."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from recordings import Recorder, audit, changed, live

from backtesting.audit.derivation import rederive
from data.model.canonical import sha256_hex
from data.model.errors import DataError
from data.model.protocols import Record

Body = dict[str, Any]
Change = Callable[[Body], None]


def put(*path: str | int, value: Any) -> Change:
    """Puts a value at a place of the body."""

    def change(body: Body) -> None:
        *way, last = path
        inner: Any = body
        for step in way:
            inner = inner[step]
        inner[last] = value

    return change


def more(*path: str | int, by: str = "0.00000001") -> Change:
    """Adds a little to an amount."""

    def change(body: Body) -> None:
        *way, last = path
        inner: Any = body
        for step in way:
            inner = inner[step]
        inner[last] = format(Decimal(inner[last]) + Decimal(by), "f").rstrip("0").rstrip(".")

    return change


def rewrite(old: str, new: str, digest: str) -> Change:
    """Changes an exchange's body and the digest that goes with it."""

    def change(body: Body) -> None:
        assert old in body["body"]
        body["body"] = body["body"].replace(old, new, 1)
        body[digest] = sha256_hex(body["body"].encode())

    return change


def several(*changes: Change) -> Change:
    def change(body: Body) -> None:
        for one in changes:
            one(body)

    return change


REQUEST, RESPONSE = "audit.request_sha256", "audit.response_sha256"
CHANGES: dict[str, tuple[str, int, Change, str]] = {
    "request digest": ("llm.request", 3, put(REQUEST, value="00" * 32), "SHA-256 of the request at record"),
    "request body": ("llm.request", 3, put("body", value="{}"), "SHA-256 of the request at record"),
    "request model": ("llm.request", 3, put("gen_ai.request.model", value="gpt-9"), "model of the request at record"),
    "request agent": ("llm.request", 3, put("agent", value="Decision_Agent_2"), "agent of the request at record"),
    "prompt": ("llm.request", 0, rewrite("# Who you are", "# Whom you serve", REQUEST), "does not begin with the inst"),
    "shown price": ("llm.request", 0, rewrite('price\\":8', 'price\\":9', REQUEST), "price in the market shown by the"),
    "shown bar": (
        "llm.request",
        0,
        rewrite("[[", "[[1,", REQUEST),
        "opens with another market|bars in the market shown",
    ),
    "shown time": (
        "llm.request",
        0,
        rewrite('as_of\\":\\"2025', 'as_of\\":\\"2024', REQUEST),
        "market shown by the requ",
    ),
    "heard": ("llm.request", 3, rewrite("Long trend", "Short trend", REQUEST), "was said before"),
    "shown book": (
        "llm.request",
        2,
        rewrite('cash\\":1', 'cash\\":2', REQUEST),
        "cash in the book shown by the request at re",
    ),
    "book to all": (
        "llm.request",
        3,
        rewrite('],"model"', ',{"role":"user","content":"```json\\n{\\"book\\":{}}\\n```"}],"model"', REQUEST),
        "only the portfolio manager may see it",
    ),
    "response digest": ("llm.response", 5, put(RESPONSE, value="00" * 32), r"response at record \d+ \(/audit.response"),
    "response body": ("llm.response", 5, rewrite('"id":"rules', '"id":"other', RESPONSE), r"\(/gen_ai.response.id\)"),
    "response model": ("llm.response", 5, put("gen_ai.response.model", value="x"), r"\(/gen_ai.response.model\)"),
    "tokens": ("llm.response", 5, put("gen_ai.usage.output_tokens", value=9), r"\(/gen_ai.usage.output_tokens\)"),
    "finish": ("llm.response", 5, put("gen_ai.response.finish_reasons", 0, value="length"), "finish_reasons"),
    "attempt": ("llm.response", 5, put("audit.attempt", value=2), r"turn of the response at record \d+ \(/attempt\)"),
    "made-up fault": (
        "llm.response",
        5,
        put("fault", value={"reason": "truncated", "detail": "it was cut off"}),
        "fault of the response at record .*: recorded truncated, derived none",
    ),
    "status": ("llm.response", 5, put("http.response.status_code", value=500), "fault of the response|gen_ai.response"),
    "reply text": ("agent.reply", 6, put("text", value="BUY"), r"reply of Portfolio Manager at record \d+ \(/text\)"),
    "reply agent": ("agent.reply", 6, put("agent", value="Decision_Agent"), r"at record \d+ \(/agent\)"),
    "reply origin": ("agent.reply", 6, put("origin", value="code"), r"\(/origin\): recorded code, derived provider"),
    "opinion": ("opinion", 0, put("opinion", "action", value="BUY"), r"opinion of Technical Analyst .*/opinion/action"),
    "evidence": ("opinion", 0, put("opinion", "evidence", value=["f1"]), r"/opinion/evidence/0"),
    "abstention": ("opinion", 1, put("abstention", value="it slept"), r"opinion of Fundamental Analyst .*/abstention"),
    "view digest": ("market.view", 4, put("digest", value="00" * 32), r"market view at record \d+ \(/digest\)"),
    "view price": ("market.view", 4, put("price", value="1"), r"market view at record \d+ \(/price\)"),
    "view row": ("market.view", 4, put("new_bars", 0, "high", value="99999"), r"market view at record \d+ "),
    "view old row": (
        "market.view",
        0,
        put("new_bars", 9, "high", value="99999"),
        r"market view at record \d+ \(/digest",
    ),
    "view future": (
        "market.view",
        0,
        put("new_bars", 9, "known_at", value="2025-04-07T00:00:00Z"),
        "shows what was not known before 2025-04-07T00:00:00Z",
    ),
    "view time": (
        "market.view",
        4,
        put("as_of", value="2025-04-01T04:30:00Z"),
        r"market view at record \d+ \(/as_of\)",
    ),
    "session price": ("session.begin", 4, put("price", value="1"), r"session at record \d+ \(/price\)"),
    "session number": ("session.begin", 4, put("number", value=6), r"session at record \d+ \(/number\)"),
    "session end": ("session.end", 4, put("status", value="FAILED"), r"session's end at record \d+ \(/status\)"),
    "decision action": ("decision", 4, put("action", value="BUY"), r"decision about BTCUSDT at record \d+ \(/action\)"),
    "decision order": ("decision", 8, put("orders", 0, "side", value="SELL"), r"\(/orders/0/side\)"),
    "decision quantity": ("decision", 8, more("orders", 0, "quantity"), r"\(/orders/0/quantity\)"),
    "decision clamp": (
        "decision",
        8,
        put("clamps", value=[{"rule": "r", "field": "f", "before": "1", "after": "0"}]),
        r"\(/clamps/0\)",
    ),
    "decision failure": (
        "decision",
        4,
        several(
            put("status", value="FAILED"), put("failure", value={"reason": "timeout", "detail": "", "agent": None})
        ),
        r"decision about BTCUSDT at record \d+ ",
    ),
    "bar": ("bar", 5, put("bar", "close", value="1"), r"bar of BTCUSDT at record \d+, shown at record \d+ \(/close\)"),
    "bar volume": ("bar", 5, put("bar", "volume", value="1"), r"bar of BTCUSDT at record \d+, .*\(/volume\)"),
    "bar spelling": ("bar", 5, put("bar", "note", value=1), r"bar at record \d+ does not read: a bar is not written"),
    "bar symbol": ("bar", 5, put("symbol", value="X"), "or another one than the record says"),
    "fill price": ("fill", 0, more("price"), r"fill of BTCUSDT at record \d+ \(/price\): recorded .*, derived "),
    "fill side": ("fill", 1, put("side", value="BUY"), r"fill of BTCUSDT at record \d+ \(/side\)"),
    "fill fee": ("fill", 1, more("commission", by="-1"), r"\(/commission\)"),
    "trade": ("trade", 0, more("profit"), r"trade of BTCUSDT at record \d+ \(/profit\)"),
    "equity": ("equity", 20, more("cash"), r"equity of 2025-04-01T21:00:00Z at record \d+ \(/cash\)"),
    "benchmark": ("equity", 20, more("benchmark"), r"\(/benchmark\)"),
    "status of the end": ("run.end", 0, put("status", value="incomplete"), "summary in the end of the run"),
    "result digest": ("run.end", 0, put("result_digest", value="00" * 32), r"result_digest"),
    "metric": ("run.end", 0, put("metrics", "sharpe", value=3.5), r"metrics in the end .*\(/sharpe\): recorded 3.5"),
    "interval": ("run.end", 0, put("significance", "sharpe", "low", value=1.0), r"significance in the end of the run"),
    "count": (
        "run.end",
        0,
        put("summary", "fills", value=0),
        r"summary in the end of the run .*\(/fills\): recorded 0",
    ),
    "final equity": ("run.end", 0, more("summary", "final_equity", by="100"), r"\(/final_equity\)"),
    "calls": ("run.end", 0, put("summary", "calls", value=1), r"\(/calls\)"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named_with_its_record(recorder: Recorder, name: str) -> None:
    kind, place, change, message = CHANGES[name]
    records, seq = changed(live(recorder.rules()), kind, change, place)
    found = rederive(records).differences
    assert found
    assert found[0].record == seq
    assert re.search(message, "\n".join(str(one) for one in found if one.record == seq)), found


def test_a_bar_of_another_time_is_named_with_what_follows(recorder: Recorder) -> None:
    change = put("bar", "known_at", value="2025-04-01T06:30:00Z")
    records, seq = changed(live(recorder.rules()), "bar", change, 5)
    first = rederive(records).differences[0]
    assert (first.record, first.what) == (seq + 1, f"equity of 2025-04-01T06:00:00Z at record {seq + 1} (/at)")


def of(records: Sequence[Record], kind: str, place: int = 0) -> Record:
    return [record for record in records if record.kind == kind][place]


def without(records: Sequence[Record], *gone: Record) -> list[Record]:
    return [record for record in records if record not in gone]


def after(records: Sequence[Record], record: Record, *new: Record) -> list[Record]:
    place = records.index(record) + 1
    return [*records[:place], *new, *records[place:]]


@pytest.mark.parametrize(
    ("kind", "place", "message"),
    [
        ("llm.request", 3, "response at record 21 answers no request that waits for one"),
        (
            "llm.response",
            3,
            "reply of Decision Agent at record 22 came from no recorded provider response, but rests o",
        ),
        ("agent.reply", 3, "opinion of Decision Agent at record 26 follows from no reply"),
        ("opinion", 2, "opinion of Portfolio Manager is not recorded after its reply at record 18"),
        ("market.view", 0, "session at record 5 begins without a market view"),
        ("session.begin", 0, "decision about BTCUSDT at record 27 belongs to no session"),
        ("bar", 0, r"equity of 2025-04-01T01:00:00Z at record 3: recorded equity, derived nothing"),
        ("equity", 0, "equity of 2025-04-01T01:00:00Z is not recorded before record 27"),
        ("decision", 0, "no decision about BTCUSDT was recorded at 2025-04-01T01:00:00Z"),
        ("fill", 0, "fill of BTCUSDT is not recorded before record|equity of .* derived fill of BTCUSDT"),
        ("trade", 0, "equity of .* recorded equity, derived trade of BTCUSDT"),
    ],
)
def test_a_record_that_is_gone_is_named_where_it_is_missed(
    recorder: Recorder, kind: str, place: int, message: str
) -> None:
    records = live(recorder.rules())
    assert re.search(message, "\n".join(audit(without(records, of(records, kind, place)))))


@pytest.mark.parametrize("kind", ["bar", "fill", "trade", "equity", "agent.reply", "opinion", "decision", "run.begin"])
def test_a_record_that_stands_twice_is_named(recorder: Recorder, kind: str) -> None:
    records = live(recorder.rules())
    record = of(records, kind)
    again = replace(record, seq=10**6)
    assert any(one.record == 10**6 for one in rederive(after(records, record, again)).differences)


def test_a_whole_session_that_is_gone_is_missed(recorder: Recorder) -> None:
    records = live(recorder.rules())
    first, last = of(records, "market.view", 5), of(records, "session.end", 5)
    left = [record for record in records if not first.seq <= record.seq <= last.seq]
    assert "no decision about BTCUSDT was recorded at 2025-04-01T06:00:00Z" in audit(left)[0]


def test_a_reply_that_code_made_is_named(recorder: Recorder) -> None:
    records = live(recorder.rules())
    reply = of(records, "agent.reply")
    made = replace(reply, body={**reply.body, "traced": False, "origin": "code"}, caused_by=())
    found = rederive([made if record is reply else record for record in records])
    name = f"reply of Technical Analyst at record {reply.seq}"
    assert str(found.differences[0]) == f"{name} came from no recorded provider response (origin: code)"
    assert (found.replies, found.traced) == (192, 191)
    assert found.headline.startswith("191 of 192 replies trace")
    assert found.unused_replies == 1


def test_a_copied_reply_is_named(recorder: Recorder) -> None:
    records = live(recorder.rules())
    first, second = of(records, "agent.reply", 2), of(records, "agent.reply", 3)
    copied = replace(second, body={**second.body, "text": first.body["text"]}, caused_by=first.caused_by)
    (found, *_) = audit([copied if record is second else record for record in records])
    assert found.startswith(f"reply of Decision Agent at record {second.seq} came from no recorded provider response")
    again = replace(first, seq=second.seq, slot=first.slot)
    (found, *_) = audit([again if record is second else record for record in records])
    (cause,) = first.caused_by
    assert found == (
        f"reply of Portfolio Manager at record {second.seq} is a copy: record {first.seq} came from the same "
        f"response {cause}"
    )


def test_a_reply_of_an_earlier_bar_is_named(recorder: Recorder) -> None:
    """As a cache across bars would give it: word for word, and from a response that is on record."""
    records = live(recorder.rules())
    early, late = of(records, "agent.reply", 1), of(records, "agent.reply", 5)
    cached = replace(late, body=early.body, caused_by=early.caused_by)
    found = rederive([cached if record is late else record for record in records])
    assert f"record {late.seq} came from no recorded provider response, but rests on record" in str(
        found.differences[0]
    )
    assert found.traced == 191


def test_a_consistent_forgery_of_a_decision_is_named_and_nothing_after_it(recorder: Recorder) -> None:
    """Decision, order, fill and equity changed together: the money adds up, but no longer follows from the talk."""
    records, seq = changed(live(recorder.rules()), "decision", more("orders", 0, "quantity", by="-0.001"), 8)
    records, _ = changed(records, "fill", more("quantity", by="-0.001"))
    records, _ = changed(records, "equity", more("cash", by="80"), 10)
    found = rederive(records)
    assert [one.record for one in found.differences] == [seq]
    assert found.result_digest is None


def test_a_request_without_an_answer_is_an_orphan_or_named(recorder: Recorder) -> None:
    records = live(recorder.rules())
    request, end = of(records, "llm.request", 3), of(records, "run.end")
    lost = replace(request, seq=end.seq - 1)
    body = {"request": lost.seq, "agent": "Decision_Agent", "note": "possibly paid"}
    orphan = replace(lost, kind="orphan", seq=end.seq, body=body, caused_by=(lost.seq,))
    before = records[records.index(end) - 1]
    (first, *_) = audit(after(records, before, lost))
    assert first == f"request at record {lost.seq} has no response, and no orphan record names it"
    found = rederive(after(records, before, lost, orphan))
    assert (found.orphans, found.in_flight) == (1, 0)
    assert not any("no orphan" in str(one) for one in found.differences)
    unfinished = rederive(after(without(records, end), before, lost))
    assert (unfinished.orphans, unfinished.in_flight, unfinished.differences) == (0, 1, ())


def test_the_same_is_not_asked_until_an_answer_is_liked(recorder: Recorder) -> None:
    records = live(recorder.rules())
    request, response = of(records, "llm.request", 2), of(records, "llm.response", 2)
    asked, told = replace(request, seq=10**6), replace(response, seq=10**6 + 1, caused_by=(10**6,))
    recovery = replace(request, kind="recovery", seq=10**6 + 2, slot=None, body={"cut": 0, "asked_again": []})
    found = rederive(after(records, response, asked, told, recovery))
    assert (found.unused_replies, found.resumed) == (1, 1)
    (difference,) = found.differences
    told = f"request at record {10**6} was answered before, at record {response.seq}, and asked again"
    assert difference.what == told


def test_orders_without_a_next_bar_expire(recorder: Recorder) -> None:
    """The last decision's order is on record as expired; without that record it is missed."""
    records = live(recorder.rules())
    ended = [record for record in records if record.kind == "cancellation"]
    bars = [record for record in records if record.kind == "bar"]
    cut = next(bar for bar in bars if of(records, "fill").body["bar_open_time"] == bar.body["bar"]["open_time"])  # type: ignore[index]
    assert ended == []
    until = [record for record in records if record.seq < cut.seq]
    end = of(records, "run.end")
    assert "cancellation of BTCUSDT is not recorded before" in "\n".join(audit([*until, end]))


BEGINNINGS = {
    "prompt digest": (
        put("prompts", "technical", "sha256", value="00" * 32),
        "prompt of Technical Analyst at record 0",
    ),
    "prompt text": (put("prompts", "technical", "text", value="Buy."), "does not begin with the instruction"),
    "data digest": (put("data_digest", value="00" * 32), "result_digest in the end of the run"),
    "cash": (put("question", "initial_cash", value="10001"), "equity of 2025-04-01T01:00:00Z at record 3"),
    "fee": (put("question", "costs", "commission_bps", value="11"), r"at record 30 \(/benchmark\)"),
    "limits": (put("question", "limits", "max_stop", value="0.011"), r"decision about BTCUSDT at record \d+ \(/clamps"),
    "pace": (put("question", "decide_every", value=2), "is not the one due"),
    "model": (put("question", "agents", 0, "model", value="openai/gpt-4o"), "result_digest in the end of the run"),
    "seed": (put("question", "seed", value=1), "result_digest in the end of the run"),
    "lot": (put("instruments", 0, "lot", value="0.01"), r"market view at record \d+ \(/digest\)"),
    "bars": (put("bars_in_window", value=49), "bars of the whole run: recorded 48, derived 49"),
    "decisions": (put("decisions_in_window", value=49), r"session at record \d+ \(/of\): recorded 48, derived 49"),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_another_beginning_gives_another_run(recorder: Recorder, name: str) -> None:
    change, message = BEGINNINGS[name]
    records, _ = changed(live(recorder.rules()), "run.begin", change)
    assert re.search(message, "\n".join(audit(records)))


@pytest.mark.parametrize(
    "change",
    [put("question", "symbols", value=[]), put("instruments", value=None), put("prompts", "decision", value=1)],
)
def test_a_beginning_that_does_not_read_is_refused(recorder: Recorder, change: Change) -> None:
    records, _ = changed(live(recorder.rules()), "run.begin", change)
    with pytest.raises(DataError, match=r"record 0 \(run\.begin\) does not read"):
        rederive(records)
