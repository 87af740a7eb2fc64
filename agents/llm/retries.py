"""How long to wait before asking again: what the server says, else exponentially longer.

The jitter comes from the request's digest, so that equal runs wait equally and many threads do not wait as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 300.0
_LONGEST_BACKOFF_S = 30.0


def wait_s(attempt: int, headers: Mapping[str, str], now: datetime, request_sha256: str) -> float | None:
    """Seconds until the attempt after `attempt` (1-based); None if the server wants a longer wait than we keep."""
    told = retry_after_s(headers, now)
    if told is not None:
        return told if told <= LONGEST_WAIT_S else None
    fraction = int(request_sha256[:8], 16) / 0xFFFFFFFF
    return round(min(_LONGEST_BACKOFF_S, 2.0 ** (attempt - 1)) * (0.5 + fraction / 2), 3)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """RFC 9110 §10.2.3: seconds or an HTTP date; `retry-after-ms` as OpenAI sends it. None if absent or unreadable."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def _number(text: str) -> float | None:
    """A plain decimal number of seconds; never NaN, infinity or a negative one."""
    whole, _, part = text.strip().partition(".")
    if not (
        whole.isascii() and whole.isdigit() and len(whole) < 12 and (part == "" or (part.isascii() and part.isdigit()))
    ):
        return None
    return float(f"{whole}.{part or 0}")
