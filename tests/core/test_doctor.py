"""`python -m scripts.doctor`: whatever is wrong is one line, and the next says the command that mends it."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import house
import pytest
from sqlalchemy import make_url, text

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

from data import door
from data.model.errors import UsageError
from data.store.store import Store
from scripts import doctor, doctor_checks
from scripts.doctor_place import Check, packages, python

CANARY = "sk-canary-5e1f00dd"
MODEL = "openai/gpt-4o-mini"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, database_url: str) -> dict[str, str]:
    found = {"DATABASE_URL": database_url}
    monkeypatch.setattr(doctor_checks, "settings", lambda: found)
    return found


class Doctor:
    """The command in this process, and what it says."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def look(self, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
        assert doctor.main([*words, "--json"]) == code
        told = self._capsys.readouterr()
        assert CANARY not in told.out + told.err
        whole = json.loads(told.out)
        assert whole["good"] == (code == 0)
        for check in whole["checks"]:
            assert "\n" not in check["detail"] + (check["mend"] or "")
            assert (check["mend"] is not None) >= (check["state"] == "bad")
        return {check["name"]: check for check in whole["checks"]}


@pytest.fixture
def seen(capsys: pytest.CaptureFixture[str], environ: dict[str, str]) -> Doctor:
    assert environ
    return Doctor(capsys)


def test_a_machine_in_order(seen: Doctor, store: Store) -> None:
    assert store.windows() == ()
    found = seen.look("--model", "rules")
    assert {name for name, check in found.items() if check["state"] == "bad"} == set()
    assert [*found] == ["python", "packages", "database", "data", "model", "disk", "clock", "time zone"]
    assert found["data"]["mend"] == "python -m scripts.ingest sample"


def test_bars_at_hand_are_named(seen: Doctor, bitcoin: str) -> None:
    assert bitcoin
    assert seen.look()["data"]["detail"] == "BTCUSDT 1h 2025-03-01 to 2025-04-15"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://nobody:geheim-1234@127.0.0.1:9/none", "127.0.0.1:9/none"),
        ("mysql://somewhere/x", "only postgresql"),
    ],
)
def test_a_database_that_does_not_answer(seen: Doctor, url: str, said: str) -> None:
    found = seen.look("--database", url, code=1)["database"]
    assert said in found["detail"]
    assert "geheim" not in str(found)
    assert found["mend"].startswith("leave --database out")


def test_how_to_do_without_a_server_is_said_where_it_was_named(
    seen: Doctor, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ["DATABASE_URL"] = "mysql://somewhere/x"
    monkeypatch.setenv("DATABASE_URL", "mysql://somewhere/x")
    assert seen.look(code=1)["database"]["mend"].startswith("unset DATABASE_URL ")
    monkeypatch.delenv("DATABASE_URL")
    assert seen.look(code=1)["database"]["mend"].startswith("sed -i '/DATABASE_URL=/d' .env ")


def test_a_database_that_is_missing_is_made_by_what_is_said(seen: Doctor, database_url: str) -> None:
    url = make_url(database_url).set(database="hm none")
    found = seen.look("--database", url.render_as_string(hide_password=False), code=1)["database"]
    said = shlex.split(found["mend"])
    assert (said[0], said[-1]) == ("createdb", "hm none")


@pytest.fixture
def reader(store: Store) -> Iterator[str]:
    """Somebody who may read the tables, and not add to them."""
    name = f"reader_{secrets.token_hex(4)}"
    with store.engine.begin() as owner:
        owner.execute(text(f"CREATE ROLE {name}"))
        owner.execute(text(f"GRANT USAGE ON SCHEMA market TO {name}"))
        owner.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA market TO {name}"))
    yield name
    with store.engine.begin() as owner:
        owner.execute(text(f"DROP OWNED BY {name}"))
        owner.execute(text(f"DROP ROLE {name}"))


def test_what_is_said_of_missing_rights_mends_them(seen: Doctor, store: Store, database_url: str, reader: str) -> None:
    """There is one line, and who has these rights needs none to create: a run makes no tables."""
    url = make_url(database_url).update_query_dict({"options": f"-c role={reader}"})
    words = ("--database", url.render_as_string(hide_password=False))
    found = seen.look(*words, code=1)["database"]
    assert f"{reader} may add nothing" in found["detail"]
    said = shlex.split(found["mend"].removesuffix("    (as its owner)"))
    assert said[-4:-1] == ["-d", url.database, "-c"]
    with store.engine.begin() as owner:
        owner.execute(text(said[-1]))
    assert seen.look(*words)["database"]["state"] == "good"


def test_a_key_is_looked_for_and_never_shown(seen: Doctor, environ: dict[str, str]) -> None:
    assert seen.look("--model", MODEL, code=1)["model"]["mend"].startswith("export OPENAI_API_KEY=")
    environ["OPENAI_API_KEY"] = CANARY
    found = seen.look("--model", MODEL)
    assert found["model"]["detail"] == f"{MODEL}: OPENAI_API_KEY is set (not shown)"
    assert found["reachable"]["state"] == "note"
    assert "--ask_model" in found["reachable"]["mend"]


def test_an_unknown_model_is_bad_and_none_is_a_note(seen: Doctor) -> None:
    assert seen.look("--model", "house/x", code=1)["model"]["mend"] == "export AGENTRADER_MODEL=rules"
    assert "--base_url http://" in seen.look("--model", MODEL, "--base_url", "x", code=1)["model"]["mend"]
    assert seen.look()["model"]["state"] == "note"


@pytest.mark.parametrize(
    ("step", "code", "said"), [(server.completing(content="ok"), 0, "answered"), (server.echo_key(401), 1, "401")]
)
def test_the_model_is_asked_for_one_token_only_if_told(
    seen: Doctor, environ: dict[str, str], step: server.Step, code: int, said: str
) -> None:
    environ["OPENAI_API_KEY"] = CANARY
    with server.FaultServer(then=step) as listening:
        words = ("--model", MODEL, "--base_url", listening.base_url)
        seen.look(*words)
        assert listening.received == []
        found = seen.look(*words, "--ask_model", code=code)["reachable"]
        (asked,) = listening.received
    assert said in found["detail"]
    assert (found["mend"] or "export OPENAI_API_KEY=").startswith("export OPENAI_API_KEY=")
    assert asked.asked["max_completion_tokens"] == 1


def test_who_says_no_is_not_asked_for() -> None:
    with server.FaultServer() as listening:
        spec = doctor_checks.resolve_model(MODEL, listening.base_url)
        found = doctor_checks._reached(spec, CANARY, lambda _question: False)
        assert (found.state, listening.received) == ("note", [])


@pytest.mark.parametrize(("version", "state"), [((3, 10, 9), "bad"), ((3, 11, 0), "good"), ((3, 14, 0), "bad")])
def test_the_version_of_python(version: tuple[int, ...], state: str) -> None:
    assert python(version).state == state


@pytest.mark.parametrize(
    ("lock", "state", "said"),
    [
        ("rich==0.0.1 \\\n    --hash=sha256:0\n", "bad", "rich is "),
        ("no-such-package==1 \\\n", "bad", "no-such-package is missing"),
        ("no-such-package==1 ; sys_platform == 'win32' \\\n", "good", "1 as locked"),
    ],
)
def test_packages_are_held_against_the_lock(tmp_path: Path, lock: str, state: str, said: str) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(lock)
    found = packages(path)
    assert (found.state, said in found.detail) == (state, True)


def test_nothing_else_is_tried_without_the_packages(seen: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "packages", lambda: Check("packages", "bad", "gone", "install"))
    assert [*seen.look(code=1)] == ["python", "packages", "the rest"]


def test_it_runs_where_no_package_is() -> None:
    alone = f"import sys; sys.path.append({str(house.ROOT)!r}); from scripts.doctor import main; sys.exit(main([]))"
    command = [sys.executable, "-I", "-S", "-c", alone]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "pip install" in done.stdout


def test_its_reader_may_leave() -> None:
    reading, pipe = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "scripts.doctor", "--database", "postgresql://127.0.0.1:1/none"]
    done = subprocess.run(words, cwd=house.ROOT, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_and_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor_checks.disk(tmp_path / "not" / "yet").state == "good"
    (tmp_path / "file").touch()
    assert doctor_checks.disk(tmp_path / "file" / "runs").state == "bad"
    monkeypatch.setattr(doctor_checks, "LEAST_FREE", 10**18)
    assert doctor_checks.disk(tmp_path).mend == f"df -h {tmp_path}"
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    assert "chown" in (doctor_checks.disk(tmp_path).mend or "")


def test_a_clock_behind_the_project_s_own_files(tmp_path: Path) -> None:
    witness = tmp_path / "requirements.txt"
    witness.touch()
    now = datetime.now(UTC)
    assert doctor_checks.clock(now + timedelta(minutes=1), witness).state == "good"
    assert doctor_checks.clock(now - timedelta(days=2), witness).state == "bad"


def test_settings_that_do_not_read_are_one_line(seen: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(f"OPENAI_API_KEY={CANARY}\xe9\n".encode("latin-1"))
    monkeypatch.setattr(door, "ROOT", tmp_path)
    monkeypatch.setattr(doctor_checks, "settings", door.settings)
    found = seen.look("--database", "mysql://x/y", code=1)["settings"]
    assert "cannot be read: it is not UTF-8" in found["detail"]
    with pytest.raises(UsageError, match="it is not UTF-8"):
        door.settings()
