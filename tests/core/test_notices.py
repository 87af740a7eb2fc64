"""Whoever is to be told of a run is told; whoever cannot be told stops nothing, and nobody learns a secret by it."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from main_job import RULES, WINDOW, play

sys.path.append(str(Path(__file__).parents[1] / "llm"))
from fault_server import FaultServer, Handler, Received, ok, refusal

from backtesting.core import notices
from backtesting.core.arguments import read_arguments
from backtesting.core.notices import BudgetWatch, NotDelivered, Notices, deliver, require_places
from data.journal.opened import reopen
from data.model.errors import UsageError

TOKEN = "canary-token-77c0ffee"
KEY = {"OPENAI_API_KEY": "sk-canary-4f1c0ffee"}
MODEL = (*WINDOW, "--model", "openai/gpt-4o", "--mini", "--decide_every", "3")


@dataclass
class Hook:
    """Somebody who listens, and answers every notice in the same way."""

    url: str = ""
    answer: int = 204
    heard: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def unbilled(handler: Handler, received: Received) -> None:
    """A good answer of one who does not say what it took."""
    handler.say(200, json.dumps(handler.server.owner.completion(received) | {"usage": None}).encode())


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            found.paths.append(self.path)
            self.send_response(found.answer)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}/{TOKEN}"
        yield found
        server.shutdown()


def test_the_end_of_a_run_is_told(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    played = play(tmp_path, bitcoin, *RULES, "--mini", "--notify", hook.url)
    (told,) = hook.heard
    assert (told["event"], told["run_id"], told["reason"]) == ("complete", played.folder.name, None)
    for name in ("result_digest", "total_return", "decisions", "failed", "cost_usd", "head"):
        assert told[name] == played.summary[name]


def test_a_stop_is_told_with_its_reason(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    with FaultServer([ok] * 5, then=refusal) as server:
        words = ("--base_url", server.base_url, "--max_failures", "2", "--notify", hook.url)
        played = play(tmp_path, bitcoin, *MODEL, *words, environ=KEY)
    (told,) = hook.heard
    assert (played.code, told["event"], told["reason"]) == (3, "stopped", played.summary["reason"])
    assert KEY["OPENAI_API_KEY"] not in json.dumps(told)


def test_what_ends_the_command_is_told(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    with pytest.raises(UsageError):
        play(tmp_path, bitcoin, *RULES, "--symbol", "NOBODY", "--notify", hook.url)
    (told,) = hook.heard
    assert told["event"] == "stopped"
    assert "unknown symbol NOBODY" in told["reason"]


def test_a_run_that_another_process_plays_has_not_stopped(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    with FaultServer(then=refusal) as server:
        words = ("--base_url", server.base_url, "--max_failures", "1")
        stopped = play(tmp_path, bitcoin, *MODEL, *words, environ=KEY)
    log = reopen(stopped.folder)
    with pytest.raises(UsageError, match="another process is at work"):
        play(tmp_path, bitcoin, "--resume", str(stopped.folder), "--notify", hook.url, environ=KEY)
    os.close(log.descriptor)
    assert hook.heard == []


def test_most_of_a_budget_is_told_once(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    with FaultServer() as server:
        words = (*WINDOW, "--model", "openai/gpt-4o", "--mini", "--base_url", server.base_url)
        free = play(tmp_path / "free", bitcoin, *words, environ=KEY)
        budget = free.summary["cost_usd"] * 1.24
        words = (*words, "--budget_usd", f"{budget:.6f}", "--notify", hook.url)
        played = play(tmp_path / "bounded", bitcoin, *words, environ=KEY)
    assert played.code == 0
    assert [told["event"] for told in hook.heard] == ["budget", "complete"]
    assert budget * 0.8 <= hook.heard[0]["spent_usd"] <= budget


def test_a_server_that_sends_no_bill_uses_up_a_budget_too(tmp_path: Path, bitcoin: str, hook: Hook) -> None:
    with FaultServer(then=unbilled) as server:
        words = ("--base_url", server.base_url, "--budget_usd", "1", "--notify", hook.url)
        played = play(tmp_path, bitcoin, *MODEL, *words, environ=KEY)
    assert (played.code, played.summary["cost_usd"]) == (3, None)
    assert [told["event"] for told in hook.heard] == ["budget", "stopped"]
    assert 0.8 <= hook.heard[0]["spent_usd"] <= 1


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (["0", "0.79"], []),
        (["0", "0.8", "0.9"], ["0.8"]),
    ],
)
def test_most_of_a_budget_is_four_fifths(spent: list[str], told: list[str]) -> None:
    heard: list[Any] = []
    now = [Decimal(0)]
    told_by = Notices("run", ("http://x",), lambda _line: None, lambda _place, notice: heard.append(notice))
    watch = BudgetWatch(told_by, Decimal(1), lambda: now[0])
    for each in spent:
        now[0] = Decimal(each)
        watch.look()
    assert [each["spent_usd"] for each in heard] == [float(each) for each in told]


@pytest.mark.parametrize("answer", [302, 404, 500])
def test_who_does_not_take_it_is_one_warning(hook: Hook, answer: int) -> None:
    hook.answer, warned = answer, list[str]()
    Notices("run-7", (hook.url,), warned.append).used(Decimal(8), Decimal(10))
    assert warned == [f"warning: nobody at 127.0.0.1 could be told of the run (budget): it answered {answer}"]
    assert hook.paths == [f"/{TOKEN}"], "a redirect is not followed"


def test_nobody_at_home_is_one_warning_each(tmp_path: Path, bitcoin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    places = (f"http://127.0.0.1:{port}/{TOKEN}", f"https://127.0.0.1:{port}/{TOKEN}")
    played = play(tmp_path, bitcoin, *RULES, "--mini", "--notify", *places)
    assert played.code == 0
    assert sum("could be told" in line for line in played.err.splitlines()) == 2


def test_whoever_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "LONGEST_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotDelivered, match="no answer in time"):
        deliver(f"http://127.0.0.1:{silent.getsockname()[1]}/", {"event": "complete", "run_id": "run"})


def test_the_address_is_nowhere(
    tmp_path: Path, bitcoin: str, hook: Hook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("httpx"), "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    hook.answer, url = 500, hook.url.replace("://", "://me:canary-word@")
    played = play(tmp_path, bitcoin, *RULES, "--mini", "--decide_every", "12", "--notify", url, "--log_level", "DEBUG")
    assert (played.code, hook.paths) == (0, [f"/{TOKEN}"])
    assert [line for line in caplog.messages if TOKEN in line or "canary-word" in line] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in played.err + played.out


def test_mail_goes_through_the_machines_own_sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    deliver("mailto:me@example.org", {"event": "stopped", "run_id": "run-7", "reason": "a disk is full"})
    assert (tmp_path / "words").read_text() == "-i -- me@example.org\n"
    head, _, body = (tmp_path / "mail").read_text().partition("\n\n")
    assert head == "To: me@example.org\nSubject: aGENtrader run run-7: stopped"
    assert "reason: a disk is full\n" in body
    program.write_text("#!/bin/sh\nexit 75\n")
    with pytest.raises(NotDelivered, match="sendmail ended with 75"):
        deliver("mailto:me@example.org", {"event": "stopped", "run_id": "run-7"})


def test_the_name_of_a_run_adds_no_line_to_a_mail() -> None:
    heard: list[Any] = []
    Notices("run\nBcc: x@y.org", ("mailto:me@example.org",), print, lambda _place, told: heard.append(told)).used(
        Decimal(8), Decimal(10)
    )
    assert heard[0]["run_id"] == "run\\nBcc: x@y.org"


def test_a_machine_without_sendmail_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(notices, "_SENDMAIL_PATHS", str(tmp_path))
    with pytest.raises(NotDelivered, match="this machine has no sendmail"):
        deliver("mailto:me@example.org", {"event": "complete", "run_id": "run-7"})


@pytest.mark.parametrize(
    "place",
    ["example.org", "ftp://example.org", "http://", "http://[", "mailto:", "mailto:-oQ/tmp@x", "mailto:a b@c.org",
     "mailto:a@b.org\nBcc: c@d.org", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_shown(place: str) -> None:
    with pytest.raises(UsageError, match="--notify takes addresses like") as caught:
        require_places([place])
    assert place not in str(caught.value).replace("mailto:you@example.org", "").replace("https://example.org/hook", "")


def test_the_environment_may_name_them() -> None:
    environ = {"AGENTRADER_NOTIFY": "https://example.org/a mailto:me@example.org"}
    assert read_arguments(RULES, environ).notify == ("https://example.org/a", "mailto:me@example.org")
    said = read_arguments([*RULES, "--notify", "https://example.org/b"], environ)
    assert said.notify == ("https://example.org/b",)
    assert "notify" not in said.invocation
