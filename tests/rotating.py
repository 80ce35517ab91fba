"""A strict provider for many clients at once, and for clients that are killed: it rotates, and keeps accounts.

A grant is a family of tokens. Each refresh retires the refresh token that was sent and adds a new one; a retired one that
comes back after the grace is reuse. What `requests` says of a request is what became of its grant, answered or not.
"""

import json
import secrets
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import count
from socketserver import ThreadingTCPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, parse_qsl

Outcome = Literal["granted", "grace", "reuse", "unknown", "revoked", "failed"]
Point = Literal["received", "rotated", "half", "answered"]

READ_SECONDS = 30
_RESET = struct.pack("ii", 1, 0)  # linger for no time: closing resets


@dataclass(frozen=True)
class TokenRequest:
    """`at` is monotonic, `wall` the provider's own clock; "failed" means that a fault left the grant as it was."""

    at: float
    wall: float
    grant: str | None
    refresh_token: str
    outcome: Outcome


@dataclass(frozen=True)
class Fault:
    """What one token request meets instead of a good answer; `rotates` is true where the grant moves on all the same."""

    kind: Literal["answer", "reset", "half", "hang"]
    rotates: bool = False
    answer: bytes = b""

    @classmethod
    def status(cls, status: int, retry_after: int | str | None = None) -> Self:
        return cls("answer", answer=_answer(status, b"", {} if retry_after is None else {"Retry-After": retry_after}))

    @classmethod
    def json(cls, status: int, body: object) -> Self:
        return cls("answer", answer=_json(status, body))

    @classmethod
    def garbage(cls) -> Self:
        """The page of somebody in between: 200, and no JSON."""
        return cls("answer", answer=_answer(200, b"<html>Sign in to the network", {"Content-Type": "text/html"}))

    @classmethod
    def reset_before(cls) -> Self:
        return cls("reset")

    @classmethod
    def reset_after(cls) -> Self:
        return cls("reset", rotates=True)

    @classmethod
    def half(cls) -> Self:
        return cls("half", rotates=True)

    @classmethod
    def hang(cls) -> Self:
        return cls("hang", rotates=True)


@dataclass
class _Family:
    name: str
    live: bool = True
    refresh_tokens: dict[str, float | None] = field(default_factory=dict)  # when each was retired
    access_tokens: dict[str, float] = field(default_factory=dict)  # when each expires


class RotatingProvider:
    """`grace`, `life` and expiry are judged by `clock`; `latency` is waited between the rotation and the answer."""

    def __init__(
        self,
        grace: float = 0.0,
        life: int = 3600,
        latency: float = 0.0,
        strict: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.grace, self.life, self.latency, self.strict, self.clock = grace, life, latency, strict, clock
        self.away = False
        self.requests: list[TokenRequest] = []
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._run, self._numbers = secrets.token_hex(4), count(1)  # no token is ever given twice, in any process
        self._families: dict[str, _Family] = {}
        self._by_refresh_token: dict[str, _Family] = {}
        self._by_access_token: dict[str, _Family] = {}
        self._codes: dict[str, str] = {}
        self._faults: deque[Fault] = deque()
        self._point: Point | None = None
        self._go, self._released, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self._in_flight: dict[int, str | None] = {}
        self._peaks: Counter[str | None] = Counter()
        self._peak = 0

    def start(self) -> None:
        self._server = _Server(self)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every connection and every thread, paused and hung ones too."""
        self._stopped.set()
        self.go()
        self.release()
        self._server.shutdown()
        for connection in list(self._server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    # Grants

    def grant(self, name: str) -> tuple[str, str]:
        """The access token and the refresh token of a new grant; each grant has a name of its own."""
        with self._lock:
            return self._begin(name)

    def consent(self, authorization_url: str, **instead: str) -> dict[str, str]:
        """What the redirect would bring to the callback after *Allow*; the exchange makes the grant `consent-<n>`."""
        query = parse_qs(authorization_url.partition("?")[2])
        with self._lock:
            number = next(self._numbers)
            code = f"CANARY-code-{self._run}-{number}"
            self._codes[code] = f"consent-{number}"
        return {"code": code, "state": query["state"][0]} | instead

    def revoke(self, name: str) -> None:
        """As when the user withdraws the consent."""
        self._families[name].live = False

    def is_live(self, name: str) -> bool:
        return self._families[name].live

    def is_current(self, name: str, refresh_token: str) -> bool:
        """Not retired; a family that was given a token within the grace has more than one such."""
        family = self._families[name]
        return family.live and family.refresh_tokens.get(refresh_token, 0.0) is None

    def is_usable(self, name: str, refresh_token: str) -> bool:
        """Current, or still in its grace."""
        with self._lock:
            family = self._by_refresh_token.get(refresh_token)
            return family is self._families[name] and self._judge(family, refresh_token) in ("granted", "grace")

    def issued_access_tokens(self, name: str) -> set[str]:
        with self._lock:
            return set(self._families[name].access_tokens)

    def access_token_is_valid(self, token: str) -> bool:
        return self._owner(token) is not None

    # What was asked

    def requests_per_second(self) -> int:
        """The most token requests that arrived within any one second."""
        window: deque[float] = deque()
        most = 0
        for at in sorted(request.at for request in list(self.requests)):
            window.append(at)
            while window[0] <= at - 1:
                window.popleft()
            most = max(most, len(window))
        return most

    def in_flight_peak(self, name: str | None = None) -> int:
        """The most token requests under way at once, of one grant or of all; a client that has gone doesn't count."""
        return self._peak if name is None else self._peaks[name]

    # Faults and pauses

    def fail_next(self, *faults: Fault) -> None:
        """One a token request, in order, taken as it arrives; none is taken while the provider is away."""
        self._faults.extend(faults)

    def release(self) -> None:
        """Answer the requests that hang."""
        with self._lock:
            hung, self._released = self._released, threading.Event()
        hung.set()

    def pause_at(self, point: Point) -> None:
        """Hold the next token request that comes to `point` until `go`, and set `reached` then.

        `received`: nothing is rotated yet. `rotated`: nothing is sent. `half`: half the answer is. `answered`: all is,
        and the connection is open. A fault that the request has taken comes after the pause, or in its middle for `half`.
        """
        self.go()
        with self._lock:
            self.reached.clear()
            self._point, self._go = point, threading.Event()

    def go(self) -> None:
        self._go.set()

    # Within a request

    def serve_token(self, connection: socket.socket, form: dict[str, str]) -> None:
        at, wall = time.monotonic(), self.clock()
        fault, released = self._arrive(connection, form), self._released
        try:
            self._reach("received")
            answer = self._decide(at, wall, form, fault)
            self._wait(self._stopped, self.latency)
            self._reach("rotated")
            if fault and fault.kind == "hang":
                self._wait(released)
            if fault and fault.kind == "reset":
                return self._end(connection, reset=True)
            middle = (answer.index(b"\r\n\r\n") + 4 + len(answer)) // 2
            connection.sendall(answer[:middle])
            self._reach("half")
            if fault and fault.kind == "half":
                return self._end(connection, reset=True)
            # Before the last bytes: with them the client is free to ask again.
            self._end(connection)
            connection.sendall(answer[middle:])
            return self._reach("answered")
        finally:
            self._end(connection)

    def userinfo(self, authorization: str) -> bytes:
        name = self._owner(authorization.removeprefix("Bearer "))
        if name is None:
            return _json(401, {"error": "invalid_token"})
        return _json(200, {"sub": name, "name": "Somebody"})  # each grant is another of the same account

    def _arrive(self, connection: socket.socket, form: dict[str, str]) -> Fault | None:
        with self._lock:
            gone = select.poll()
            for descriptor in self._in_flight:
                gone.register(descriptor, select.POLLIN)  # a request was read whole: more can only be its end
            for descriptor, _ in gone.poll(0):
                del self._in_flight[descriptor]
            name = self._name(form)
            self._in_flight[connection.fileno()] = name
            self._peak = max(self._peak, len(self._in_flight))
            self._peaks[name] = max(self._peaks[name], list(self._in_flight.values()).count(name))
            if self.away:
                return Fault.status(503)
            return self._faults.popleft() if self._faults else None

    def _end(self, connection: socket.socket, reset: bool = False) -> None:
        """Count the request as under way no more."""
        with self._lock:
            self._in_flight.pop(connection.fileno(), None)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _reach(self, point: Point) -> None:
        with self._lock:
            if self._point != point:
                return
            self._point, go = None, self._go
        self.reached.set()
        self._wait(go)

    def _wait(self, event: threading.Event, seconds: float | None = None) -> None:
        event.wait(seconds)
        if self._stopped.is_set():
            raise ConnectionAbortedError

    def _decide(self, at: float, wall: float, form: dict[str, str], fault: Fault | None) -> bytes:
        token = form.get("refresh_token", "")
        with self._lock:
            name, answer = self._name(form), fault.answer if fault else b""
            outcome: Outcome = "failed"
            if fault is None or fault.rotates:
                outcome, answer = self._grant(form, token)
            self.requests.append(TokenRequest(at, wall, name, token, outcome))
        return answer

    def _grant(self, form: dict[str, str], token: str) -> tuple[Outcome, bytes]:
        if form.get("grant_type") == "authorization_code":
            name = self._codes.pop(form.get("code", ""), None)
            return ("granted", self._tokens(*self._begin(name))) if name else ("unknown", _refusal("invalid_grant"))
        if form.get("grant_type") != "refresh_token":
            return "unknown", _refusal("unsupported_grant_type")
        family = self._by_refresh_token.get(token)
        outcome = self._judge(family, token)
        if family and outcome in ("granted", "grace"):
            if outcome == "granted":
                family.refresh_tokens[token] = self.clock()
            return outcome, self._tokens(*self._issue(family))
        if family and outcome == "reuse" and self.strict:
            family.live = False
        return outcome, _refusal("invalid_grant")

    def _judge(self, family: _Family | None, token: str) -> Outcome:
        if family is None:
            return "unknown"
        if not family.live:
            return "revoked"
        retired_at = family.refresh_tokens[token]
        if retired_at is None:
            return "granted"
        return "grace" if self.clock() - retired_at < self.grace else "reuse"

    def _begin(self, name: str) -> tuple[str, str]:
        assert name not in self._families, f"{name} was granted before"
        self._families[name] = _Family(name)
        return self._issue(self._families[name])

    def _issue(self, family: _Family) -> tuple[str, str]:
        end = f"{family.name}-{self._run}-{next(self._numbers)}"
        access_token, refresh_token = f"CANARY-access-{end}", f"CANARY-refresh-{end}"
        family.access_tokens[access_token] = self.clock() + self.life
        family.refresh_tokens[refresh_token] = None
        self._by_access_token[access_token] = self._by_refresh_token[refresh_token] = family
        return access_token, refresh_token

    def _tokens(self, access_token: str, refresh_token: str) -> bytes:
        tokens = {"access_token": access_token, "refresh_token": refresh_token}
        return _json(200, tokens | {"token_type": "Bearer", "expires_in": self.life})

    def _name(self, form: dict[str, str]) -> str | None:
        family = self._by_refresh_token.get(form.get("refresh_token", ""))
        return family.name if family else self._codes.get(form.get("code", ""))

    def _owner(self, access_token: str) -> str | None:
        """The name of the live grant that this access token is a valid one of."""
        family = self._by_access_token.get(access_token)
        valid = family and family.live and self.clock() < family.access_tokens[access_token]
        return family.name if family and valid else None


class _Server(ThreadingTCPServer):
    request_queue_size = 512

    def __init__(self, provider: RotatingProvider) -> None:
        self.provider = provider
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close alone: the usual shutdown would end a connection in order that is to be reset."""
        self.open.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that has gone is what these tests are about
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = READ_SECONDS
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) == length:  # else the client went while it was asking
            self._serve(dict(parse_qsl(body.decode())))

    def do_GET(self) -> None:
        self._serve({})

    def _serve(self, form: dict[str, str]) -> None:
        self.close_connection = True
        provider = self.server.provider
        if (self.command, self.path) == ("POST", "/token"):
            provider.serve_token(self.connection, form)
        elif provider.away:
            self.connection.sendall(_answer(503, b"", {}))
        elif self.path == "/userinfo":
            self.connection.sendall(provider.userinfo(self.headers.get("Authorization", "")))
        else:
            self.connection.sendall(_answer(404, b"", {}))

    def log_message(self, *anything: object) -> None:
        """No access log."""


def _refusal(code: str) -> bytes:
    return _json(400, {"error": code})


def _json(status: int, body: object) -> bytes:
    return _answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _answer(status: int, body: bytes, headers: dict[str, object]) -> bytes:
    headers |= {"Content-Length": len(body), "Cache-Control": "no-store", "Connection": "close"}
    lines = [f"HTTP/1.1 {status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
