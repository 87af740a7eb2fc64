"""Keeps API keys out of what is written: every occurrence of a known key is replaced before anybody sees the text.

Limits: what is shorter than 8 characters is a placeholder of a local server and no secret; a key that somebody encodes
(base64, every letter escaped) or quotes in part is not recognised.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from agents.llm.models import NO_KEY

MARK = "[redacted]"
_SHORTEST = 8
_DEEPEST = 3
"""A model's answer is a JSON text in the server's JSON, and may quote a third."""


class Redactor:
    """Knows the keys in use. Adding is safe while others read: the tuple is replaced, never changed."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def add(self, key: str) -> None:
        """From now on `key` appears nowhere, plain, escaped as in JSON (in JSON, in JSON) or as in a URL."""
        if len(key) < _SHORTEST or key == NO_KEY:
            return
        in_a_url = {quote(key, safe=""), quote(key), quote_plus(key)}
        spellings = {spelling for each in {key, key.replace("/", "\\/"), *in_a_url} for spelling in _escaped(each)}
        self._secrets = tuple(sorted({*self._secrets, *spellings}, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text with every known key replaced."""
        for secret in self._secrets:
            text = text.replace(secret, MARK)
        return text

    def body(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes with every known key replaced, and whether there was one."""
        clean = data
        for secret in self._secrets:
            clean = clean.replace(secret.encode(), MARK.encode())
        return clean, clean != data


def _escaped(text: str) -> Iterator[str]:
    yield text
    for _ in range(_DEEPEST):
        text = json.dumps(text)[1:-1]
        yield text
