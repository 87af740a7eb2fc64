"""The last step before the network: sends only the headers a model's server needs, and reads the answer whole.

An answer has a size and a total time; neither a flood nor a trickle holds a run up. No redirect is followed, no proxy
or certificate is taken from the environment. Limit: the total time is looked at between pieces of the body only.
`cut` ends what is under way from another thread.
"""

from __future__ import annotations

import httpx

from agents.llm.wires import WiredTransport, Wires
from data.model.canonical import sha256_hex
from data.model.protocols import Clock

MAX_BYTES = 8 * 1024 * 1024
_NEEDED = frozenset({"accept", "authorization", "connection", "content-length", "content-type", "host", "user-agent"})
_OPENAI_ONLY = frozenset({"openai-organization", "openai-project"})
_ABOUT_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection"})
CERTIFICATE = "server.certificate_sha256"


class AnswerTooLarge(httpx.DecodingError):
    """The answer is longer than any answer of a model."""


class NetworkTransport(httpx.BaseTransport):
    """HTTP with whole answers. `timeout_s` bounds the reading of one answer in all; httpx bounds each step of it."""

    def __init__(self, clock: Clock, timeout_s: float, inner: httpx.BaseTransport | None = None) -> None:
        self._wires = Wires()
        self._inner = inner or WiredTransport(self._wires)
        self._clock = clock
        self._timeout_s = timeout_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises what httpx raises (httpx.RequestError)."""
        started = self._clock.now()
        response = self._inner.handle_request(_lean(request))
        body = bytearray()
        try:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise AnswerTooLarge(f"the answer is longer than {MAX_BYTES} bytes")
                if (self._clock.now() - started).total_seconds() > self._timeout_s:
                    raise httpx.ReadTimeout("the answer trickles in too slowly")
        finally:
            response.close()
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _ABOUT_THE_WIRE]
        seen = {CERTIFICATE: certificate} if (certificate := _certificate(response)) else {}
        return httpx.Response(response.status_code, headers=headers, content=bytes(body), extensions=seen)

    def cut(self) -> None:
        """Every exchange ends at once with an error of its connection; none begins again."""
        self._wires.cut()

    def close(self) -> None:
        self._inner.close()


def _certificate(response: httpx.Response) -> str | None:
    """SHA-256 of the certificate (DER) that the server of an encrypted connection showed."""
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    shown = None if tls is None else tls.getpeercert(binary_form=True)
    return None if shown is None else sha256_hex(shown)


def _lean(request: httpx.Request) -> httpx.Request:
    """Without what the SDK adds about this machine, or out of the environment for another provider."""
    wanted = _NEEDED | (_OPENAI_ONLY if request.url.host == "api.openai.com" else frozenset())
    headers = [(name, value) for name, value in request.headers.multi_items() if name in wanted]
    return httpx.Request(
        request.method,
        request.url,
        headers=[*headers, ("accept-encoding", "identity")],
        content=request.read(),
        extensions=request.extensions,
    )
