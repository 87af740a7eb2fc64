"""A time-stamping authority of our own (RFC 3161): its certificates, its stamps, and a server on the loopback address.

The DER is written by hand, so that every field can be made wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rfc3161_client._rust import parse_timestamp_request

NOW = datetime(2025, 4, 1, 10, 0, tzinfo=UTC)
YEAR = timedelta(days=365)
SHA256_OID, ECDSA_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"
SIGNED_DATA, TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return der(0x06, body)


def octets(value: bytes) -> bytes:
    return der(0x04, value)


def algorithm(dotted: str) -> bytes:
    return sequence(oid(dotted))


def attribute(dotted: str, value: bytes) -> bytes:
    return sequence(oid(dotted), der(0x31, value))


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.Certificate:
    is_root = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEAR)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_root:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, SHA256())


@dataclass
class Authority:
    """A root and a stamping key under it. What is set here is what the next stamp says."""

    title: str = "Test Authority"
    at: datetime = NOW
    until: datetime = NOW + YEAR
    status: int = 0
    nonce: int | None = None
    imprint: bytes | None = None

    def __post_init__(self) -> None:
        root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        root_name = f"{self.title} Root"
        self._root = certificate(root_name, root_key, root_name, root_key, NOW + YEAR)
        self._leaf = certificate(self.title, self._key, root_name, root_key, self.until)

    @property
    def root(self) -> bytes:
        return self._root.public_bytes(Encoding.PEM)

    def answer(self, query: bytes) -> bytes:
        """The response to a time stamp query."""
        request = parse_timestamp_request(query)
        nonce = request.nonce if self.nonce is None else self.nonce
        return self.stamp(self.imprint or request.message_imprint.message, nonce)

    def stamp(self, imprint: bytes, nonce: int | None = None) -> bytes:
        if self.status > 1:
            return sequence(sequence(integer(self.status)))
        info = sequence(
            integer(1),
            oid("1.2.3.4.1"),
            sequence(algorithm(SHA256_OID), octets(imprint)),
            integer(7),
            der(0x18, self.at.strftime("%Y%m%d%H%M%SZ").encode()),
            b"" if nonce is None else integer(nonce),
        )
        return sequence(sequence(integer(self.status)), sequence(oid(SIGNED_DATA), der(0xA0, self._signed(info))))

    def _signed(self, info: bytes) -> bytes:
        leaf = self._leaf.public_bytes(Encoding.DER)
        attributes = [
            attribute(CONTENT_TYPE, oid(TST_INFO)),
            attribute(MESSAGE_DIGEST, octets(sha256(info).digest())),
            attribute(SIGNING_CERTIFICATE, sequence(sequence(sequence(octets(sha256(leaf).digest()))))),
        ]
        listed = b"".join(sorted(attributes))
        signature = self._key.sign(der(0x31, listed), ec.ECDSA(SHA256()))
        signer = sequence(
            integer(1),
            sequence(self._leaf.issuer.public_bytes(), integer(self._leaf.serial_number)),
            algorithm(SHA256_OID),
            der(0xA0, listed),
            algorithm(ECDSA_SHA256),
            octets(signature),
        )
        return sequence(
            integer(3),
            der(0x31, algorithm(SHA256_OID)),
            sequence(oid(TST_INFO), der(0xA0, octets(info))),
            der(0xA0, leaf),
            der(0x31, signer),
        )


@dataclass
class Manner:
    """How the server answers: with the authority's stamp, if nothing is set."""

    code: int = 200
    kind: str = "application/timestamp-reply"
    body: bytes | None = None
    location: str | None = None
    hang: threading.Event | None = None
    drip: threading.Event | None = None


@contextmanager
def serving(authority: Authority, manner: Manner | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """The authority on the loopback address: its URL, and the queries it was sent."""
    how, asked = manner or Manner(), list[bytes]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(query)
            if how.hang is not None:
                how.hang.wait(30)
            body = authority.answer(query) if how.body is None else how.body
            self.send_response(how.code)
            self.send_header("Content-Type", how.kind)
            self.send_header("Content-Length", str(len(body)))
            if how.location is not None:
                self.send_header("Location", how.location)
            self.end_headers()
            with suppress(ConnectionError):
                while how.drip is not None and not how.drip.wait(0.05):
                    self.wfile.write(b"\x30")
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsa", asked
        finally:
            for event in (how.hang, how.drip):
                if event is not None:
                    event.set()
            server.shutdown()
            thread.join()
