"""The one address of this application: `APPLINKS_BASE_URL` decides every URL, whatever `Host` says."""

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request

from applinks.settings import Settings

_ASKED_HOST = "applinks.asked_host"


def install(app: Flask, settings: Settings) -> None:
    """Show the base URL to everything inside, so that no redirect or URL can be made of what a visitor sent."""
    inner = app.wsgi_app
    scheme = urlsplit(settings.base_url).scheme

    def with_own_address(environ: dict[str, Any], start_response: Any) -> Any:
        asked = environ.get("HTTP_HOST", "")
        own = {"HTTP_HOST": settings.authority, "wsgi.url_scheme": scheme, _ASKED_HOST: asked}
        return inner({**environ, **own}, start_response)

    app.wsgi_app = with_own_address  # type: ignore[method-assign]


def asked_host() -> str:
    """The host and port in the browser's address bar, as it says: good for advice, never for a decision."""
    return str(request.environ.get(_ASKED_HOST, ""))[:255]
