"""Keeps API keys out of what is written: every occurrence of a known key is replaced before anybody sees the text.

Limits: what is shorter than 8 characters is a placeholder of a local server and no secret; a key that somebody encodes
(base64, every letter escaped) or quotes in part is not recognised.
"""

from __future__ import annotations

import json
from urllib.parse import quote

from agents.llm.models import NO_KEY

MARK = "[redacted]"
_SHORTEST = 8


class Redactor:
    """Knows the keys in use. Adding is safe while others read: the tuple is replaced, never changed."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def add(self, key: str) -> None:
        """From now on `key` appears nowhere, plain, escaped as in JSON or as in a URL."""
        if len(key) < _SHORTEST or key == NO_KEY:
            return
        spellings = {key, json.dumps(key)[1:-1], key.replace("/", "\\/"), quote(key, safe="")}
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
