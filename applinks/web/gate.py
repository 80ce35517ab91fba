"""Who may pass: every page is for signed-in administrators unless its view says otherwise."""

import re
from collections.abc import Callable
from typing import TypeVar

from flask import Flask, abort, current_app, g, redirect, request, session, url_for
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from applinks.errors import AppError
from applinks.settings import is_loopback
from applinks.web.address import asked_host
from applinks.web.current import browser_session, by_htmx, services

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])

# As long as an authorization request may be, which an application makes, and which goes on after signing in.
_LONGEST_PATH = 8300
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def public(view: View) -> View:
    """Mark a view that needs no session."""
    view.public = True  # type: ignore[attr-defined]
    return view


def from_applications(view: View) -> View:
    """Mark a view that programs call, not pages: they authenticate themselves, and have no session and no origin."""
    view.from_applications = True  # type: ignore[attr-defined]
    return view


def unattended(view: View) -> View:
    """Mark a view that htmx asks for by a timer: such a request is no activity and keeps no session alive."""
    view.unattended = True  # type: ignore[attr-defined]
    return view


def only_helps(view: View) -> View:
    """Mark a view that only helps to fill in a form: without a session it does nothing, and the form asks to sign in."""
    view.only_helps = True  # type: ignore[attr-defined]
    return view


def for_programs() -> bool:
    """Whether a program asks, also where there is nothing at the address: its errors are JSON, and it never signs in."""
    view = current_app.view_functions.get(request.endpoint or "")
    return request.path.startswith("/api/") or getattr(view, "from_applications", False)


def local_path(text: str | None) -> str:
    """A path of our own to go on to, `/` for anything else (no open redirector, RFC 9700 §4.11)."""
    return text if text and len(text) <= _LONGEST_PATH and _LOCAL_PATH.fullmatch(text) else "/"


def install(app: Flask, sign_in_page: Callable[[str], ResponseReturnValue], csrf: CSRFProtect) -> None:
    """Stand before every view; `sign_in_page` answers a form whose session has ended, keeping what was typed."""

    @app.before_request
    def pass_or_refuse() -> ResponseReturnValue | None:
        if not request.query_string.isascii():
            abort(400)  # not every server refuses raw bytes, and Werkzeug can't read them
        view = current_app.view_functions.get(request.endpoint or "")
        if request.endpoint == "static" or for_programs():
            return None
        if elsewhere := _canonical_loopback():
            return redirect(elsewhere, 307)
        _load_session(active=not (getattr(view, "unattended", False) and by_htmx()))
        if "\0" in request.path:
            abort(404)  # nothing is stored under such a name
        if view:
            _check_origin()
        if view is None or getattr(view, "public", False) or browser_session():
            if view:
                csrf.protect()
            return None
        back = _way_back()
        if request.method in _SAFE_METHODS and not by_htmx():
            return redirect(url_for("sign_in.sign_in", next=back), 303)
        if getattr(view, "only_helps", False) and by_htmx():
            return "", 401, {"HX-Reswap": "none"}
        if request.method in _SAFE_METHODS:
            return "", 401, {"HX-Redirect": url_for("sign_in.sign_in")}
        return sign_in_page(back)


def _canonical_loopback() -> str | None:
    """Another loopback name shows the same pages, but its cookies and Redirect URLs don't match: go to the right one."""
    settings = services().settings
    host = asked_host()
    other = settings.loopback and host != settings.authority and is_loopback(re.sub(r":[0-9]*$", "", host).strip("[]"))
    return request.url if other and request.method in ("GET", "HEAD") else None


def _load_session(*, active: bool) -> None:
    session_id = session.get("id")
    g.browser_session = services().sign_in.session(session_id, active=active) if session_id else None
    if session_id and g.browser_session is None:
        session.clear()


def _check_origin() -> None:
    """A change must come from a page of ours, whatever `Host` says."""
    if request.method in _SAFE_METHODS:
        return
    base_url, origin = services().settings.base_url, request.headers.get("Origin")
    if origin is not None and origin != base_url:
        raise AppError(
            f"This form was sent from {origin}, but Applinks' address is {base_url}. Open {base_url} instead; if that "
            "isn't the address your browser uses, set APPLINKS_BASE_URL to the one that it does."
        )
    if origin is None and request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise AppError("This form was sent by a page of another site.")


def _way_back() -> str:
    """Where to go on after signing in: this page where it can be opened, else the page that it is a part of."""
    adapter, path = request_ctx.url_adapter, request.path
    if adapter is None or adapter.test(path, "GET"):
        return local_path(request.full_path.rstrip("?"))
    above = path.rpartition("/")[0]
    slug = (request.view_args or {}).get("slug")
    return local_path(above) if adapter.test(above, "GET") else url_for("links.show", slug=slug) if slug else "/"
