"""No secret is left behind by a run, its stop and its resume: in no file, no output, no table, in whatever spelling.

Stated limit: a secret that somebody else encodes (base64) or quotes in part is not recognised.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import databases
import fault_server as server
import pytest
from sqlalchemy import make_url

import data.door
from backtesting.core import authentic_backtest
from data.journal.reading import read_records
from scripts import report, verify

KEY = 'sk-canary/"odd"\\key+4f1c0ffee=%'
PASSWORD = "canary-password-77c0ffee"
WORDS = (
    *("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-01"),
    *("--decide_every", "8", "--model", "openai/gpt-4o-mini", "--log_level", "DEBUG", "--json", "--yes"),
)


def spellings(secret: str) -> set[bytes]:
    """As it is, in JSON, in JSON inside of JSON, in a URL, in a header, in HTML, and in a table's cell."""
    once = json.dumps(secret)[1:-1]
    found = {secret, once, json.dumps(once)[1:-1], secret.replace("/", "\\/"), quote(secret, safe=""), quote(secret)}
    found |= {quote_plus(secret), *map(html.escape, found), secret.replace('"', '""')}
    return {each.encode() for each in found}


SECRETS = spellings(KEY) | spellings(PASSWORD)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the key in its `.env`."""
    monkeypatch.setattr(authentic_backtest, "ROOT", tmp_path)
    monkeypatch.setattr(data.door, "ROOT", tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY='{KEY}'\n".replace("\\", "\\\\"))
    return tmp_path


def echoing(code: int, **headers: str) -> server.Step:
    """The provider repeats the whole header, the key by itself and in other spellings."""

    def step(handler: server.Handler, received: server.Received) -> None:
        told = received.headers["authorization"]
        assert told == f"Bearer {KEY}", "the server was never given the key"
        message = f"{told} {quote(KEY)} {quote(KEY, safe='')} {json.dumps(KEY)}"
        server.status(code, message, x_request_id=f"for-{quote(KEY)}", **headers)(handler, received)

    return step


def repeating(handler: server.Handler, received: server.Received) -> None:
    """The model's own answer has the key among its reasons."""
    whole = handler.server.owner._answer(received.asked["messages"])
    said = json.loads(whole)
    said["reasons"] = [*said.get("reasons", []), f"the key is {KEY}"]
    server.completing(content=json.dumps(said))(handler, received)


def rows(url: str) -> bytes:
    """Every row of every table of ours, as text."""
    tables = databases.run(
        url,
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    dumped = [databases.run(url, f"SELECT t::text FROM {name} t") for (name,) in tables if not name.endswith(".bars")]
    return "\n".join(row for table in dumped for (row,) in table).encode()


@dataclass
class Scene:
    """A run that a provider stops by repeating the key, and its resume: what was said, written and stored."""

    home: Path
    url: str
    capsys: pytest.CaptureFixture[str]
    codes: list[int] = field(default_factory=list)
    said: str = ""

    def play(self) -> None:
        url = make_url(self.url).set(password=PASSWORD).render_as_string(hide_password=False)
        common = ("--database", url, "--output_dir", str(self.home / "runs"))
        script = [server.ok, echoing(500, retry_after="0"), repeating, server.ok, server.ok, server.ok, echoing(401)]
        with server.FaultServer(script) as model:
            base = model.base_url.replace("http://", f"http://somebody:{PASSWORD}@")
            stamps = f"http://somebody:{PASSWORD}@127.0.0.1:9/"
            words = (*WORDS, "--base_url", base, "--timestamp_url", stamps, "--max_failures", "1")
            self._call(*words, *common)
            again = ("--resume", str(self.folder), "--json", "--log_level", "DEBUG")
            self._call(*again, "--timestamp_url", stamps, *common)
        for door in (verify, report):
            self.codes.append(door.main([str(self.folder)]))
            self.said += "".join(self.capsys.readouterr())

    @property
    def folder(self) -> Path:
        (found,) = (self.home / "runs").iterdir()
        return found

    @property
    def files(self) -> dict[str, bytes]:
        """All but the one that the key comes from."""
        found = (path for path in self.home.rglob("*") if path.is_file() and path.name != ".env")
        return {path.relative_to(self.home).as_posix(): path.read_bytes() for path in found}

    def leaks(self) -> set[str]:
        """Where a secret is."""
        places = {**self.files, "output": self.said.encode(), "tables": rows(self.url)}
        return {place for place, whole in places.items() if any(each in whole for each in SECRETS)}

    def _call(self, *words: str) -> None:
        self.codes.append(authentic_backtest.main(words))
        self.said += "".join(self.capsys.readouterr())


@pytest.fixture(params=["in .env", "in the environment"])
def keyed(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "in the environment":
        (home / ".env").unlink()
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return home


def test_a_canary_is_nowhere(keyed: Path, bars_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(keyed, bars_url, capsys)
    scene.play()
    assert scene.codes == [3, 0, 0, 0]
    assert "request_rejected" in scene.said
    assert "no time stamp" in scene.said
    responses = [record.body for record in read_records(scene.folder) if record.kind == "llm.response"]
    assert sum(body.get("redacted") is True for body in responses) == 3
    assert sum("[redacted]" in str(body["headers"]) for body in responses) == 2
    names = {path.rpartition("/")[2] for path in scene.files}
    assert names >= {"log.jsonl", "checkpoints", "report.html", "decisions.csv", "agent_comms.log", "project.key"}
    assert any(name.startswith("agent_comms_2") for name in names)
    assert scene.folder.name.encode() in rows(bars_url)
    assert scene.leaks() == set()


def _as_it_is(*words: Any) -> Any:
    return words[-1]


EVERYWHERE = {"log.jsonl", "report.html", "decisions.csv", "agent_comms.log", "output"}
BREAKS = {
    "keys are not known": ("agents.llm.redaction.Redactor.add", lambda *_: None, EVERYWHERE),
    "bodies are kept as they are": ("agents.llm.redaction.Redactor.body", lambda _, body: (body, False), {"log.jsonl"}),
    "headers are kept as they are": ("agents.llm.redaction.Redactor.text", _as_it_is, {"log.jsonl"}),
    "addresses are kept as they are": ("agents.llm.models._server", _as_it_is, {"log.jsonl"}),
    "the environment is recorded": (
        "backtesting.core.playing.environment",
        lambda _: data.door.settings(),
        {"log.jsonl"},
    ),
    "the authority's address is told": ("data.journal.stamping._host", _as_it_is, {"output"}),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_the_canary_is_found_where_a_guard_is_missing(
    home: Path, bars_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    guard, instead, places = BREAKS[broken]
    monkeypatch.setattr(guard, instead)
    scene = Scene(home, bars_url, capsys)
    scene.play()
    assert {leak.rpartition("/")[2] for leak in scene.leaks()} >= places


def test_a_password_is_in_no_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for url in (f"postgresql://u:{PASSWORD}@127.0.0.1:9/x", f"postgresql://u:{PASSWORD}@@127.0.0.1/x"):
        assert authentic_backtest.main([*WORDS, "--database", url, "--output_dir", str(home / "runs")]) == 2
        told = capsys.readouterr()
        assert told.err.count("\n") == 1
        assert PASSWORD not in told.err + told.out
    for url in (f"http://u:{PASSWORD}@h/v1?key={PASSWORD}", f"ftp://u:{PASSWORD}@h", f"http://u:{PASSWORD}@["):
        assert authentic_backtest.main([*WORDS, "--base_url", url, "--output_dir", str(home / "runs")]) == 2
        told = capsys.readouterr()
        assert told.err.count("\n") == 1
        assert PASSWORD not in told.err + told.out
