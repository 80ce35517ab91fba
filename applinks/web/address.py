"""The one address of this application: `APPLINKS_BASE_URL` decides every URL, whatever `Host` says."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request

from applinks.settings import Network, Settings

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


def visitor(environ: Mapping[str, Any], proxies: tuple[Network, ...]) -> str:
    """Where a request comes from: forwarded headers count only from the operator's own proxies."""
    address = str(environ.get("REMOTE_ADDR", ""))
    if not proxies:
        return address
    hops = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    for hop in reversed([hop for hop in hops if hop]):
        if not _is_one_of(address, proxies):
            break
        address = hop
    return address


def is_proxy(environ: Mapping[str, Any], proxies: tuple[Network, ...]) -> bool:
    """Whether a request comes straight from one of the operator's own proxies."""
    return _is_one_of(str(environ.get("REMOTE_ADDR", "")), proxies)


def _is_one_of(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False
