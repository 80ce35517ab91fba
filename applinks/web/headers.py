"""The headers of every answer, errors and static files included.

They are added outside of Flask: what is made anywhere inside has them, and it costs next to nothing.
"""

from typing import Any

from flask import Flask

from applinks.settings import Settings

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
_ALWAYS = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
# With no-referrer, browsers send `Origin: null` on a form of our own, and it would be refused.
_REFERRER = ("Referrer-Policy", "same-origin")
_PRIVATE = [("Cache-Control", "no-store"), ("Vary", "Cookie")]


def install(app: Flask, settings: Settings) -> None:
    """Harden every answer; one that says itself how long it may be kept is nobody's own."""
    inner = app.wsgi_app
    always = _ALWAYS + ([("Strict-Transport-Security", "max-age=63072000")] if settings.https else [])

    def hardened(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            names = {name.lower() for name, _ in headers}
            added = always if "referrer-policy" in names else [*always, _REFERRER]
            if "cache-control" not in names:
                headers = [(name, value) for name, value in headers if (name, value) != _PRIVATE[1]]
                added = [*added, *_PRIVATE]
            return start_response(status, [*headers, *added], *more)

        return inner(environ, start)

    app.wsgi_app = hardened  # type: ignore[method-assign]
