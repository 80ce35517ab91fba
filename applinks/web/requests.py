"""A name for each request: in its answer, on the page of an error, and in every line of the log that is about it."""

import re
from contextvars import ContextVar
from typing import Any

from flask import Flask

from applinks.crypto import new_id
from applinks.settings import Settings
from applinks.web.address import is_proxy

_LENGTH = 16
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str] = ContextVar("request", default="")


def install(app: Flask, settings: Settings) -> None:
    """A name that the operator's own proxy has given is kept."""
    inner = app.wsgi_app
    proxies = settings.trusted_proxies

    def named(environ: dict[str, Any], start_response: Any) -> Any:
        given = environ.get("HTTP_X_REQUEST_ID", "") if proxies and is_proxy(environ, proxies) else ""
        name = given if _GIVEN.fullmatch(given) else new_id()[:_LENGTH]

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, ("X-Request-Id", name)], *more)

        before = _current.set(name)
        try:
            return inner(environ, start)
        finally:
            _current.reset(before)

    app.wsgi_app = named  # type: ignore[method-assign]


def request_name() -> str:
    """Of the request that this thread answers, empty outside of one."""
    return _current.get()
