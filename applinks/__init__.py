"""Applinks: application links to OAuth 2.0 services, with tokens that stay fresh."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import CSRFProtect
from werkzeug.routing import BaseConverter

from applinks.oauth.client import prepare_libraries
from applinks.oauth.guard import Guard
from applinks.providers import CATALOGUE, Catalogue
from applinks.services.schedule import PACE, Pace
from applinks.services.storage import open_storage
from applinks.settings import Settings, read_settings
from applinks.web import (
    address,
    api,
    api_keys,
    assets,
    audit,
    authorization,
    checks,
    connections,
    consents,
    dance,
    deadlines,
    gate,
    headers,
    health,
    incoming,
    links,
    next_secret,
    problems,
    requests,
    sign_in,
    words,
)
from applinks.web import settings as settings_pages
from applinks.web.api import lane
from applinks.web.current import browser_session
from applinks.wiring import build

_HERE = Path(__file__).resolve().parent
# Beside the package in a checkout, within it where it is installed.
_ROOT = _HERE if (_HERE / "templates").is_dir() else _HERE.parent


def create_app(
    settings: Settings | None = None,
    *,
    catalogue: Catalogue = CATALOGUE,
    clock: Callable[[], float] = time.time,
    guard: Guard | None = None,
    pace: Pace = PACE,
    may_make: bool = True,
) -> Flask:
    """Build the application: settings, database, services, pages. It starts nothing.

    `guard` takes the place of the one that the settings ask for, `pace` of the refresher's own. What a first
    start makes is made only where this one `may_make` it. Raises StartRefusedError.
    """
    settings = settings or read_settings(os.environ)
    guard = guard or Guard.of(settings)
    storage = open_storage(settings, may_make=may_make)
    *other_keys, signing_key = storage.keys.derive("cookie")
    prepare_libraries(loopback=settings.loopback)

    app = Flask(__name__, template_folder=str(_ROOT / "templates"), static_folder=None)
    app.url_map.merge_slashes = False  # else a redirect would repeat a code and a state
    app.session_interface = _SessionCookie()
    app.config.update(
        SECRET_KEY=signing_key,
        SECRET_KEY_FALLBACKS=other_keys,
        SESSION_COOKIE_NAME=settings.cookie_name,
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # the gate checks, where a form of ours may come
        WTF_CSRF_TIME_LIMIT=None,  # a CSRF token lives as long as its session
        WTF_CSRF_SSL_STRICT=False,  # it compares Referer with Host, which decides nothing here; the gate checks Origin
        MAX_CONTENT_LENGTH=64 * 1024,
        MAX_FORM_MEMORY_SIZE=64 * 1024,
        MAX_FORM_PARTS=100,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension(words.Unindented)
    app.extensions["applinks"] = build(settings, storage, catalogue, clock, guard, pace)

    app.url_map.converters["slug"] = _Slug
    for page in (
        links,
        next_secret,
        connections,
        dance,
        authorization,
        incoming,
        consents,
        sign_in,
        api_keys,
        audit,
        checks,
        deadlines,
        settings_pages,
        health,
        api,
    ):
        app.register_blueprint(page.blueprint)
    address.install(app, settings)
    lane.install(app, app.extensions["applinks"])
    headers.install(app, settings)
    requests.install(app, settings)
    problems.install(app)
    asset = assets.install(app, _ROOT / "static")
    words.install(app, asset)
    gate.install(app, sign_in.sign_in_page, CSRFProtect(app))
    _describe(app, settings, asset)
    return app


class _Slug(BaseConverter):
    regex = "[a-z0-9-]{1,60}"


class _SessionCookie(SecureCookieSessionInterface):
    """Flask's own signed cookie, with SHA-256 in place of its SHA-1."""

    digest_method = staticmethod(hashlib.sha256)

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Where no cookie came, as with every program, there is nothing to verify."""
        if self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)


def _describe(app: Flask, settings: Settings, asset: Callable[[str], str]) -> None:
    """What every template may ask for."""
    app.jinja_env.globals.update(
        asset=asset,
        asked_host=address.asked_host,
        browser_session=browser_session,
        settings=settings,
        health=health.report,
    )
