"""A load generator: a few kept connections in one thread, requests prepared beforehand, every answer looked at."""

import random
import selectors
import socket
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Load:
    """What came back: how many a second, with which statuses, after how many seconds each."""

    a_second: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """In microseconds."""
        return sorted(self.seconds)[int(len(self.seconds) * share)] * 1e6


@dataclass
class _Open:
    socket: socket.socket
    sent_at: float
    received: bytes = b""


def get(port: int, path: str, **headers: str) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {text}" for name, text in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def load(port: int, requests: list[bytes], *, clients: int, seconds: float, seed: int = 1) -> Load:
    """Send requests, taken at random, over so many kept connections for so many seconds."""
    choose = random.Random(seed)
    selector, found = selectors.DefaultSelector(), Load()
    began = time.perf_counter()
    for _ in range(clients):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, _Open(connection, time.perf_counter()))
        connection.sendall(choose.choice(requests))
    while (now := time.perf_counter()) < began + seconds:
        for key, _ in selector.select(1):
            state: _Open = key.data
            state.received += state.socket.recv(262_144)
            if not _is_whole(state.received):
                continue
            now = time.perf_counter()
            found.statuses[int(state.received[9:12])] += 1
            found.seconds.append(now - state.sent_at)
            state.received, state.sent_at = b"", now
            state.socket.sendall(choose.choice(requests))
    found.a_second = len(found.seconds) / (now - began)
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return found


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    lower = head.lower()
    start = lower.find(b"content-length:")
    if start < 0:
        return body.endswith(b"0\r\n\r\n")  # in chunks
    return len(body) >= int(lower[start + 15 :].split(b"\r\n")[0])
