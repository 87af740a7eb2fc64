"""A story out of a log, also of a run that was stopped on the way: what counts, who answered, which try it was."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from recordings import Recorder, live
from test_report_text import Elements

from backtesting.audit.derivation import rederive
from backtesting.audit.figures import standing, trial_text
from backtesting.audit.rendered_files import compare_renderings
from backtesting.audit.report import report_html
from backtesting.audit.servers import Servers
from backtesting.audit.story import Entry, Reply, Trial, Trouble
from backtesting.audit.story_reader import read_story
from data.journal.reading import read_records


def test_a_resumed_run_follows_and_says_so(recorder: Recorder) -> None:
    folder = recorder.resumed()
    found = rederive(live(folder))
    assert found.differences == ()
    assert (found.resumed, found.orphans, found.in_flight, found.unused_replies) == (1, 1, 0, 0)
    assert (found.replies, found.traced, found.decisions) == (192, 192, 48)
    assert found.result_digest == rederive(live(recorder.rules())).result_digest
    assert compare_renderings(folder) == ()


def test_the_story_of_a_resumed_run_holds_what_counts(recorder: Recorder) -> None:
    records = live(recorder.resumed())
    first_response = next(record for record in records if record.kind == "llm.response" and record.seq > 300)
    story, whole = read_story(records), read_story(live(recorder.rules()))
    assert [len(session.events) for session in story.sessions] == [len(session.events) for session in whole.sessions]
    assert [session.number for session in story.sessions] == list(range(1, 49))
    assert all(session.decision for session in story.sessions)
    assert first_response.seq < records[-1].seq
    assert len(story.recoveries) == len(story.orphans) == 1
    everything = read_story(read_records(recorder.resumed()))
    assert len(everything.sessions) > 48, "what was set aside is still in the log"


def test_the_page_of_a_resumed_run_says_what_happened(recorder: Recorder) -> None:
    page = report_html(read_story(live(recorder.resumed())))
    text = re.sub(r"<[^>]+>", " ", page)
    (recovery,) = read_story(live(recorder.resumed())).recoveries
    assert "run 1 of the project, 1st of this question, 0 unfinished" in text
    assert re.search(rf"Stopped and resumed\s+once\s+at record {recovery}", text)
    assert re.search(r"Orphans\s+1 request has no answer\s+possibly paid", text)
    assert "built-in rules, not a language model" in text


def test_the_page_names_a_server_that_nobody_knows(recorder: Recorder) -> None:
    page = report_html(read_story(live(recorder.model())))
    assert "UNVERIFIED SERVER 127.0.0.1, no certificate" in page
    assert ("td", {"class": "bad"}) in Elements(page).found


def test_a_trouble_from_before_the_stop_stands_where_the_agent_was_asked(recorder: Recorder) -> None:
    """The first agent's rate limit is put in front of the session, as a resumed run leaves it."""
    records = live(recorder.model())
    failed = next(record for record in records if record.kind == "llm.response" and record.body["fault"])
    begun = next(record for record in records if record.kind == "session.begin")
    moved = [record for record in records if record is not failed]
    moved.insert(moved.index(begun), replace(failed, seq=begun.seq - 1))
    events = read_story(moved).sessions[0].events
    assert [type(event) for event in events] == [Trouble, Reply, Reply, Reply, Reply]


def test_the_last_end_counts(recorder: Recorder) -> None:
    records = live(recorder.rules())
    end = next(record for record in records if record.kind == "run.end")
    early = replace(end, seq=3, body={**end.body, "status": "incomplete", "summary": {}})
    assert read_story([records[0], early, *records[1:]]).end == end
    assert rederive([records[0], early, *records[1:]]).differences == ()


@pytest.mark.parametrize(
    ("trial", "text"),
    [
        (Trial(17, 3, 6), "run 17 of the project, 3rd of this question, 6 unfinished"),
        (Trial(112, 11, 0), "run 112 of the project, 11th of this question, 0 unfinished"),
        (Trial(2, 2, 1), "run 2 of the project, 2nd of this question, 1 unfinished"),
        (Trial(23, 23, 1), "run 23 of the project, 23rd of this question, 1 unfinished"),
    ],
)
def test_a_trial_is_told_in_words(recorder: Recorder, trial: Trial, text: str) -> None:
    assert trial_text(trial) == text
    story = read_story(live(recorder.rules()))
    story.trial = Entry(1, trial)
    assert next(iter(standing(story))).value == text


@pytest.mark.parametrize(
    ("host", "certificate", "shown"),
    [
        ("api.openai.com", "ab" * 32, f"api.openai.com, certificate {'ab' * 32}"),
        ("api.openai.com", None, "UNVERIFIED SERVER api.openai.com, no certificate"),
        ("api.0penai.com", "ab" * 32, f"UNVERIFIED SERVER api.0penai.com, certificate {'ab' * 32}"),
        ("evil\x1b[31m", None, "UNVERIFIED SERVER evil\\x1b[31m, no certificate"),
        ("rules.invalid", None, "built-in rules, not a language model"),
    ],
)
def test_who_answered_is_named(host: str, certificate: str | None, shown: str) -> None:
    servers = Servers()
    body = {"host": host, "server.certificate_sha256": certificate, "http.response.status_code": 200}
    for _ in range(3):
        servers.take(body)
    servers.take({**body, "http.response.status_code": None})
    (server,) = servers.all()
    assert (str(server), server.answers) == (shown, 3)
