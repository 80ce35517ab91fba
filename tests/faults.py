"""A provider that does what no provider should: it speaks raw bytes, step by step, for every connection it takes.

    {"send": text}                 text, a character a byte; bytes with {"send_hex": digits}
    {"drip": text, "every": s}     a byte every s seconds
    {"repeat": text, "times": n}   text n times over, for ever with -1
    {"wait": true}                 go on when the test says so with `let_go()`
    {"hang": true}                 say nothing more until the peer has gone, but read what comes
    {"reset": true}                end the connection with a reset; the script's end closes it in order
    {"read": n}                    wait for at most n bytes

The request is read first, unless the first step is {"skip_request": true}. With {"skip_accept": how} no connection is
taken: "listen" leaves it to the system, which keeps what comes; with "full" it takes none; "refuse" is a closed port.
"""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

Step = dict[str, Any]

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_BLOCK = 65_536


class FaultyProvider:
    """Listens on loopback. `connections` counts those taken, `requests` holds the bytes of each request that came."""

    def __init__(self, script: Sequence[Step], tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.connections = 0
        self.requests: list[bytes] = []
        self._tls = tls
        self._stopping = threading.Event()
        self._go = threading.Semaphore(0)
        self.open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        instead = self.script[0].get("skip_accept") if self.script else None
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        if instead != "refuse":
            self._listener.listen(0 if instead == "full" else 128)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        if instead == "full":
            self.open.add(socket.create_connection(("127.0.0.1", self.port)))
        if not instead:
            self.run(self._accept)

    def stop(self, *error: object) -> None:
        """End every connection and every thread."""
        self._stopping.set()
        self._go.release(1000)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        for end in list(self.open):
            with suppress(OSError):
                socket.socket.shutdown(end, socket.SHUT_RDWR)  # of TCP alone: an orderly end of TLS would wait
        for thread in self._threads:
            thread.join(1)
            assert not thread.is_alive(), "a thread of the faulty provider hangs"
        for end in (self._listener, *self.open):
            end.close()

    def __enter__(self) -> "FaultyProvider":
        self.start()
        return self

    __exit__ = stop

    def let_go(self) -> None:
        """Let one connection that waits go on."""
        self._go.release()

    def run(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self.connections += 1
                self.run(self._serve, end)

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError), self._secured(plain) as end:
            self.open.add(end)
            if self._stopping.is_set():
                return
            if isinstance(end, ssl.SSLSocket):
                end.do_handshake()
            if not (self.script and "skip_request" in self.script[0]):
                self.requests.append(_request(end))
            for step in self.script:
                self.do(end, step)

    def _secured(self, plain: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(plain, True, do_handshake_on_connect=False) if self._tls else plain

    def do(self, end: socket.socket, step: Step) -> None:
        match step:
            case {"send": text}:
                end.sendall(text.encode("latin-1"))
            case {"send_hex": digits}:
                end.sendall(bytes.fromhex(digits))
            case {"drip": text, "every": seconds}:
                for character in text:
                    end.sendall(character.encode("latin-1"))
                    self._stopping.wait(seconds)
            case {"repeat": text, "times": times}:
                once = text.encode("latin-1")
                most = _BLOCK // len(once) + 1
                while times:
                    count = min(times, most) if times > 0 else most
                    end.sendall(once * count)
                    times -= count
            case {"wait": True}:
                self._go.acquire()
            case {"hang": True}:
                while content := end.recv(_BLOCK):
                    self.requests.append(content)
            case {"reset": True}:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionAbortedError
            case {"read": count}:
                self.requests.append(end.recv(count))


def _request(end: socket.socket) -> bytes:
    """A request with its body, or what came of it."""
    received, missing = b"", 1
    while missing > 0 and (content := end.recv(_BLOCK)):
        received += content
        head, empty_line, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        missing = (int(length[1]) if length else 0) - len(body) if empty_line else 1
    return received
