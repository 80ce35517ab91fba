"""A provider on loopback that answers as a test tells it to, and remembers what it was asked."""

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import parse_qs, urlencode

from werkzeug.http import http_date
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from applinks.models import database

Answer = Callable[[Request], Response]


@dataclass
class Asked:
    """One request that the provider was sent."""

    method: str
    path: str
    query: str
    form: dict[str, str]
    headers: dict[str, str]


@dataclass
class StandIn:
    """By default a good provider that rotates refresh tokens: `answers` come first, one a token request.

    `documents` are what stands at other paths, or in place of what usually does. `clock` is what it goes by, where that
    isn't the machine's.
    """

    life: int | None = 3600
    answers: deque[Answer] = field(default_factory=deque)
    documents: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    clock: Callable[[], float] | None = None
    userinfo: dict[str, object] = field(default_factory=lambda: {"sub": "1", "email": "ada@example.com"})
    refresh_token: str = ""
    authorization_query: dict[str, list[str]] = field(default_factory=dict)
    _numbers: count = field(default_factory=lambda: count(1))

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        options = {"threaded": True, "request_handler": QuietHandler, "ssl_context": tls}
        self._server = make_server("127.0.0.1", 0, self, **options)  # type: ignore[arg-type]
        where = (
            f"https://localhost:{self._server.server_port}" if tls else f"http://127.0.0.1:{self._server.server_port}"
        )
        self.base_url = where
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def token_requests(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == "/token"]

    def answer(self, *answers: Answer) -> None:
        """Answer the next token requests with these."""
        self.answers.extend(answers)

    def consent(self, authorization_url: str, **instead: str) -> dict[str, str]:
        """What the provider's redirect would bring to the callback after *Allow*."""
        self.authorization_query = query = parse_qs(authorization_url.partition("?")[2])
        return {"code": f"CANARY-code-{next(self._numbers)}", "state": query["state"][0]} | instead

    def publish(self, path: str = "", issuer: str | None = None, **metadata: object) -> str:
        """Publish metadata as RFC 8414 has it; returns the issuer."""
        asked = f"{self.base_url}{path}"
        document = {
            "issuer": asked if issuer is None else issuer,
            "authorization_endpoint": f"{self.base_url}/authorize",
            "token_endpoint": f"{self.base_url}/token",
        } | metadata
        self.documents[f"/.well-known/oauth-authorization-server{path.rstrip('/')}"] = json_answer(document)
        return asked

    def grant(self) -> dict[str, object]:
        number = next(self._numbers)
        self.refresh_token = f"CANARY-refresh-{number}"
        tokens: dict[str, object] = {
            "access_token": f"CANARY-access-{number}",
            "token_type": "Bearer",
            "refresh_token": self.refresh_token,
        }
        return tokens if self.life is None else tokens | {"expires_in": self.life}

    def __call__(self, environ, start_response):  # type: ignore[no-untyped-def]
        request = Request(environ)
        self.asked.append(
            Asked(
                request.method,
                request.path,
                request.query_string.decode(),
                request.get_json() if request.is_json else request.form.to_dict(),
                dict(request.headers),
            )
        )
        try:
            return self._respond(request)(environ, start_response)
        finally:
            if database.obj:
                database.close()  # what a test's answer looked up in this thread

    def _respond(self, request: Request) -> Response:
        if request.path in self.documents:
            return self.documents[request.path](request)
        if request.path == "/userinfo":
            return json_answer(self.userinfo)(request)
        if self.answers:
            return self.answers.popleft()(request)
        if (
            request.form.get("grant_type") == "refresh_token"
            and request.form.get("refresh_token") != self.refresh_token
        ):
            return json_answer({"error": "invalid_grant"}, 400)(request)
        return json_answer(self.grant())(request)


def json_answer(body: object, status: int = 200, **headers: str) -> Answer:
    return raw_answer(json.dumps(body), status, **headers)


def raw_answer(body: str | bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Answer:
    return lambda request: Response(
        body,
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        content_type=content_type,
    )


def callback_path(link_id: str, parameters: dict[str, str]) -> str:
    return f"/oauth/callback/{link_id}?{urlencode(parameters)}"


class QuietHandler(WSGIRequestHandler):
    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time that its application goes by."""
        clock = getattr(self.server.app, "clock", None)
        return http_date(clock() if clock else timestamp)

    def log(self, type: str, message: str, *args: object) -> None:
        """A request line may hold a code."""
