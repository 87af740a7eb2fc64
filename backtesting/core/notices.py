"""Tells somebody elsewhere how a run is: at its end, at a stop, and once when most of its budget is used.

A place is an http(s) address, which gets a POST of one small JSON object, or `mailto:` somebody, by this machine's own
sendmail. Promise: no notice holds a run up for more than `LONGEST_S`, and none stops it; what could not be delivered is
one warning. An address may hold a token, so no more than its host is ever shown, and it is not recorded.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit

import httpx

from backtesting.audit.summary import Summary
from data.model.canonical import Json
from data.model.errors import AgentraderError, JournalBroken, RunBusy, UsageError
from data.model.escape import escape_line

NEARLY = Decimal("0.8")
LONGEST_S = 10.0
_TIMEOUT_S = 5.0
_REASON_CHARS = 500
_MAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9][A-Za-z0-9.-]*\Z")
_SENDMAIL_PATHS = "/usr/sbin:/usr/lib:/usr/bin:/usr/local/sbin"

Notice = Mapping[str, Json]
Deliver = Callable[[str, Notice], None]


class NotDelivered(Exception):
    """The message says why, and holds nothing of the address."""


def require_places(places: Sequence[str]) -> tuple[str, ...]:
    """The places as they are. Raises UsageError for one that is neither an http(s) address nor mailto:."""
    for place in places:
        scheme, _, rest = place.partition(":")
        is_mail = scheme == "mailto" and _MAIL.fullmatch(rest) is not None
        if not is_mail and not (scheme in ("http", "https") and _host(place)):
            raise UsageError("--notify takes addresses like https://example.org/hook or mailto:you@example.org")
    return tuple(places)


def deliver(place: str, notice: Notice) -> None:
    """Delivers in a thread, so that not even a name server holds anybody up. Raises NotDelivered."""
    faults: list[str] = ["no answer in time"]

    def send() -> None:
        try:
            _mail(place.removeprefix("mailto:"), notice) if place.startswith("mailto:") else _post(place, notice)
        except NotDelivered as error:
            faults.append(str(error))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, subprocess.SubprocessError, ValueError) as error:
            faults.append(type(error).__name__)
        else:
            faults.clear()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(LONGEST_S)
    if told := list(faults):
        raise NotDelivered(told[-1])


@dataclass(frozen=True)
class Notices:
    """Of one run. `warn` takes a line for people."""

    run_id: str
    places: tuple[str, ...]
    warn: Callable[[str], None]
    deliver: Deliver = field(default=deliver)

    def over(self, summary: Summary) -> None:
        """The run is complete, or was stopped in good order."""
        event = "complete" if summary.status == "complete" else "stopped"
        told = summary.for_programs()
        names = ("model", "decisions", "failed", "total_return", "cost_usd", "wall_s", "result_digest", "head")
        self._tell(event, summary.reason, {name: told[name] for name in names})

    @contextmanager
    def at_a_stop(self) -> Iterator[None]:
        """Tells of an error that ends the command inside the block, and lets it go on its way."""
        try:
            yield
        except RunBusy:  # the command ends, the run does not
            raise
        except (AgentraderError, JournalBroken) as error:
            self._tell("stopped", str(error), {})
            raise

    def used(self, spent: Decimal, budget: Decimal) -> None:
        """Most of the budget is spent."""
        self._tell("budget", None, {"spent_usd": float(spent), "budget_usd": float(budget)})

    def _tell(self, event: str, reason: str | None, more: Notice) -> None:
        why = None if reason is None else escape_line(reason)[:_REASON_CHARS]
        notice: Notice = {"event": event, "run_id": escape_line(self.run_id), "reason": why, **more}
        for place in self.places:
            try:
                self.deliver(place, notice)
            except NotDelivered as error:
                self.warn(f"warning: nobody at {_shown(place)} could be told of the run ({event}): {error}")


@dataclass
class BudgetWatch:
    """Asked after each step: tells once when `NEARLY` of the budget is spent, by what counts against it."""

    notices: Notices
    budget: Decimal | None
    spent: Callable[[], Decimal]
    _told: bool = False

    def look(self) -> None:
        if self._told or not self.budget or (spent := self.spent()) < NEARLY * self.budget:
            return
        self._told = True
        self.notices.used(spent, self.budget)


def _post(url: str, notice: Notice) -> None:
    """No proxy and no redirect: what is told goes to the address that was given."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its line about a request names the whole address
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        answer = client.post(url, content=json.dumps(notice), headers={"Content-Type": "application/json"})
    if not answer.is_success:
        raise NotDelivered(f"it answered {answer.status_code}")


def _mail(address: str, notice: Notice) -> None:
    program = shutil.which("sendmail") or shutil.which("sendmail", path=_SENDMAIL_PATHS)
    if program is None:
        raise NotDelivered("this machine has no sendmail")
    lines = "".join(f"{name}: {value}\n" for name, value in notice.items())
    text = f"To: {address}\nSubject: aGENtrader run {notice['run_id']}: {notice['event']}\n\n{lines}"
    command = [program, "-i", "--", address]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode:
        raise NotDelivered(f"sendmail ended with {done.returncode}")


def _shown(place: str) -> str:
    return escape_line("the mail address given" if place.startswith("mailto:") else _host(place) or "the address given")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
