"""The headers of every answer, whatever it is, and the one cookie."""

import gzip
import re
from collections.abc import Callable
from http.cookies import SimpleCookie

import pytest
from werkzeug.test import TestResponse

from tests.visitor import Visitor

PAGES = ["/links", "/", "/links/new", "/settings", "/nothing", "/static/app.css", "/static/nothing", "/oauth/userinfo"]


def check(response: TestResponse) -> None:
    """A127, A130, A131"""
    headers = response.headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] in ("same-origin", "no-referrer", "strict-origin")
    assert not any(name.startswith("Access-Control") for name, _ in headers)
    assert "charset=utf-8" in headers["Content-Type"] or "json" in headers["Content-Type"]


@pytest.mark.parametrize("path", PAGES)
def test_it_hardens_every_answer(ada: Visitor, stranger: Visitor, path: str) -> None:
    for visitor in (ada, stranger):
        response = visitor.get(path)
        check(response)
        assert "Strict-Transport-Security" not in response.headers
        if "static/app" not in path:
            assert response.headers["Cache-Control"] == "no-store"
            assert "Cookie" in response.headers["Vary"]


def test_it_hardens_answers_to_forms_too(ada: Visitor) -> None:
    path = "/links/new/outgoing/" + "0" * 32
    for response in (ada.post(path, {"name": ""}), ada.post(path, csrf=False), ada.post(path, {"name": "x" * 70_000})):
        check(response)


def test_it_hardens_whatever_the_status(ada: Visitor, stranger: Visitor, link_id: str) -> None:
    answers = [
        ada.client.put("/links", base_url=ada.base_url),
        ada.client.open("/links", method="OPTIONS", base_url=ada.base_url),
        ada.get(f"/oauth/callback/{link_id}?state=x"),
        ada.post("/links/payroll/connect"),
        stranger.htmx("GET", "/links"),
        stranger.post("/links/payroll/delete"),
        ada.client.get("/links", base_url="http://localhost:5000"),
        ada.client.post("/oauth/token", base_url=ada.base_url),
    ]
    assert [answer.status_code for answer in answers] == [405, 200, 400, 200, 401, 401, 307, 404]
    for answer in answers:
        check(answer)


def test_it_sets_no_second_cookie_all_the_way(ada: Visitor, connect: Callable[..., None]) -> None:
    connect()
    names = {cookie.partition("=")[0] for path in PAGES for cookie in ada.get(path).headers.getlist("Set-Cookie")}
    names |= {cookie.key for cookie in ada.client._cookies.values()}
    assert names == {"applinks-5000"}


def test_it_hardens_an_unexpected_error(ada: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A176: no trace, no words of the exception, and the name that the log has it under."""
    links = type(ada.client.application.extensions["applinks"].links)
    monkeypatch.setattr(links, "page", lambda self: 1 / 0)
    response = ada.client.get("/links", base_url=ada.base_url)
    assert response.status_code == 500
    check(response)
    assert f"It is in the log of request {response.headers['X-Request-Id']}." in response.text
    for word in ("Traceback", "ZeroDivision", "division", ".py"):
        assert word not in response.text


def test_it_lets_static_files_be_kept_for_good(ada: Visitor) -> None:
    named = re.search(r"/static/app\.[0-9a-f]{12}\.css", ada.get("/links").text)
    assert named
    assert "immutable" in ada.get(named[0]).headers["Cache-Control"]
    assert ada.get("/static/app.css").headers["Cache-Control"] == "no-cache"
    assert ada.get("/static/app.000000000000.css").status_code == 404


def test_it_compresses_static_files_and_no_page_with_a_form(ada: Visitor) -> None:
    """BREACH: beside a CSRF token, the size of what is compressed tells."""
    packed = ada.get("/static/app.css", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == ada.get("/static/app.css").data
    assert b"/*" not in ada.get("/static/app.css").data
    tag = packed.headers["ETag"]
    again = ada.get("/static/app.css", headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    for path in ("/links", "/settings", "/sign-in"):
        assert "Content-Encoding" not in ada.get(path, headers={"Accept-Encoding": "gzip"}).headers


def test_it_sets_one_cookie_named_for_its_port(stranger: Visitor) -> None:
    """A123"""
    cookies = SimpleCookie(stranger.get("/sign-in").headers["Set-Cookie"])
    assert list(cookies) == ["applinks-5000"]
    cookie = cookies["applinks-5000"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["secure"]


def test_it_sets_no_cookie_where_none_is_needed(stranger: Visitor) -> None:
    for path in ("/static/app.css", "/oauth/userinfo"):
        assert "Set-Cookie" not in stranger.get(path).headers


class TestOverHttps:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"APPLINKS_BASE_URL": "https://links.example.com"}

    @pytest.mark.parametrize("path", PAGES)
    def test_it_asks_for_https_from_now_on(self, ada: Visitor, path: str) -> None:
        response = ada.get(path)
        check(response)
        assert response.headers["Strict-Transport-Security"] == "max-age=63072000"

    def test_it_sets_a_cookie_for_this_host_alone(self, stranger: Visitor) -> None:
        cookies = SimpleCookie(stranger.get("/sign-in").headers["Set-Cookie"])
        assert list(cookies) == ["__Host-applinks"]
        cookie = cookies["__Host-applinks"]
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["path"] == "/"
        assert not cookie["domain"]
