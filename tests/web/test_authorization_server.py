"""Our own authorization server: what an incoming link's application gets, and everything else refused by the RFC."""

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from itsdangerous import TimestampSigner
from werkzeug.test import TestResponse

from applinks.models import TABLES, AuthorizationCode, IssuedToken, database
from applinks.wiring import Services
from tests.application import CHALLENGE, REDIRECT, REQUEST, SECRET, VERIFIER, Application, make_incoming
from tests.conftest import Clock
from tests.visitor import Visitor, text_of


@pytest.fixture(autouse=True)
def app_link(services: Services) -> None:
    make_incoming(services)
    make_incoming(services, "Other", redirect_uris="https://other.example/cb")


@pytest.fixture
def application(ada: Visitor) -> Application:
    return Application(ada)


def refused(response: TestResponse, error: str, status: int = 400) -> None:
    assert response.status_code == status, response.text
    assert response.json["error"] == error
    assert response.headers["Cache-Control"] == "no-store"
    assert not IssuedToken.select().exists()


def test_it_gives_tokens_for_consent(application: Application) -> None:
    page = application.authorize()
    assert "App asks for access" in text_of(page)
    answer = application.decide(page)
    assert answer["state"] == [REQUEST["state"]]
    tokens = application.exchange(answer["code"][0])
    assert tokens.headers["Cache-Control"] == "no-store"
    assert tokens.json | {"access_token": "", "refresh_token": ""} == {
        "access_token": "",
        "refresh_token": "",
        "token_type": "Bearer",
        "expires_in": 120,
        "scope": "profile",
    }
    assert application.userinfo(tokens.json["access_token"]).json["name"] == "ada"


def test_it_stores_digests_alone(application: Application) -> None:
    """A100"""
    code = application.code()
    tokens = application.exchange(code).json
    stored = str(list(AuthorizationCode.select().dicts())) + str(list(IssuedToken.select().dicts()))
    for secret in (code, tokens["access_token"], tokens["refresh_token"]):
        assert secret not in stored


def test_it_tells_the_application_of_a_denial(application: Application) -> None:
    answer = application.decide(application.authorize(), "deny")
    assert answer["error"] == ["access_denied"]
    assert answer["state"] == [REQUEST["state"]]
    assert not AuthorizationCode.select().exists()


UNTRUSTED = [{"client_id": text} for text in (None, "", "nobody", "app ", "APP", "other", "app\x00")]
UNTRUSTED += [
    {"redirect_uri": text}
    for text in ["", "https://evil.example/", REDIRECT + "/", REDIRECT + "?x=1", REDIRECT + "#", REDIRECT.upper()]
    + ["http://app.example/callback", "https://app.example:443/callback", "https://app.example./callback"]
    + ["https://app.example/callback/../callback", "https://app.example//callback", "https://app.example/%63allback"]
    + [
        "https://user@app.example/callback",
        "https://app.example@evil.example/callback",
        "https://app.example\\@evil.example/",
    ]
    + [
        "https://sub.app.example/callback",
        "https://app.example/callback%2f",
        " " + REDIRECT,
        REDIRECT + "\n",
        "//app.example/callback",
    ]
    + ["javascript:alert(1)", "https://\u0430pp.example/callback", "/callback", "https://app.example/callback\x00"]
]


@pytest.mark.parametrize("changed", UNTRUSTED)
def test_it_sends_nobody_to_an_address_that_it_does_not_know(
    application: Application, changed: dict[str, str | None]
) -> None:
    """A151, A152"""
    response = application.authorize(**changed)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "can't be trusted" in response.text.replace("&#39;", "'")


@pytest.mark.parametrize(
    "changed",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"code_challenge": ""},
        {"code_challenge": CHALLENGE[:-1]},
        {"code_challenge": CHALLENGE + "A"},
        {"code_challenge": CHALLENGE[:-1] + "="},
        {"scope": "admin"},
        {"scope": "profile admin"},
        {"response_type": "token"},
        {"response_type": None},
        {"response_type": "code token"},
    ],
)
def test_it_tells_the_application_what_is_wrong(application: Application, changed: dict[str, str | None]) -> None:
    """A154, A153"""
    response = application.authorize(**changed)
    told = parse_qs(urlsplit(application.visitor.continue_url(response)).query)
    assert application.visitor.continue_url(response).startswith(REDIRECT + "?")
    assert told["error"][0] in ("invalid_request", "invalid_scope", "unsupported_response_type")
    assert (told["state"], told["iss"]) == ([REQUEST["state"]], [application.visitor.base_url])
    assert "code" not in told


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "response_type"])
def test_it_refuses_a_parameter_that_comes_twice(application: Application, name: str) -> None:
    path = "/oauth/authorize?" + urlencode(REQUEST) + f"&{name}=x"
    assert application.visitor.get(path).status_code == 400


def test_it_asks_only_who_is_signed_in(stranger: Visitor) -> None:
    response = stranger.get("/oauth/authorize?" + urlencode(REQUEST))
    assert response.headers["Location"].startswith("/sign-in?next=/oauth/authorize")


@pytest.mark.parametrize("ticket", ["", "x", "a.b.c"])
def test_it_takes_no_ticket_that_it_did_not_write(application: Application, ticket: str) -> None:
    assert application.visitor.post("/oauth/authorize", {"ticket": ticket, "decision": "allow"}).status_code == 400


def test_it_takes_no_ticket_that_was_changed(application: Application) -> None:
    found = re.search(r'name="ticket" value="([^"]+)"', application.authorize().text)
    assert found
    ticket = unescape(found[1])
    for place in range(0, len(ticket), 7):
        changed = ticket[:place] + ("A" if ticket[place] != "A" else "B") + ticket[place + 1 :]
        response = application.visitor.post("/oauth/authorize", {"ticket": changed, "decision": "allow"})
        assert response.status_code == 400, place
    assert not AuthorizationCode.select().exists()


def test_it_takes_no_ticket_of_ten_minutes_ago(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r'name="ticket" value="([^"]+)"', application.authorize().text)
    assert found
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(time.time()) + 601)
    response = application.visitor.post("/oauth/authorize", {"ticket": unescape(found[1]), "decision": "allow"})
    assert response.status_code == 400
    assert "too old" in text_of(response)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic {}", "Bearer {} x", "{}", "Bearer {}\x00"])
def test_it_tells_an_account_for_a_bearer_token_alone(application: Application, header: str) -> None:
    access_token = application.exchange(application.code()).json["access_token"]
    headers = {"Authorization": header.format(access_token).replace("\x00", "\\0")}
    for path in ("/oauth/userinfo", f"/oauth/userinfo?access_token={access_token}"):
        response = application.visitor.get(path, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")


def test_it_takes_no_refresh_token_for_an_access_token(application: Application) -> None:
    tokens = application.exchange(application.code()).json
    assert application.userinfo(tokens["refresh_token"]).status_code == 401
    assert application.refresh(tokens["access_token"]).json["error"] == "invalid_grant"


def test_it_takes_no_ticket_of_another_session(application: Application, sign_in_as: Callable[[str], Visitor]) -> None:
    """A163"""
    ticket = re.search(r'name="ticket" value="([^"]+)"', application.authorize().text)
    assert ticket
    bob = sign_in_as("bob")
    assert bob.post("/oauth/authorize", {"ticket": unescape(ticket[1]), "decision": "allow"}).status_code == 400
    assert not AuthorizationCode.select().exists()


def test_it_takes_anything_but_allow_for_a_denial(application: Application) -> None:
    assert application.decide(application.authorize(), "Allow?")["error"] == ["access_denied"]


@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"code": "x"}, "invalid_grant", 400),
        ({"code_verifier": "w" * 43}, "invalid_grant", 400),
        ({"code_verifier": ""}, "invalid_request", 400),
        ({"code_verifier": "w" * 42}, "invalid_request", 400),
        ({"code_verifier": "w" * 129}, "invalid_request", 400),
        ({"redirect_uri": "https://other.example/cb"}, "invalid_grant", 400),
        ({"redirect_uri": REDIRECT + "/"}, "invalid_grant", 400),
        ({"redirect_uri": ""}, "invalid_request", 400),
        ({"secret": "CANARY-wrong"}, "invalid_client", 401),
        ({"secret": ""}, "invalid_client", 401),
        ({"client": "nobody"}, "invalid_client", 401),
        ({"client": "other"}, "invalid_grant", 400),
        ({"client_id": "other"}, "invalid_client", 401),
        ({"client_secret": SECRET}, "invalid_client", 401),
        ({"grant_type": "password"}, "unsupported_grant_type", 400),
        ({"grant_type": "client_credentials"}, "unauthorized_client", 400),
        ({"grant_type": "openid"}, "unsupported_grant_type", 400),
        ({"grant_type": "implicit"}, "unsupported_grant_type", 400),
        ({"grant_type": ""}, "invalid_request", 400),
    ],
)
def test_it_refuses_a_wrong_exchange(
    application: Application, changed: dict[str, str], error: str, status: int
) -> None:
    code = application.code()
    response = application.exchange(**{"code": code} | changed)
    refused(response, error, status)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_it_refuses_a_code_after_a_minute(application: Application, clock: Clock) -> None:
    """A156"""
    code = application.code()
    clock.advance(60)
    refused(application.exchange(code), "invalid_grant")


def test_it_takes_back_what_came_of_a_code_that_comes_twice(application: Application) -> None:
    """A157, A158"""
    code = application.code()
    tokens = application.exchange(code).json
    refused(application.exchange(code), "invalid_grant")
    assert application.userinfo(tokens["access_token"]).status_code == 401
    refused(application.refresh(tokens["refresh_token"]), "invalid_grant")


def test_it_rotates_refresh_tokens(application: Application) -> None:
    first = application.exchange(application.code()).json
    second = application.refresh(first["refresh_token"]).json
    third = application.refresh(second["refresh_token"]).json
    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert application.userinfo(third["access_token"]).status_code == 200


def test_it_revokes_the_family_when_a_refresh_token_comes_twice(application: Application, clock: Clock) -> None:
    """A160"""
    first = application.exchange(application.code()).json
    second = application.refresh(first["refresh_token"]).json
    clock.advance(10)
    refused(application.refresh(first["refresh_token"]), "invalid_grant")
    assert application.userinfo(second["access_token"]).status_code == 401
    refused(application.refresh(second["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize("client", ["other"])
def test_it_refreshes_for_nobody_else(application: Application, client: str) -> None:
    """A162"""
    tokens = application.exchange(application.code()).json
    response = application.refresh(tokens["refresh_token"], client=client)
    assert response.json["error"] == "invalid_grant"
    assert application.refresh(tokens["refresh_token"]).status_code == 200


def test_it_widens_no_scope_at_a_refresh(application: Application) -> None:
    tokens = application.exchange(application.code()).json
    assert application.refresh(tokens["refresh_token"], scope="profile admin").json["error"] == "invalid_scope"
    assert application.refresh(tokens["refresh_token"], scope="profile").status_code == 200


def test_it_ends_an_access_token_when_it_said(application: Application, clock: Clock) -> None:
    tokens = application.exchange(application.code()).json
    clock.advance(120)
    assert application.userinfo(tokens["access_token"]).status_code == 401
    assert application.refresh(tokens["refresh_token"]).status_code == 200


def test_it_ends_an_idle_refresh_token_after_thirty_days(application: Application, clock: Clock) -> None:
    tokens = application.exchange(application.code()).json
    clock.advance(30 * 86_400)
    assert application.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_it_ends_everything_when_the_link_is_deleted(application: Application) -> None:
    """A159"""
    tokens, code = application.exchange(application.code()).json, application.code()
    application.visitor.post("/links/app/delete")
    assert application.exchange(code).status_code == 401
    assert application.userinfo(tokens["access_token"]).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eA==", "Bearer nobody", "bearer x y"])
def test_it_tells_nobody_else_who_the_account_is(application: Application, header: str) -> None:
    response = application.visitor.get("/oauth/userinfo", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["grant_type", "code", "client_id", "redirect_uri", "code_verifier"])
def test_it_refuses_a_token_request_with_a_parameter_twice(application: Application, name: str) -> None:
    """A164"""
    form = {"grant_type": "authorization_code", "code": application.code(), "redirect_uri": REDIRECT}
    form |= {"code_verifier": VERIFIER, "client_id": "app", "client_secret": SECRET}
    refused(application.raw_token(urlencode(form) + f"&{name}=x"), "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "%",
        "&&&",
        "grant_type",
        "grant_type=authorization_code&code=%ff",
        b"\xff\xfe\x00",
        "{}",
        "a=" + "x" * 60_000,
    ]
    + [
        "grant_type=refresh_token&refresh_token=a b",
        "grant_type=%00",
        "=&=",
        "grant_type=authorization_code&code=\r\n",
    ],
)
def test_it_answers_a_broken_body_with_an_error(application: Application, body: str | bytes) -> None:
    response = application.raw_token(body)
    assert response.status_code in (400, 401)
    assert "error" in response.json


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic YXBw", "Basic \u00e9", "x"],
)
def test_it_refuses_a_broken_client_authentication(application: Application, header: str) -> None:
    response = application.raw_token("grant_type=refresh_token&refresh_token=x", {"Authorization": header})
    refused(response, "invalid_client", 401)


def test_it_writes_nothing_for_strangers(stranger: Visitor) -> None:
    """A170"""
    before = {table: table.select().count() for table in TABLES}
    for _ in range(50):
        stranger.get("/oauth/authorize?" + urlencode(REQUEST))
        Application(stranger).exchange("x")
    assert {table: table.select().count() for table in TABLES} == before


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/userinfo"])
def test_it_is_not_there_without_an_incoming_link(ada: Visitor, services: Services, path: str) -> None:
    for name in ("app", "other"):
        ada.post(f"/links/{name}/delete")
    assert ada.get(path).status_code == 404
    ada.post("/sign-out")
    assert ada.get(path).status_code == 404
    assert Application(ada).raw_token("grant_type=refresh_token").status_code == 404


@pytest.mark.parametrize("scope", ["profile  profile", "profile mail", " profile  ", "mail", "\tprofile"])
def test_it_takes_no_token_for_a_scope_that_it_refuses(application: Application, scope: str) -> None:
    """The refresh token wasn't spent: sent again rightly, it works, and nothing was revoked."""
    tokens = application.exchange(application.code()).json
    answer = application.refresh(tokens["refresh_token"], scope=scope)
    if answer.status_code != 200:
        assert answer.json["error"] == "invalid_scope"
        assert application.refresh(tokens["refresh_token"]).status_code == 200


def test_it_revokes_at_reuse_whatever_scope_is_asked(application: Application, clock: Clock) -> None:
    tokens = application.exchange(application.code()).json
    newer = application.refresh(tokens["refresh_token"]).json
    clock.advance(10)
    refused(application.refresh(tokens["refresh_token"], scope="mail"), "invalid_grant")
    refused(application.refresh(newer["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize("query", ["x", "x=%zz", "x=[1]", "grant_type=refresh_token", "client_id=%00"])
def test_it_takes_no_token_request_in_a_url(application: Application, query: str) -> None:
    response = application.visitor.client.post(f"/oauth/token?{query}", base_url=application.visitor.base_url)
    refused(response, "invalid_request")


@contextmanager
def somebody_writes() -> Iterator[None]:
    """Another thread is in a transaction: whoever wants to begin one has to wait, and gets a 503 in the end."""
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with database.atomic():
                begun.set()
                over.wait(60)
        finally:
            database.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        over.set()
        writer.join()


@pytest.mark.sqlite
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_it_begins_no_transaction_for_strangers(application: Application, path: str) -> None:
    with somebody_writes():
        refused(application.raw(path, "&".join(f"a{number}" for number in range(9000))), "invalid_request")
        form = "grant_type=refresh_token&refresh_token=x&token=x&client_id=app&client_secret="
        refused(application.raw(path, form + "CANARY-wrong"), "invalid_client", 401)
        assert application.raw(path, form + SECRET).status_code == 503, "nobody was writing"


@pytest.mark.parametrize("query", ["x=%zz", "client_id=<x>", "x=[1]", 'x="', "state=a&state=b", "x&x", "%00"])
def test_it_refuses_a_broken_authorization_request(application: Application, query: str) -> None:
    response = application.visitor.get("/oauth/authorize?" + urlencode(REQUEST) + "&" + query)
    if query != "%00":
        assert response.status_code == 400
    assert "Location" not in response.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_it_answers_token_requests_by_post_alone(ada: Visitor, method: str) -> None:
    response = ada.client.open("/oauth/token", method=method, base_url=ada.base_url)
    assert "access_token" not in response.text
    assert response.status_code in (200, 405)
    assert "Access-Control-Allow-Origin" not in response.headers
