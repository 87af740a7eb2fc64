"""The main job on real bars: every reply heard and traced, every figure from a record, equal runs equal digests."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import main_job
import pytest
from main_job import RULES, Played, play

from agents.prompt_files import OURS
from data.door import SystemClock
from data.model.canonical import digest, sha256_hex
from data.model.errors import AgentraderError, SyntheticDataError, UsageError
from data.model.instants import Interval
from data.sources.ingest import ingest_bar_file, ingest_fact_file
from data.store.store import Store

PROMISED = {
    *("run_id", "run_dir", "result_digest", "bars", "decisions", "failed", "replies", "replies_traced", "fills"),
    *("trades", "final_equity", "total_return", "buy_and_hold_return", "cost_usd", "wall_s"),
}


@pytest.fixture
def two_days(tmp_path: Path, bitcoin: str) -> Played:
    return play(tmp_path, bitcoin, *RULES, "--mini")


def test_ten_days(tmp_path: Path, bitcoin: str) -> None:
    played = play(tmp_path, bitcoin, *RULES)
    summary = played.summary
    assert played.code == 0
    assert set(summary) >= PROMISED
    counted = {name: summary[name] for name in ("bars", "decisions", "failed", "replies", "replies_traced")}
    assert counted == {"bars": 240, "decisions": 240, "failed": 0, "replies": 960, "replies_traced": 960}
    assert {body["action"] for body in played.of("decision")} == {"BUY", "SELL", "HOLD"}
    assert summary["fills"] == len(played.of("fill")) > 0
    assert summary["trades"] == len(played.of("trade"))
    assert played.of("equity")[-1]["equity"] == played.of("run.end")[0]["summary"]["final_equity"]


def test_money_adds_up_in_the_records(two_days: Played) -> None:
    for row in two_days.of("equity"):
        held = zip(row["quantities"], row["marks"], strict=True)
        value = sum(Decimal(quantity[1]) * Decimal(mark[1]) for quantity, mark in held)
        assert Decimal(row["cash"]) + value == Decimal(row["equity"])


def test_equal_questions_give_equal_digests(tmp_path: Path, bitcoin: str) -> None:
    first, second = (play(tmp_path / name, bitcoin, *RULES, "--mini") for name in ("one", "two"))
    assert first.summary["result_digest"] == second.summary["result_digest"]
    assert first.summary["run_id"] != second.summary["run_id"]


@pytest.mark.parametrize(
    "flag",
    [
        ("--commission_bps", "11"),
        ("--slippage_bps", "3"),
        ("--initial_cash", "9999"),
        ("--position_size", "0.5"),
        ("--seed", "1"),
        ("--decide_every", "2"),
        ("--protocol", "consensus"),
        ("--allow_short",),
        ("--end_date", "2025-04-09"),
    ],
    ids=lambda flag: flag[0],
)
def test_another_question_gives_another_digest(
    two_days: Played, bitcoin: str, tmp_path: Path, flag: tuple[str]
) -> None:
    window = [] if flag[0] == "--end_date" else ["--mini"]
    other = play(tmp_path / "other", bitcoin, *RULES, *flag, *window)
    assert other.code == 0
    assert other.summary["result_digest"] != two_days.summary["result_digest"]


def test_budget_and_limits_of_patience_are_not_the_question(two_days: Played, bitcoin: str, tmp_path: Path) -> None:
    flags = ("--budget_usd", "5", "--max_failures", "9", "--timeout", "7", "--base_url", "http://127.0.0.1:9/v1")
    other = play(tmp_path / "other", bitcoin, *RULES, *flags, "--mini")
    assert other.summary["result_digest"] == two_days.summary["result_digest"]


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--initial_cash", "1e999999"),
        ("--initial_cash", "1e-30"),
        ("--seed", str(2**60)),
        ("--decide_every", str(2**60)),
    ],
)
def test_a_number_that_no_record_can_hold_is_refused(tmp_path: Path, bitcoin: str, flag: str, value: str) -> None:
    with pytest.raises(UsageError, match=flag):
        play(tmp_path, bitcoin, *RULES, flag, value)


def test_every_reply_rests_on_the_exchange_of_its_slot(two_days: Played) -> None:
    records = {record.seq: record for record in two_days.records}
    replies = [record for record in records.values() if record.kind == "agent.reply"]
    assert len(replies) == 192
    for reply in replies:
        (cause,) = reply.caused_by
        response = records[cause]
        assert response.slot == reply.slot
        told = json.loads(response.body["body"])["choices"][0]["message"]["content"]
        assert told == reply.body["text"]


def test_every_opinion_rests_on_the_reply_it_was_read_from(two_days: Played) -> None:
    records = {record.seq: record for record in two_days.records}
    replies = {record.slot: record for record in records.values() if record.kind == "agent.reply"}
    opinions = [record for record in records.values() if record.kind == "opinion"]
    assert len(opinions) == 192
    for opinion in opinions:
        assert opinion.slot is not None
        assert opinion.caused_by == replies[opinion.slot].caused_by
        assert opinion.body["agent"] == replies[opinion.slot].body["agent"]


def test_the_book_reaches_the_portfolio_manager_alone(two_days: Played) -> None:
    for body in two_days.of("llm.request"):
        assert ('"book"' in body["body"].replace("\\", "")) == (body["agent"] == "Portfolio_Manager")


def test_the_text_log_reads_as_promised(two_days: Played) -> None:
    log = two_days.log
    for line in (
        " - INFO - ===== STARTING DECISION SESSION FOR BTCUSDT =====",
        " - INFO - Bar: 2025-04-01 00:00 UTC (1 of 48)",
        " - INFO - Current price: $82651.10",
        " - INFO - Initiating multi-agent chat session",
        "Participating agents: Technical Analyst, Fundamental Analyst, Portfolio Manager, Decision Agent",
        " - INFO - Agent Technical Analyst generating reply",
        " - INFO - Agent Decision Agent replied: ",
        " - INFO - ===== COMPLETED DECISION SESSION FOR BTCUSDT =====",
    ):
        assert line in log
    assert two_days.summary["run_id"] in log.splitlines()[0]
    assert two_days.summary["result_digest"] in log.splitlines()[-1]
    assert log == (two_days.folder / "agent_comms.log").read_text()


def test_the_rules_never_pass_for_a_language_model(two_days: Played) -> None:
    note = "rules (built-in, not a language model)"
    assert two_days.summary["model"] == note
    for name in ("report.html", "metrics.json", "agent_comms.log"):
        assert note in (two_days.folder / name).read_text()


def test_renderings_are_recorded_and_can_be_made_again(two_days: Played) -> None:
    (rendered,) = two_days.of("rendered")
    assert set(rendered["files"]) >= {"report.html", "decisions.csv", "trades.csv", "equity.csv", "metrics.json"}
    for name, sha256 in rendered["files"].items():
        assert sha256_hex((two_days.folder / name).read_bytes()) == sha256


def test_views_hold_their_rows(two_days: Played) -> None:
    seen = [bar["open_time"] for view in two_days.of("market.view") for bar in view["new_bars"]]
    assert len(seen) == len(set(seen)) == 250 + 47
    assert all(len(view["digest"]) == 64 for view in two_days.of("market.view"))


def test_a_run_is_listed_in_the_database(two_days: Played, store: Store) -> None:
    (row,) = store.runs()
    assert (row.run_id, row.status) == (two_days.folder.name, "complete")
    assert row.result_digest == two_days.summary["result_digest"]


def test_two_symbols_share_one_account(tmp_path: Path, store: Store, bitcoin: str, shared_data: Path) -> None:
    ether = shared_data / "crypto_spot" / "ETHUSDT_1h_2025-03-01_2025-04-15.csv"
    main_job.bring(store, ether, "ETHUSDT", Interval.H1)
    played = play(tmp_path, bitcoin, *RULES, "--symbol", "ETHUSDT", "BTCUSDT", "--position_size", "0.5", "--mini")
    assert played.code == 0
    assert played.summary["decisions"] == 96
    assert len(played.of("equity")) == 48
    assert [body["symbol"] for body in played.of("decision")][:2] == ["BTCUSDT", "ETHUSDT"]
    assert all(Decimal(row["exposure"]) <= Decimal("1.2") for row in played.of("equity"))


def test_a_jump_like_a_split_that_nobody_recorded_is_told(
    tmp_path: Path, store: Store, shared_data: Path, database_url: str
) -> None:
    path = shared_data / "us_equity_daily/unadjusted/NVDA_1d.csv.gz"
    main_job.bring(store, path, "NVDA", Interval.D1)
    window = ("--symbol", "NVDA", "--interval", "1d", "--start_date", "2024-06-06", "--end_date", "2024-06-11")
    (told,) = play(tmp_path, database_url, *window, "--model", "rules").summary["warnings"]
    assert told.startswith("NVDA opens on 2024-06-10 as after a split of 10:1, and no split is on record")

    splits = tmp_path / "splits.csv"
    splits.write_text("ticker,execution_date,split_from,split_to\nNVDA,2024-06-10,1,10\n")
    ingest_fact_file(store, splits, clock=SystemClock())
    assert play(tmp_path, database_url, *window, "--model", "rules").summary["warnings"] == []


def test_synthetic_rows_are_refused_by_name(tmp_path: Path, store: Store, shared_data: Path, database_url: str) -> None:
    path = shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
    ingest_bar_file(store, path, "BTCUSDT", Interval.H1, clock=SystemClock(), synthetic=True)
    with pytest.raises(SyntheticDataError, match="BTCUSDT_1h_2025-03-01"):
        play(tmp_path, database_url, *RULES)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--symbol", "XYZ"), "unknown symbol XYZ; symbols at hand: BTCUSDT. Bring"),
        (("--symbol", "btcudst"), "unknown symbol btcudst; did you mean BTCUSDT?"),
        (("--interval", "1d"), "scripts.data resample --symbol BTCUSDT --interval 1h --into 1d"),
        (("--interval", "15m"), "scripts.ingest binance --symbol BTCUSDT --interval 15m"),
        (("--end_date", "2025-12-31"), "the data holds 2025-03-01 to 2025-04-15"),
        (("--market", "XNYS"), "calendar 24/7"),
        (("--model", "openai/gpt-4o"), "OPENAI_API_KEY"),
        (("--model", "nobody/x"), "unknown model"),
        (("--agent_model", "boss=rules"), "the agents are"),
        (("--prompts", "/nowhere"), "cannot be read"),
        (("--position_size", "1.5"), "position_size"),
        (("--commission_bps", "-1"), "commission_bps"),
        (("--decide_every", "0"), "decide_every"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_answered_is_one_line_and_leaves_nothing(
    tmp_path: Path, bitcoin: str, flags: tuple[str, ...], said: str
) -> None:
    with pytest.raises(AgentraderError) as caught:
        play(tmp_path, bitcoin, *RULES, *flags)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "runs").exists()


def test_the_summary_is_the_records_summary(two_days: Played) -> None:
    (end,) = two_days.of("run.end")
    assert end["result_digest"] == two_days.summary["result_digest"]
    assert end["summary"]["fills"] == two_days.summary["fills"]
    assert digest(end["metrics"]) != digest(None)


def test_own_prompts_change_the_question(tmp_path: Path, bitcoin: str, two_days: Played) -> None:
    shutil.copytree(OURS, tmp_path / "prompts")
    with (tmp_path / "prompts" / "decision.md").open("a") as file:
        file.write("\nBe brief.\n")
    other = play(tmp_path / "other", bitcoin, *RULES, "--mini", "--prompts", str(tmp_path / "prompts"))
    assert other.summary["result_digest"] != two_days.summary["result_digest"]


def test_bars_that_were_dropped_later_are_played_and_said(tmp_path: Path, bitcoin: str, store: Store) -> None:
    before = play(tmp_path / "before", bitcoin, *RULES, "--mini")
    store.drop_batch(store.batches()[0].batch_id, "closes of another market", SystemClock().now())
    after = play(tmp_path / "after", bitcoin, *RULES, "--mini")
    assert after.summary["result_digest"] == before.summary["result_digest"]
    assert before.of("run.begin")[0]["warnings"] == []
    (warning,) = after.of("run.begin")[0]["warnings"]
    assert warning.startswith("BTCUSDT: 48 bars of the window were dropped later")
