"""Asks a time-stamping authority (RFC 3161) to stamp a run's checkpoint, over HTTP.

Only a digest leaves the machine. A stamp is kept once it answers this very question: its nonce and its digest. Whatever
an authority or the network does, the run goes on: it has no stamp then, and a warning in one line.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from data.journal.anchors import MAX_BYTES, AnchorError, Moment, Stamp, is_of, read_response, read_stamp
from data.journal.notes import Checkpoint
from data.journal.opened import keep
from data.model.errors import JournalBroken
from data.model.escape import escape_line

LONGEST_WAIT = 20.0
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"

Post = Callable[[str, bytes], bytes]


@dataclass(frozen=True, slots=True)
class NotStamped:
    """There is no stamp; `warning` says why, in one line, without what is secret in the address."""

    warning: str


def post_query(url: str, query: bytes) -> bytes:
    """The body of the answer to one POST: no proxy, no redirect, little data, little time. Raises AnchorError."""
    answer: Future[bytes] = Future()
    # A thread, because no time-out of a connection bounds an answer that drips, or a name that does not resolve.
    Thread(target=_post_into, args=(answer, url, query), daemon=True).start()
    try:
        return answer.result(LONGEST_WAIT)
    except TimeoutError:
        raise AnchorError(_late()) from None


def request_stamp(url: str, data: bytes, post: Post = post_query) -> bytes:
    """The authority's answer (DER) with a stamp of the data; who gave it is not checked here. Raises AnchorError."""
    query = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    stamp = post(url, query.as_bytes())
    response = read_response(stamp)
    if response.tst_info.nonce != query.nonce or not is_of(response, data):
        raise AnchorError("it answered another question than this one")
    return stamp


def stamp_checkpoint(
    folder: Path, moment: Moment, checkpoint: Checkpoint, url: str, post: Post = post_query
) -> Stamp | NotStamped:
    """Has the checkpoint stamped and keeps the answer in the run's folder. Raises JournalBroken if the disk refuses."""
    try:
        stamp = request_stamp(url, checkpoint.text().encode(), post)
        found = read_stamp(stamp)
    except AnchorError as error:
        why = escape_line(f"{_host(url)}: {error}")
        return NotStamped(f"no time stamp of the {moment} of this run; {why}; the run is unaffected")
    path = moment.path(folder)
    try:
        path.parent.mkdir(exist_ok=True)
        keep(path, stamp)
    except OSError as error:
        raise JournalBroken(f"{path} cannot be written ({error.strerror or error}); make room") from error
    return found


def _post_into(answer: Future[bytes], url: str, query: bytes) -> None:
    try:
        answer.set_result(_post(url, query))
    except AnchorError as error:
        answer.set_exception(error)
    except httpx.TimeoutException:
        answer.set_exception(AnchorError(_late()))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        answer.set_exception(AnchorError(str(error) or type(error).__name__))


def _post(url: str, query: bytes) -> bytes:
    headers = {"Content-Type": _QUERY, "Accept": _REPLY, "Accept-Encoding": "identity"}
    with (
        httpx.Client(trust_env=False, follow_redirects=False, timeout=LONGEST_WAIT / 2) as client,
        client.stream("POST", url, content=query, headers=headers) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise AnchorError(f"it answered with status {response.status_code}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _REPLY:
            raise AnchorError(f"its answer is {kind or 'of no type'}, not {_REPLY}")
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > MAX_BYTES:
                raise AnchorError(f"its answer is larger than {MAX_BYTES} bytes")
        return bytes(body)


def _late() -> str:
    return f"it did not answer within {LONGEST_WAIT:g} s"


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host or "no host"
    except httpx.InvalidURL:
        return "no address"
