"""Who may pass: strangers see nothing, and a change must come from a page of ours."""

from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from flask import Flask

from applinks.models import TABLES, Administrator, SignInSession
from applinks.wiring import Services
from tests.conftest import PASSWORD
from tests.visitor import Visitor, text_of

# Every route, and whether a stranger may ask for it. A new route fails the test until it is declared here.
PUBLIC = {"sign_in.sign_in", "sign_in.sign_in_submitted", "sign_in.setup", "sign_in.setup_submitted"}
PUBLIC |= {"dance.callback", "static", "health.show", "health.ready", "checks.nonce"}
# What applications ask for, who authenticate themselves.
BY_APPLICATIONS = {f"authorization.{name}" for name in ("metadata", "token", "revoke", "introspect", "userinfo")}
PUBLIC |= BY_APPLICATIONS
PRIVATE = {"links.home", "links.index", "links.choose_direction", "links.new_outgoing", "links.new_outgoing_form"}
PRIVATE |= {
    "links.new_outgoing_submitted",
    "links.new_outgoing_fields",
    "links.new_outgoing_discovery",
    "links.new_outgoing_card",
    "links.edit_discovery",
    "links.show",
    "links.edit",
    "links.edit_submitted",
}
PRIVATE |= {"links.edit_fields", "links.confirm_delete", "links.delete", "connections.show", "connections.refresh"}
PRIVATE |= {"connections.disconnect", "connections.confirm_remove", "connections.remove", "dance.another"}
PRIVATE |= {
    "dance.another_submitted",
    "dance.connect",
    "dance.confirm_account",
    "dance.account_confirmed",
    "authorization.authorize",
    "authorization.decided",
}
PRIVATE |= {f"api_keys.{name}" for name in ("index", "new", "make", "confirm_revoke", "revoke")}
PRIVATE |= {"dance.confirm_account", "dance.account_confirmed"}
PRIVATE |= {f"incoming.{name}" for name in ("new", "create", "ask_overlap", "rotate_secret", "disable")}
PRIVATE |= {f"incoming.{name}" for name in ("enable", "confirm_revoke_all", "revoke_all", "confirm_revoke", "revoke")}
PRIVATE |= {f"consents.{name}" for name in ("index", "confirm_revoke", "revoke")}
PRIVATE |= {f"next_secret.{name}" for name in ("show", "store", "drop")}
PRIVATE |= {f"deadlines.{name}" for name in ("index", "download", "make_address")} | {"settings.send_test_alert"}
PUBLIC |= {"deadlines.feed"}
PRIVATE |= {"audit.index", "audit.download", "checks.show", "checks.everything", "checks.run"}
PRIVATE |= {"settings.show", "settings.choose_appearance", "settings.change_password", "sign_in.sign_out"}
# What programs ask for with an API key.
API = {f"api.tokens.{name}" for name in ("token", "rejected", "sasl")}
API |= {f"api.links.{name}" for name in ("index", "create", "show", "change", "delete")}
API |= {f"api.connections.{name}" for name in ("index", "show", "refresh", "connect", "disconnect", "remove")}
API |= {"api.checks.run", "health.metrics"}
API |= {"api.events.index", "api.events.of_link"}
PUBLIC |= {"api.openapi"}

ARGUMENTS = {
    "slug": "payroll",
    "label": "default",
    "nonce": "0" * 32,
    "token": "x",
    "part": "here",
    "link_id": "0" * 32,
    "code": "x",
    "filename": "app.css",
    "key_id": "x",
    "consent_id": "x",
}


def routes(app: Flask, method: str) -> list[tuple[str, str]]:
    """Endpoint and path of every route of a method."""
    with app.test_request_context():
        return [
            (rule.endpoint, app.url_for(rule.endpoint, **{name: ARGUMENTS[name] for name in rule.arguments}))
            for rule in app.url_map.iter_rules()
            if method in (rule.methods or ())
        ]


def rows() -> dict[str, list[dict[str, object]]]:
    """Everything that is stored."""
    return {table.__name__: list(table.select().dicts()) for table in TABLES}


def test_it_knows_every_route(app: Flask) -> None:
    """A113"""
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == PUBLIC | PRIVATE | API


def test_it_lets_no_stranger_pass(app: Flask, stranger: Visitor, link_id: str) -> None:
    before = rows()
    for method in ("GET", "POST"):
        for endpoint, path in routes(app, method):
            if endpoint in PRIVATE:
                response = stranger.get(path) if method == "GET" else stranger.post(path)
                assert response.status_code in (303, 401, 404), path
                assert "Payroll" not in response.text, path
                if response.status_code == 303:
                    assert response.headers["Location"].startswith("/sign-in"), path
    assert rows() == before


def test_it_lets_nobody_pass_by_a_session_where_an_api_key_is_needed(
    app: Flask, ada: Visitor, stranger: Visitor, link_id: str
) -> None:
    """A124, A148"""
    before = rows()
    for method in ("GET", "POST", "PATCH", "DELETE"):
        for endpoint, path in routes(app, method):
            if endpoint in API:
                for visitor in (ada, stranger):
                    answer = visitor.client.open(path, method=method, base_url=visitor.base_url)
                    assert (answer.status_code, answer.content_type) == (401, "application/problem+json"), path
                    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Applinks"'
    assert rows() == before


def test_it_changes_nothing_by_get(app: Flask, ada: Visitor, connect: Callable[..., None]) -> None:
    """A126"""
    connect()
    before = rows()
    for method in ("GET", "HEAD", "OPTIONS"):
        for _, path in routes(app, method):
            ada.client.open(path, method=method, base_url=ada.base_url, buffered=True)
    assert rows() == before


FORGED = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:5001"},
    {"Origin": "https://127.0.0.1:5000"},
    {"Origin": "http://127.0.0.1:5000.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FORGED)
def test_it_takes_no_form_of_another_site(
    app: Flask, services: Services, ada: Visitor, connect: Callable[..., None], headers: dict[str, str]
) -> None:
    """A124"""
    connect()
    services.incoming.add(
        "App", client_id="app", client_secret_digest="0", redirect_uris="https://a.example/", scopes="profile", life=60
    )
    before, token = rows(), ada.csrf_token()
    for endpoint, path in routes(app, "POST"):
        if endpoint not in BY_APPLICATIONS | API:
            assert ada.post(path, {"csrf_token": token}, headers=headers).status_code == 400, path
    assert rows() == before


@pytest.mark.parametrize("headers", FORGED)
def test_it_signs_nobody_in_for_another_site(
    stranger: Visitor, make_administrator: Callable[[str], Administrator], headers: dict[str, str]
) -> None:
    make_administrator("bob")
    form = {"username": "bob", "password": PASSWORD, "csrf_token": stranger.csrf_token()}
    assert stranger.post("/sign-in", form, headers=headers).status_code == 400
    assert not SignInSession.select().exists()


@pytest.mark.parametrize("headers", FORGED)
def test_it_answers_applications_wherever_they_are(
    stranger: Visitor, services: Services, headers: dict[str, str]
) -> None:
    """The token endpoint: its callers show a secret of their own, and no cookie counts there."""
    services.incoming.add(
        "App", client_id="app", client_secret_digest="0", redirect_uris="https://a.example/", scopes="profile", life=60
    )
    answer = stranger.post("/oauth/token", {"grant_type": "password"}, csrf=False, headers=headers)
    assert answer.json["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("token", ["", "x", "IjAi.x.y"])
def test_it_takes_no_form_without_its_token(app: Flask, ada: Visitor, connect: Callable[..., None], token: str) -> None:
    connect()
    before = rows()
    for endpoint, path in routes(app, "POST"):
        if endpoint not in BY_APPLICATIONS | API:
            fields = {"csrf_token": token} if token else {}
            assert ada.post(path, fields, csrf=False).status_code in (400, 404), path
    assert rows() == before


def test_it_takes_no_token_of_another_session(ada: Visitor, sign_in_as: Callable[[str], Visitor]) -> None:
    """A125"""
    theirs = sign_in_as("bob").csrf_token()
    assert ada.post("/settings/appearance", {"appearance": "dark", "csrf_token": theirs}).status_code == 400


def test_it_names_both_addresses_when_they_differ(ada: Visitor) -> None:
    """A186"""
    response = ada.post("/settings/appearance", {"appearance": "dark"}, headers={"Origin": "https://other.example"})
    said = text_of(response)
    assert response.status_code == 400
    for text in ("https://other.example", "http://127.0.0.1:5000", "APPLINKS_BASE_URL"):
        assert text in said


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:80", "[::1]:5000", "127.0.0.2:5000"])
def test_it_leads_other_loopback_names_to_the_base_url(ada: Visitor, host: str) -> None:
    response = ada.client.get("/links?x=1", base_url=f"http://{host}")
    assert response.headers["Location"] == "http://127.0.0.1:5000/links?x=1"


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "Forwarded", "X-Forwarded-Proto", "X-Original-URL"])
def test_it_decides_nothing_by_host(ada: Visitor, link_id: str, name: str) -> None:
    response = ada.client.get("/links/payroll", base_url=ada.base_url, headers={name: "evil.example"})
    assert "http://127.0.0.1:5000/oauth/callback/" in response.text
    assert "evil.example/" not in response.text


HOSTS = ["evil.example", "a b", "x" * 300, "[::1", "127.0.0.1:5000@evil.example", "localhost:5000\u00e9", ""]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/links", "/links//new", "/static//app.css", "/nothing"])
def test_it_answers_any_host_with_its_own_address(stranger: Visitor, host: str, path: str) -> None:
    """A186"""
    response = stranger.get(path, headers={"Host": host})
    assert response.status_code in (303, 308, 404)
    assert urljoin(stranger.base_url, response.headers.get("Location", "/")).startswith("http://127.0.0.1:5000/")
    assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize("path", ["/%0d%0aX:y", "/links%0d%0aSet-Cookie:%20a=b", "/%c3%a4", "//evil.example/x"])
def test_it_writes_no_header_out_of_a_path(ada: Visitor, path: str) -> None:
    response = ada.client.get(path, base_url="http://localhost:5000")
    assert response.headers["Location"].startswith("http://127.0.0.1:5000/")
    assert "\n" not in response.headers["Location"]


def test_it_says_which_methods_the_callback_takes(ada: Visitor, link_id: str) -> None:
    response = ada.client.head(f"/oauth/callback/{link_id}", base_url=ada.base_url)
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_it_knows_no_other_methods(ada: Visitor, method: str) -> None:
    assert ada.client.open("/links", method=method, base_url=ada.base_url).status_code == 405


@pytest.mark.parametrize(
    "path", ["/x", "/links/payroll/x", "/links/..%2f", "/%00", "/static/../app.py", "/static/nothing.css"]
)
def test_it_has_a_proper_page_for_nothing(ada: Visitor, path: str) -> None:
    response = ada.get(path)
    assert response.status_code == 404
    assert "Page not found" in response.text


def test_it_sends_htmx_to_sign_in(stranger: Visitor) -> None:
    """A128"""
    response = stranger.htmx("GET", "/links")
    assert response.status_code == 401
    assert response.headers["HX-Redirect"] == "/sign-in"


class TestBehindAProxy:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"APPLINKS_TRUSTED_PROXIES": "127.0.0.1/32"}

    def guess(self, visitor: Visitor, forwarded: str, times: int = 1) -> int:
        for _ in range(times):
            headers = {"Origin": visitor.base_url, "X-Forwarded-For": forwarded}
            form = {"username": f"nobody-{forwarded}-{_}", "password": "CANARY"}
            status = visitor.post("/sign-in", form, headers=headers).status_code
        return status

    def test_it_slows_the_visitor_and_not_the_proxy(self, stranger: Visitor) -> None:
        """A187"""
        assert self.guess(stranger, "198.51.100.7", 6) == 429
        assert self.guess(stranger, "198.51.100.8") == 422

    def test_it_believes_the_proxys_own_entry_alone(self, stranger: Visitor) -> None:
        for number in range(5):
            self.guess(stranger, f"203.0.113.{number}, 198.51.100.7")
        assert self.guess(stranger, "203.0.113.99, 198.51.100.7") == 429


def test_it_believes_no_forwarded_address_by_default(stranger: Visitor) -> None:
    for number in range(6):
        headers = {"Origin": stranger.base_url, "X-Forwarded-For": f"203.0.113.{number}", "X_Forwarded_For": "1.1.1.1"}
        form = {"username": f"nobody-{number}", "password": PASSWORD}
        status = stranger.post("/sign-in", form, headers=headers).status_code
    assert status == 429
