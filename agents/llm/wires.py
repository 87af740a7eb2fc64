"""The connections to models' servers, which can all be cut at once from another thread.

Closing a socket does not wake a thread that reads from it, and its number may belong to another file by then. So each
connection keeps a second handle of its own on the socket and shuts the connection down through that: whoever reads or
writes sees its end at once, in the middle of a TLS handshake too. Limit: naming and connecting cannot be cut; they
take no longer than `CONNECT_S`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore
import httpx

CONNECT_S = 10.0
MOST_CONNECTIONS = 256
KEPT_CONNECTIONS = 64
KEPT_S = 5.0


class Wires(httpcore.NetworkBackend):
    """Opens connections for httpcore until they are cut."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._open: set[_Wire] = set()
        self._cut = False
        self._lock = threading.RLock()  # a signal's handler may cut while its own thread opens

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises httpcore.ConnectError, after a cut at once."""
        self._refuse_if_cut()
        limit = CONNECT_S if timeout is None else min(timeout, CONNECT_S)
        stream = self._inner.connect_tcp(host, port, limit, local_address, socket_options)
        wire = _Wire(stream, self)
        with self._lock:
            self._open.add(wire)
        try:
            self._refuse_if_cut()
        except httpcore.ConnectError:
            wire.close()
            raise
        return wire

    def cut(self) -> None:
        """Ends every exchange; no connection opens again."""
        with self._lock:
            self._cut = True
            for wire in list(self._open):
                wire.shut_down()

    def forget(self, wire: _Wire) -> None:
        """It was closed."""
        with self._lock:
            self._open.discard(wire)

    def _refuse_if_cut(self) -> None:
        if self._cut:
            raise httpcore.ConnectError("the run stops")


class _Wire(httpcore.NetworkStream):
    """One connection; `start_tls` goes on with the same."""

    def __init__(self, stream: httpcore.NetworkStream, wires: Wires) -> None:
        self._stream, self._wires = stream, wires
        self._handle: socket.socket = stream.get_extra_info("socket").dup()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._wires.forget(self)
        self._handle.close()
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            self._stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            self.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def shut_down(self) -> None:
        """Both ends see that it is over."""
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)


class WiredTransport(httpx.HTTPTransport):
    """httpx's own, over connections that can be cut. Nothing is taken from the environment."""

    def __init__(self, wires: Wires) -> None:
        """In the place of httpx's, which lets nobody say what opens the connections."""
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_S,
            network_backend=wires,
        )
