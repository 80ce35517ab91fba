"""Applinks behind a real nginx on TLS, with the configuration that is handed out."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from applinks.models import Event, database, open_sqlite
from tests import nginx
from tests.browser.tls import self_signed
from tests.processes import ROOT, Process, free_port
from tests.processes.faults import until

PASSWORD = "CANARY plum lantern orbit"
SECONDS = 30

pytestmark = pytest.mark.skipif(nginx.find() is None and os.environ.get("CI") != "true", reason="nginx isn't here")


class _From(HTTPAdapter):
    """Another machine, as far as addresses of loopback go."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, source_address=("127.0.0.2", 0))


class Proxied:
    """An Applinks, the nginx before it, and a browser on another machine."""

    def __init__(self, folder: Path) -> None:
        self.port, self.plain = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.folder = folder
        settings = {"APPLINKS_BASE_URL": self.url, "APPLINKS_TRUSTED_PROXIES": "127.0.0.1/32"}
        self.process = Process(folder / "data", **settings)
        self.setup = self.process.wait_until_open()
        self.certificate = self_signed(folder)
        (folder / "nginx").mkdir()
        self.nginx = nginx.start(folder / "nginx", self.site())
        until(self.answers, "nginx answers")

    def site(self) -> str:
        """What is handed out, with other names and ports."""
        text = (ROOT / "packaging" / "nginx.conf").read_text()
        for before, after in {
            "listen 80;": f"listen 127.0.0.1:{self.plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "https://applinks.example.com$request_uri": f"{self.url}$request_uri",
            "server_name applinks.example.com;": "server_name localhost;",
            "/etc/ssl/applinks/certificate.pem": str(self.certificate),
            "/etc/ssl/applinks/key.pem": str(self.certificate),
            "http://127.0.0.1:5000": f"http://127.0.0.1:{self.process.port}",
        }.items():
            assert before in text, before
            text = text.replace(before, after)
        return text

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def browser(self) -> requests.Session:
        browser = requests.Session()
        browser.trust_env = False
        browser.verify = str(self.certificate)
        for scheme in ("https://", "http://"):
            browser.mount(scheme, _From())
        return browser

    def stop(self) -> None:
        self.nginx.terminate()
        self.nginx.wait(SECONDS)
        self.process.stop()

    def seen_from(self, what: str) -> list[str]:
        """The addresses in the audit log of what happened."""
        open_sqlite(self.folder / "data" / "applinks.sqlite3")
        try:
            return [event.address for event in Event.select().where(Event.what == what).order_by(Event.id)]
        finally:
            database.close()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    proxied = Proxied(tmp_path_factory.mktemp("proxied"))
    with proxied.browser() as browser:
        page = browser.get(proxied.setup, timeout=SECONDS)
        made = post(browser, proxied.setup, page, username="ada", password=PASSWORD, password_again=PASSWORD)
        assert made.status_code in (200, 303), made.text
    yield proxied
    proxied.stop()


def post(browser: requests.Session, url: str, page: requests.Response, **fields: str) -> requests.Response:
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert token, page.text
    form = {"csrf_token": token[1], **fields}
    headers = {"Origin": re.sub(r"(https?://[^/]+).*", r"\1", url)}
    return browser.post(url, form, headers=headers, timeout=SECONDS, allow_redirects=False)


def sign_in(proxied: Proxied, browser: requests.Session, password: str = PASSWORD) -> requests.Response:
    page = browser.get(f"{proxied.url}/sign-in", timeout=SECONDS)
    return post(browser, f"{proxied.url}/sign-in", page, username="ada", password=password)


def test_it_is_signed_in_at_by_https_alone(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        answer = sign_in(proxied, browser)
        assert answer.status_code == 303
        assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-applinks=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        page = browser.get(f"{proxied.url}/links", timeout=SECONDS)
        assert page.status_code == 200
        form = browser.get(f"{proxied.url}/links/new/outgoing", timeout=SECONDS)
        assert f"{proxied.url}/oauth/callback/" in form.text


def test_it_leads_from_http_to_https(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        plain = browser.get(
            f"http://localhost:{proxied.plain}/links?q=x",
            headers={"Host": "evil.example"},
            allow_redirects=False,
            timeout=SECONDS,
        )
    assert plain.status_code == 301
    assert plain.headers["Location"] == f"{proxied.url}/links?q=x"


def test_it_knows_who_asks_and_believes_no_visitor(proxied: Proxied) -> None:
    """A187: nginx says it in place of the visitor; who isn't a proxy is never believed."""
    for to in (proxied.url, f"http://127.0.0.1:{proxied.process.port}"):
        with proxied.browser() as browser:
            browser.headers["X-Forwarded-For"] = "203.0.113.9"
            page = browser.get(f"{to}/sign-in", timeout=SECONDS)
            token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
            cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
            assert token
            form = {"csrf_token": token[1], "username": "nobody", "password": "CANARY wrong"}
            headers = {"Origin": proxied.url, "Cookie": cookies}
            refused = browser.post(f"{to}/sign-in", form, headers=headers, timeout=SECONDS, allow_redirects=False)
            assert refused.status_code in (401, 422), refused.text
    until(lambda: proxied.seen_from("sign-in failed"), "written down")
    assert set(proxied.seen_from("sign-in failed")) == {"127.0.0.2"}


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-Prefix"])
def test_it_makes_no_address_of_what_a_visitor_says(proxied: Proxied, name: str) -> None:
    """A186"""
    value = {"X-Forwarded-Proto": "http", "Forwarded": "host=evil.example;proto=http"}.get(name, "evil.example")
    with proxied.browser() as browser:
        answer = browser.get(f"{proxied.url}/links", headers={name: value}, allow_redirects=False, timeout=SECONDS)
    assert "evil" not in answer.text + str(answer.headers)
    assert answer.status_code in (303, 401)


def test_it_takes_the_name_of_a_request_from_nginx(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        given = browser.get(f"{proxied.url}/healthz", headers={"X-Request-Id": "mine"}, timeout=SECONDS)
    assert re.fullmatch("[0-9a-f]{32}", given.headers["X-Request-Id"])


def test_it_refuses_a_form_of_another_origin(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        page = browser.get(f"{proxied.url}/sign-in", timeout=SECONDS)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token
        form = {"csrf_token": token[1], "username": "ada", "password": PASSWORD}
        refused = browser.post(
            f"{proxied.url}/sign-in", form, headers={"Origin": "https://evil.example"}, timeout=SECONDS
        )
    assert refused.status_code == 400


def test_it_refuses_a_body_that_is_too_large(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        large = browser.post(f"{proxied.url}/sign-in", {"x": "x" * 100_000}, timeout=SECONDS)
        huge = browser.post(f"{proxied.url}/sign-in", {"x": "x" * 3_000_000}, timeout=SECONDS)
    assert large.status_code in (400, 413)
    assert huge.status_code == 413


def test_it_says_there_that_it_is_well(proxied: Proxied) -> None:
    with proxied.browser() as browser:
        assert browser.get(f"{proxied.url}/healthz", timeout=SECONDS).status_code == 200
