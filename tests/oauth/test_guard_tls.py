"""TLS from a server that means harm: OpenSSL reads records that hold nothing by itself, and time must pass for it, too."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from applinks.oauth.guard import AnswerRefusedError, CallFailedError, Guard
from tests.authority import Authority

Serve = Callable[[Callable[[socket.socket], None]], str]

# A session ticket (RFC 8446 §4.6.1) that is good for nothing, as often as a record holds it.
TICKET = b"\x04\x00\x00\x0f" + struct.pack(">II", 100, 0) + b"\x01\x00" + b"\x00\x01T" + b"\x00\x00"
TICKETS = TICKET * (16_000 // len(TICKET)) + b"\x16"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one connection; returns the URL of the server."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(handle: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)  # closing it would wake nobody
        listeners.append(listener)

        def run() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                handle(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"https://localhost:{listener.getsockname()[1]}/token"

    yield start
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def post(url: str, authority: Authority, seconds: float = 1) -> requests.Response:
    guard = Guard(loopback=True, resolve=lambda host: ["127.0.0.1"], ca_file=authority.ca_file, seconds=seconds)
    with requests.Session() as session:
        guard.protect(session)
        return session.post(url, data={"code": "CANARY"})


def expanded(secret: bytes, label: bytes, length: int, algorithm: hashes.HashAlgorithm) -> bytes:
    """HKDF-Expand-Label without a context (RFC 8446 §7.1)."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\x00"
    return HKDFExpand(algorithm, length, info).derive(secret)


def flood(connection: socket.socket, context: ssl.SSLContext, key_log: Path) -> None:
    """Shake hands, take the request, then send tickets for as long as anybody listens."""
    context.num_tickets = 0
    context.keylog_filename = str(key_log)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    for step in (tls.do_handshake, lambda: tls.read(65_536)):
        while True:
            try:
                step()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))
        connection.sendall(outgoing.read())
    traffic = next(line for line in key_log.read_text().splitlines() if line.startswith("SERVER_TRAFFIC_SECRET_0"))
    secret = bytes.fromhex(traffic.split()[2])
    algorithm = hashes.SHA384() if len(secret) == 48 else hashes.SHA256()
    key = expanded(secret, b"key", 32 if len(secret) == 48 else 16, algorithm)
    nonce = int.from_bytes(expanded(secret, b"iv", 12, algorithm), "big")
    head = b"\x17\x03\x03" + struct.pack(">H", len(TICKETS) + 16)
    number, until = 0, time.monotonic() + 6
    while time.monotonic() < until:
        connection.sendall(head + AESGCM(key).encrypt((nonce ^ number).to_bytes(12, "big"), TICKETS, head))
        number += 1


def test_it_ends_a_flood_of_session_tickets(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    """A051, F14"""
    context = authority.server("good")
    url = serve(lambda connection: flood(connection, context, tmp_path / "keys"))
    began = time.monotonic()
    with pytest.raises(AnswerRefusedError, match="larger"):
        post(url, authority)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("record", [b"\x16\x03\x03\x00\x04\x00\x00\x00\x00", b"\x15\x03\x03\x00\x02\x01\x5a"])
def test_it_ends_a_handshake_that_never_begins(serve: Serve, authority: Authority, record: bytes) -> None:
    """Hello requests, and warnings, without end."""

    def handle(connection: socket.socket) -> None:
        until = time.monotonic() + 6
        while time.monotonic() < until:
            connection.sendall(record * 1000)

    began = time.monotonic()
    with pytest.raises((AnswerRefusedError, CallFailedError)):
        post(serve(handle), authority)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("orderly", [True, False])
def test_it_takes_an_end_without_notice_for_a_lost_connection(
    serve: Serve, authority: Authority, orderly: bool
) -> None:
    """RFC 8446 §6.1: else whoever cuts the line decides where an answer without a length ends."""
    context = authority.server("good")

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65_536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf")
            if orderly:
                with contextlib.suppress(OSError):
                    tls.unwrap()

    if orderly:
        assert post(serve(handle), authority).text == "half"
        return
    with pytest.raises(CallFailedError) as failed:
        post(serve(handle), authority)
    assert failed.value.ambiguous


@pytest.mark.parametrize("kilobytes", [128, 240])
def test_it_reads_no_endless_head(serve: Serve, authority: Authority, kilobytes: int) -> None:
    """A051"""
    context = authority.server("good")

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65_536)
            lines = "".join(f"X-{number}: {'x' * 3000}\r\n" for number in range(kilobytes // 3))
            tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n".encode())
            tls.recv(1)

    with pytest.raises(AnswerRefusedError, match="larger"):
        post(serve(handle), authority, seconds=5)


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"])
def test_it_takes_a_head_that_a_notice_cuts_short_for_a_lost_connection(
    serve: Serve, authority: Authority, head: str
) -> None:
    """RFC 9112 §8"""
    context = authority.server("good")

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65_536)
            tls.sendall(head.encode())
            with contextlib.suppress(OSError):
                tls.unwrap()

    with pytest.raises(CallFailedError) as failed:
        post(serve(handle), authority)
    assert failed.value.ambiguous
