"""The checks that need the packages: database, data, key, model, disk, clock and time zone."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import URL, Engine, text

from agents.llm.models import NO_KEY, RULES, ModelSpec, api_key, resolve_model
from data.door import ROOT, settings
from data.model.errors import AgentraderError, StoreUnavailable
from data.model.escape import escape_line
from data.store.database import connect, open_database, read_url
from data.store.faults import OWNER_MENDS, grant_tables
from data.store.store import Store
from scripts.doctor_place import Check

LEAST_POSTGRES = 14
LEAST_FREE = 1_000_000_000
MOST_APART_S = 5.0
Ask = Callable[[str], bool]


def look(options: argparse.Namespace, ask: Ask | None) -> Iterator[Check]:
    """All of them, in order; none stops the next."""
    try:
        environ = settings()
    except AgentraderError as error:
        yield Check(
            "settings",
            "bad",
            escape_line(str(error)),
            "iconv -f LATIN1 -t UTF-8 .env -o .env.utf8 && mv .env.utf8 .env",
        )
        environ = dict(os.environ)
    url = options.database or environ.get("DATABASE_URL")
    yield from database(url, ROOT / "data" / "postgres", given=bool(options.database))
    yield from model(options.model or environ.get("AGENTRADER_MODEL"), options, environ, ask)
    yield disk(options.output_dir)
    yield clock(datetime.now(UTC), ROOT / "requirements.txt")
    yield time_zone()


def database(url: str | None, state_dir: Path, *, given: bool = False) -> Iterator[Check]:
    """Whether it can be reached, is new enough and lets this user do what a run does; and which bars it holds.

    `given` says that the URL is not a setting but a flag.
    """
    what, without = ("--database" if given else "DATABASE_URL") if url else "embedded", _without(given=given)
    try:
        with connect(url, state_dir) as found:
            server = _server(found.engine, f"{what}, {found.url_shown}", without)
        if server.state == "bad":
            yield server
            return
        with open_database(url, state_dir) as found:
            windows = _windows(Store(found.engine))
            _require_rights(found.engine, found.url_shown)
        yield server
        yield windows
    except AgentraderError as error:
        mend = _database_mend(read_url(url), str(error), without) if url and _reads(url) else without
        yield Check("database", "bad", escape_line(str(error)), mend if url else f"ls -la {state_dir}")


def _without(*, given: bool) -> str:
    """How to do without that server."""
    setting = "unset DATABASE_URL" if "DATABASE_URL" in os.environ else "sed -i '/DATABASE_URL=/d' .env"
    return f"{'leave --database out' if given else setting}    (an embedded PostgreSQL starts by itself)"


def _reads(url: str) -> bool:
    try:
        return bool(read_url(url).database)
    except AgentraderError:
        return False


def _database_mend(url: URL, told: str, without: str) -> str:
    where = [word for flag, value in (("-h", url.host), ("-p", url.port)) if value for word in (flag, str(value))]
    _, _, statement = told.partition(OWNER_MENDS)
    if statement:
        return f"{shlex.join(['psql', *where, '-d', str(url.database), '-c', statement])}    (as its owner)"
    if f'database "{url.database}" does not exist' in told:
        return shlex.join(["createdb", *where, str(url.database)])
    return without


def _require_rights(engine: Engine, shown: str) -> None:
    """Raises StoreUnavailable where this user may read, but not add to the tables."""
    lacking = text(
        "SELECT current_user FROM pg_tables WHERE schemaname = 'market' AND NOT has_table_privilege("
        "format('%I.%I', schemaname, tablename), 'INSERT') LIMIT 1"
    )
    with engine.connect() as connection:
        user = connection.execute(lacking).scalar_one_or_none()
    if user is not None:
        why = f"{user} may add nothing"
        raise StoreUnavailable(f"the database {shown} refuses: {why}. {grant_tables(user)}")


def _server(engine: Engine, what: str, without: str) -> Check:
    with engine.connect() as connection:
        version = int(str(connection.execute(text("SHOW server_version_num")).scalar_one())) // 10000
        now = connection.execute(text("SELECT now()")).scalar_one()
    if version < LEAST_POSTGRES:
        told = f"{what}: PostgreSQL {version}, and {LEAST_POSTGRES} is needed"
        return Check("database", "bad", told, without)
    apart = abs((datetime.now(UTC) - now).total_seconds())
    if apart > MOST_APART_S:
        told = f"{what}: its clock and this machine's are {apart:.0f} s apart"
        return Check("database", "bad", told, "sudo timedatectl set-ntp true    (on both)")
    return Check("database", "good", f"{what}: PostgreSQL {version}, rights to read and add")


def _windows(store: Store) -> Check:
    held = store.windows()
    if not held:
        return Check("data", "note", "no bars yet", "python -m scripts.ingest sample")
    shown = "; ".join(f"{each.symbol} {each.interval} {each.first_on} to {each.last_on}" for each in held[:8])
    return Check("data", "good", escape_line(shown) + (f"; and {len(held) - 8} more" if len(held) > 8 else ""))


def model(
    name: str | None, options: argparse.Namespace, environ: Mapping[str, str], ask: Ask | None
) -> Iterator[Check]:
    """Whether its key is there, which is not shown; and whether it answers, if that was asked for."""
    if not name:
        yield Check("model", "note", "none is chosen", "export AGENTRADER_MODEL=openai/gpt-4o-mini    (or rules)")
        return
    try:
        spec = resolve_model(name, options.base_url)
        key = api_key(spec, environ)
    except AgentraderError as error:
        variable = _variable(name)
        mend = f"export {variable}=…    (or a line in .env)" if variable else "export AGENTRADER_MODEL=rules"
        if "--base_url" in str(error):
            mend = f"python -m scripts.doctor --model {escape_line(name)} --base_url http://127.0.0.1:8000/v1"
        yield Check("model", "bad", escape_line(str(error)), mend)
        return
    if spec.provider == RULES:
        yield Check("model", "good", "rules: built in, needs no key")
        return
    told = "no key needed" if key == NO_KEY else f"{spec.key_variable} is set (not shown)"
    yield Check("model", "good", f"{spec.shown}: {told}")
    if options.ask_model:
        yield _reached(spec, key, ask)
    else:
        again = f"python -m scripts.doctor --model {spec.shown} --ask_model"
        yield Check("reachable", "note", f"{spec.host} was not asked", again)


def _variable(name: str) -> str | None:
    try:
        return resolve_model(name).key_variable
    except AgentraderError:
        return None


def _reached(spec: ModelSpec, key: str, ask: Ask | None) -> Check:
    from scripts.doctor_model import ask_one_token  # noqa: PLC0415 - asked for only now

    if ask is not None and not ask(f"send {spec.host} one short question, for one token? [y/N] "):
        return Check("reachable", "note", f"{spec.host} was not asked")
    fault = ask_one_token(spec, key)
    if fault is None:
        return Check("reachable", "good", f"{spec.host} answered for {spec.name}")
    if spec.key_variable and f"check the key in {spec.key_variable}" in fault:
        return Check("reachable", "bad", fault, f"export {spec.key_variable}=…    (or a line in .env)")
    names = f"curl -sS -o /dev/null -w '%{{http_code}}\\n' {spec.base_url}/models"
    return Check("reachable", "bad", fault, names)


def disk(folder: Path) -> Check:
    """Where runs are kept: there must be room, and it must be ours to write."""
    there = next(each for each in (folder, *folder.resolve().parents) if each.exists())
    if not there.is_dir():
        return Check("disk", "bad", f"{there} is no folder", "python -m scripts.doctor --output_dir data/runs")
    if not os.access(there, os.W_OK | os.X_OK):
        return Check("disk", "bad", f"{there} cannot be written", f'sudo chown "$USER" {there}')
    free = shutil.disk_usage(there).free
    shown = f"{free / 1e9:,.1f} GB free for {folder}"
    if free < LEAST_FREE:
        return Check("disk", "bad", f"{shown}; a run of 1,000 decisions takes some 70 MB", f"df -h {there}")
    return Check("disk", "good", shown)


def clock(now: datetime, witness: Path) -> Check:
    """A clock behind the project's own files is wrong: signatures and time stamps would say so for ever."""
    newest = datetime.fromtimestamp(witness.stat().st_mtime, UTC)
    if now < newest:
        told = f"{now:%Y-%m-%d %H:%M} UTC, but {witness.name} is of {newest:%Y-%m-%d %H:%M}"
        return Check("clock", "bad", told, "sudo timedatectl set-ntp true")
    return Check("clock", "good", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def time_zone() -> Check:
    """Any will do: instants are kept in UTC. But sessions of an exchange need the zones' rules."""
    try:
        ZoneInfo("America/New_York")
    except (OSError, ValueError, KeyError):
        return Check("time zone", "bad", "the rules of time zones are missing", "sudo apt-get install tzdata")
    return Check("time zone", "good", f"{'/'.join(time.tzname)} here; everything is kept in UTC")
