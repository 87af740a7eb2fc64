"""docs/TROUBLESHOOTING.md has a row for every message of an error in the source, and none that is gone."""

from __future__ import annotations

import re
import subprocess
import sys

import house
import pytest
from messages import VARIES, Message, messages

from data.model.decisions import FailureReason

DOCUMENT = house.ROOT / "docs" / "TROUBLESHOOTING.md"
TEXT = DOCUMENT.read_text("utf-8")
SECTIONS = {
    "scripts/deploy": "Rented machines",
    "scripts/fetch": "Rented machines",
    "scripts/rented": "Rented machines",
    "backtesting/audit/arrival": "Rented machines",
    "data/store/": "Database",
    "data/sources/": "Bringing data in",
    "scripts/ingest": "Bringing data in",
    "scripts/data": "Bringing data in",
    "scripts/runs": "Going on, replaying, reporting",
    "scripts/share": "Going on, replaying, reporting",
    "agents/llm/": "Models and money",
    "agents/": "Models and money",
    "backtesting/core/preparation": "The window of a run",
    "backtesting/core/": "Going on, replaying, reporting",
    "backtesting/research/": "Sweeps",
    "backtesting/audit/": "Reading a folder",
    "data/journal/key": "Keys and time stamps",
    "data/journal/": "Reading a folder",
}
"""Where a row most likely belongs, by the beginning of the source's path; the first that fits."""
ROW = re.compile(r"\| (?P<messages>.+?) \| (?P<means>.+?) \| (?P<mend>.+?) \|")
QUOTED = re.compile(r"``\s(.+?)\s``|`([^`]+)`")


def rows() -> list[re.Match[str]]:
    """Those of every table of messages, as said, means, mend."""
    tables = re.findall(r"\| message \| what it means \| what to do \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", TEXT)
    found = [ROW.fullmatch(line) for table in tables for line in table.splitlines()]
    assert all(found), "a row has not three cells"
    return [each for each in found if each]


def explained() -> list[str]:
    return [one or other for row in rows() for one, other in QUOTED.findall(row["messages"])]


def as_row(message: Message) -> str:
    """What to add to the document, and where."""
    section = next((name for start, name in SECTIONS.items() if message.where.startswith(start)), "Flags and settings")
    quoted = f"`` {message.text} ``" if "`" in message.text else f"`{message.text}`"
    return f"{message.where}: add to section '{section}':\n    | {quoted} | WHAT IT MEANS | WHAT TO DO |"


def test_every_message_is_explained() -> None:
    known = set(explained())
    missing = [as_row(each) for each in messages() if each.text not in known]
    assert not missing, (
        f"{house.name(DOCUMENT)} lacks {len(missing)} messages; a row may hold several of them, joined by <br>:\n"
        + "\n".join(missing)
    )


def test_nothing_is_explained_that_is_never_said() -> None:
    said = {each.text for each in messages()}
    gone = [text for text in explained() if text not in said]
    assert not gone, f"take out of {house.name(DOCUMENT)}: " + "; ".join(gone)


def test_each_message_is_explained_once() -> None:
    told = explained()
    assert {text for text in told if told.count(text) > 1} == set()


def test_the_sections_that_rows_are_sent_to_are_there() -> None:
    assert [name for name in SECTIONS.values() if f"\n## {name}\n" not in TEXT] == []


def test_many_messages_were_found() -> None:
    """So that a collector that finds nothing is seen."""
    assert len(messages()) > 300
    assert {each.where.split("/")[0] for each in messages()} >= {
        "agents",
        "backtesting",
        "data",
        "orchestration",
        "scripts",
    }


def test_every_reason_of_a_failure_is_explained() -> None:
    coded = set(re.findall(r"^\| `([a-z_]+)` \|", TEXT, re.MULTILINE))
    assert {reason.value for reason in FailureReason} - coded == set()


@pytest.mark.parametrize(
    "symptom", ["No communications logged", "Missing components", "Incomplete logs", "Database errors", "Rate limits"]
)
def test_symptoms_have_their_place(symptom: str) -> None:
    assert f"### {symptom}\n" in TEXT


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "backtesting.core.authentic_backtest", "--sample", "--model", "nobody/x"],
        ["-m", "backtesting.core.authentic_backtest", "--model", "rules"],
        ["-m", "scripts.ingest", "csv", "no-such-file.csv", "--symbol", "X", "--interval", "1h"],
        ["-m", "scripts.ingest", "csv", __file__, "--symbol", "X", "--interval", "7h"],
        ["-m", "scripts.verify", "no-such-run"],
    ],
)
def test_what_a_command_says_is_found_in_the_document(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *words], cwd=house.ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stderr.removeprefix("error: ").strip()
    assert done.returncode == 2
    assert any(re.fullmatch(pattern(text), said) for text in explained() if len(text) > 15), said


def pattern(text: str) -> str:
    return ".+".join(re.escape(part) for part in text.split(VARIES))
