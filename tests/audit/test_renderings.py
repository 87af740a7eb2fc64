"""What is made from a run's log: the same bytes every time, and figures that add up."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from made_run import Plan, spot, write_run

from backtesting.audit import figures
from backtesting.audit.renderings import write_renderings
from backtesting.audit.story import Exchange, Reply
from backtesting.audit.story_reader import read_story
from data.journal.comms import lines
from data.journal.reading import read_records
from data.model.canonical import sha256_hex
from data.model.errors import DataError
from scripts.report import main

FILES = {"decisions.csv", "trades.csv", "equity.csv", "metrics.json", "spec.json", "agent_comms.log", "report.html"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_log_gives_the_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    before = {name: sha256_hex((run_dir / name).read_bytes()) for name in FILES}
    other = tmp_path / "elsewhere"
    shutil.copytree(run_dir, other, ignore=lambda *_: FILES)
    assert write_renderings(other) == before
    assert {path.name for path in other.iterdir()} == FILES | {"log.jsonl", "checkpoints", "run.pub"}


def test_what_follows_the_end_of_a_run_changes_no_rendering(run_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "longer"
    shutil.copytree(run_dir, other)
    before = write_renderings(other)
    last = json.loads((other / "log.jsonl").read_text().splitlines()[-1])
    last |= {"kind": "rendered", "audit.seq": last["audit.seq"] + 1, "body": {"files": before}}
    with (other / "log.jsonl").open("a") as log:
        log.write(json.dumps(last) + "\n")
    assert write_renderings(other) == before


def test_what_was_signed_is_not_overwritten_by_another_release(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "signed"
    shutil.copytree(run_dir, other)
    last = json.loads((other / "log.jsonl").read_text().splitlines()[-1])
    last |= {"kind": "rendered", "audit.seq": last["audit.seq"] + 1, "body": {"files": write_renderings(other)}}
    with (other / "log.jsonl").open("a") as log:
        log.write(json.dumps(last) + "\n")
    (other / "trades.csv").write_text("lost")
    before = write_renderings(other)
    monkeypatch.setattr("backtesting.audit.renderings.trades_csv", lambda _story: "another form\n")
    for words in ((), ("--output", str(other)), ("--output", f"{other}/blobs/..")):
        assert main([str(other), *words]) == 2
        assert "trades.csv in another way" in capsys.readouterr().err
    assert main([str(other), "--output", str(other / "new")]) == 2
    assert "lies in the run's own folder" in capsys.readouterr().err
    assert not (other / "new").exists()
    assert sha256_hex((other / "trades.csv").read_bytes()) == before["trades.csv"]
    assert main([str(other), "--output", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "trades.csv").read_text() == "another form\n"


def test_decisions_have_a_row_each_with_what_every_agent_thought(run_dir: Path) -> None:
    found = rows(run_dir / "decisions.csv")
    assert [int(row["number"]) for row in found] == list(range(1, 241))
    assert {row["status"] for row in found} == {"DECIDED", "FAILED"}
    failed = found[16]
    assert (failed["action"], failed["failure"], failed["failure_agent"]) == ("", "truncated", "Portfolio_Manager")
    assert found[20]["technical"] == "BUY 0.785"
    assert found[20]["fundamental"].startswith("ABSTAIN")


def test_every_row_names_the_record_it_comes_from(run_dir: Path) -> None:
    records = {record.seq: record for record in read_records(run_dir)}
    for name, kind in (("decisions", "decision"), ("trades", "trade"), ("equity", "equity")):
        for row in rows(run_dir / f"{name}.csv"):
            assert records[int(row["record"])].kind == kind


def test_profits_and_open_positions_add_up_to_the_equity(run_dir: Path) -> None:
    story = read_story(read_records(run_dir))
    total = figures.sums(story)
    assert not story.equity[-1].row.quantities, "the made run ends flat"
    assert total.initial + sum(trade.profit for _, trade in story.trades) == total.final
    assert total.drawdown == min(
        float(point.row.equity / max([total.initial, *(before.row.equity for before in story.equity[: place + 1])]) - 1)
        for place, point in enumerate(story.equity)
    )


ANSWERED = Exchange("gpt-4o", 1000, 20, "0.0030", 1.0)
RETRIED = Exchange(None, 0, 0, None, 0.1)  # a 429 names no model and costs nothing
UNPRICED = Exchange("of-their-own", 1000, 20, None, 1.0)


@pytest.mark.parametrize(
    ("calls", "cost"),
    [
        ([], Decimal(0)),
        ([ANSWERED, RETRIED, ANSWERED], Decimal("0.0060")),
        ([ANSWERED, UNPRICED], None),
    ],
)
def test_what_models_cost_is_known_unless_an_answer_has_no_price(
    calls: list[Exchange], cost: Decimal | None, run_dir: Path
) -> None:
    story = read_story(read_records(run_dir))
    story.calls[:] = calls
    assert figures.models_cost(story) == cost


def test_the_text_log_is_the_journal_line_by_line(run_dir: Path) -> None:
    text = (run_dir / "agent_comms.log").read_text()
    assert text == "".join(f"{line}\n" for record in read_records(run_dir) for line in lines(record))
    first, *_, last = text.splitlines()
    assert " - INFO - Run 20250415-134530-btcusdt-1h: " in first
    assert last.endswith(" - INFO - Result digest: " + "01" * 32)
    assert text.count("===== STARTING DECISION SESSION FOR BTCUSDT =====") == 240


def test_every_reply_is_in_the_story_and_traced(run_dir: Path) -> None:
    story = read_story(read_records(run_dir))
    replies = [event for session in story.sessions for event in session.events if isinstance(event, Reply)]
    assert len(replies) == sum(record.kind == "agent.reply" for record in read_records(run_dir)) == 956
    assert all(reply.exchange is not None and reply.exchange.model == "rules" for reply in replies)


def test_a_cell_of_a_model_is_never_a_formula(hostile_dir: Path) -> None:
    for name in ("decisions", "trades", "equity"):
        for row in rows(hostile_dir / f"{name}.csv"):
            for cell in row.values():
                assert cell[:1] not in "=+@" or not cell
                assert not cell.startswith("-") or Decimal(cell)
                assert not {"\x1b", "\u202e", "\u2028"} & set(cell)


def test_a_run_that_was_cut_off_is_reported_as_incomplete(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "cut", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=20, complete=False))
    write_renderings(folder)
    assert json.loads((folder / "metrics.json").read_text())["status"] == "incomplete"
    page = (folder / "report.html").read_text()
    assert "Incomplete run." in page
    assert "the log ends without a run.end record" in page


def test_a_run_without_a_bar_has_a_page_too(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "none", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=5))
    first, *_, last = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text(f"{first}\n{last}\n")
    write_renderings(folder)
    assert "10,000.00 became 10,000.00 USDT" in (folder / "report.html").read_text()


def test_splits_and_dividends_are_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "split", Plan({"BTCUSDT": spot("BTCUSDT")}, bars=5))
    fact = {"symbol": "BTCUSDT", "kind": "split", "key": "split", "known_at": "2025-03-01T00:00:00Z", "source": "s"}
    action = {**fact, "value": "10", "effective_on": "2025-03-01"}
    log = (folder / "log.jsonl").read_text().splitlines()
    record = {**json.loads(log[-1]), "kind": "action", "body": action}
    (folder / "log.jsonl").write_text("\n".join([*log[:-1], json.dumps(record), log[-1]]) + "\n")
    write_renderings(folder)
    assert "split: 10 new shares for one old" in (folder / "report.html").read_text()


def test_a_link_in_a_received_folder_directs_no_write(tmp_path: Path, run_dir: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_text("mine")
    folder = tmp_path / "received"
    folder.mkdir()
    shutil.copy(run_dir / "log.jsonl", folder)
    (folder / "report.html").symlink_to(outside)
    (folder / "trades.csv.part").symlink_to(outside)
    write_renderings(folder)
    assert outside.read_text() == "mine"
    assert not (folder / "report.html").is_symlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "no run.begin"),
        (lambda text: text.replace('"kind":"run.begin"', '"kind":"other"'), "no run.begin"),
        (lambda text: text.replace('"confidence":"0.785"', '"confidence":"high"', 1), "does not read"),
        (lambda text: text[:-40] + "\n", "not a readable record"),
    ],
)
def test_a_log_that_does_not_read_is_named(tmp_path: Path, run_dir: Path, change: object, message: str) -> None:
    text = (run_dir / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(change(text))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        write_renderings(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_the_command_prints_the_report_or_every_digest(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_dir)]) == 0
    assert capsys.readouterr().out == f"{run_dir / 'report.html'}\n"
    assert main([str(run_dir), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {name: sha256_hex((run_dir / name).read_bytes()) for name in FILES}


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere"]) == 2
    assert main([str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(":")[0] for line in told.err.splitlines()] == ["error", "error"]
