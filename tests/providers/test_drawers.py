"""Every drawer that has its endpoints with it, danced against a stand-in that answers as the provider does."""

from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import Connection, State
from applinks.oauth.endpoints import read_endpoint
from applinks.providers import CATALOGUE
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, renew
from tests.providers.conftest import PATHS
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor, text_of

BROUGHT = [key for key, drawer in CATALOGUE.items() if drawer.brings_endpoints]
# Where a provider is, for those that ask, and where that makes its token endpoint be.
PLACED = {
    "microsoft": ({"tenant": "common"}, "https://login.microsoftonline.com/common/oauth2/v2.0/token"),
    "auth0": ({"host": "corp.eu.auth0.com"}, "https://corp.eu.auth0.com/oauth/token"),
    "bitbucket-data-center": ({"host": "git.corp.example"}, "https://git.corp.example/rest/oauth2/latest/token"),
    "confluence": (
        {"host": "corp.example:8443", "path": "/wiki"},
        "https://corp.example:8443/wiki/rest/oauth2/latest/token",
    ),
    "gitea": ({"host": "codeberg.org"}, "https://codeberg.org/login/oauth/access_token"),
    "gitlab": ({"host": ""}, "https://gitlab.com/oauth/token"),
    "jira": ({"host": "jira.corp.example", "path": "jira/"}, "https://jira.corp.example/jira/rest/oauth2/latest/token"),
    "keycloak": (
        {"host": "id.corp.example", "realm": "Staff"},
        "https://id.corp.example/realms/Staff/protocol/openid-connect/token",
    ),
    "okta": ({"host": "corp.okta.com"}, "https://corp.okta.com/oauth2/v1/token"),
    "salesforce": ({"host": ""}, "https://login.salesforce.com/services/oauth2/token"),
}
TOKENS = {
    "access_token": "CANARY-access",
    "token_type": "bearer",
    "refresh_token": "CANARY-refresh",
    "expires_in": 3600,
}
# What is particular in an answer, and what the account is then called.
ANSWERS: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "google": (
        {"scope": "https://mail.google.com/ openid", "id_token": "x.y.z"},
        {"email": "ada@g.example"},
        "ada@g.example",
    ),
    "github": ({"scope": "a,b", "refresh_token_expires_in": 15897600}, {"login": "ada-l", "email": None}, "ada-l"),
    "atlassian": ({"scope": "a b"}, {"account_id": "1", "email": "ada@a.example"}, "ada@a.example"),
    "bitbucket": ({"scopes": "a b", "state": "authorization_code"}, {"username": "ada-b"}, "ada-b"),
    "box": ({"restricted_to": []}, {"type": "user", "name": "Ada", "login": "ada@b.example"}, "ada@b.example"),
    "discord": ({"scope": "a b"}, {"id": "1", "username": "ada-d"}, "ada-d"),
    "dropbox": (
        {"uid": "1", "account_id": "dbid:1", "scope": "a b"},
        {"name": {"display_name": "Ada"}, "email": "ada@dbx.example"},
        "ada@dbx.example",
    ),
    "linear": (
        {"scope": "a,b", "expires_in": 86399},
        {"data": {"viewer": {"email": "ada@l.example"}}},
        "ada@l.example",
    ),
    "microsoft": ({"scope": "a", "ext_expires_in": 3599}, {"sub": "x", "email": "ada@m.example"}, "ada@m.example"),
    "auth0": ({"scope": "a b", "id_token": "x.y.z"}, {"sub": "auth0|1", "name": "Ada"}, "Ada"),
    "bitbucket-data-center": ({"scope": "a b", "created_at": 1}, {}, ""),
    "confluence": ({"scope": "a b", "created_at": 1}, {"type": "known", "username": "ada-c"}, "ada-c"),
    "gitea": ({"scope": "a b"}, {"sub": "1", "preferred_username": "ada-t"}, "ada-t"),
    "gitlab": ({"scope": "a b", "created_at": 1, "expires_in": 7200}, {"email": "ada@gl.example"}, "ada@gl.example"),
    "hubspot": ({"token_type": "bearer", "hub_id": 7, "scopes": ["a", "b"]}, {"portalId": 4711}, "4711"),
    "jira": ({"scope": "READ", "created_at": 1}, {"key": "1", "emailAddress": "ada@j.example"}, "ada@j.example"),
    "keycloak": ({"scope": "a b", "not-before-policy": 0}, {"preferred_username": "ada-k"}, "ada-k"),
    "notion": (
        {"bot_id": "1", "workspace_name": "Corp", "owner": {"type": "user"}, "expires_in": None},
        {"object": "user", "name": "A bot", "bot": {"owner": {"user": {"person": {"email": "ada@n.example"}}}}},
        "ada@n.example",
    ),
    "okta": ({"scope": "a b"}, {"sub": "1", "email": "ada@o.example"}, "ada@o.example"),
    "salesforce": (
        {"instance_url": "https://corp.my.salesforce.com", "issued_at": "1", "expires_in": None},
        {"email": "ada@s.example", "preferred_username": "ada@s.example.sandbox"},
        "ada@s.example.sandbox",
    ),
    "slack": (
        {"ok": True, "token_type": "bot", "scope": "a,b", "authed_user": {"id": "U1"}, "team": {"id": "T1"}},
        {"ok": True, "user": "payroll-bot", "team": "Corp"},
        "Corp",
    ),
    "spotify": ({"scope": "a b"}, {"display_name": "Ada S", "id": "ada"}, "Ada S"),
    "zoom": ({"scope": "a b c", "api_url": "https://api.zoom.us"}, {"email": "ada@z.example"}, "ada@z.example"),
}
ROTATING = {key for key, drawer in CATALOGUE.items() if drawer.rotates}


@pytest.fixture
def dance(ada: Visitor, provider: StandIn) -> Callable[[str, dict[str, object]], str]:
    """Make a link from a drawer and connect it, its provider answering so; returns what the page says in the end."""

    def run(key: str, answer: dict[str, object]) -> str:
        link_id = new_id()
        form = {"name": "Payroll", "provider": key, "revealed": key, "client_id": "payroll-client"} | place_of(key)
        saved = ada.post(f"/links/new/outgoing/{link_id}", form | {"client_secret": CLIENT_SECRET, "scopes": "a b"})
        assert saved.status_code == 303, saved.text
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
        provider.userinfo = ANSWERS[key][1]
        provider.answer(json_answer(answer))
        back = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
        return text_of(back) if back.status_code != 303 else text_of(ada.get("/links/payroll"))

    return run


@pytest.mark.parametrize("key", BROUGHT)
def test_it_connects_and_refreshes_as_the_provider_wants_it(
    key: str, dance: Callable[[str, dict[str, object]], str], provider: StandIn, services: Services
) -> None:
    drawer, (particular, _, account) = CATALOGUE[key], ANSWERS[key]
    dance(key, TOKENS | particular)
    connection = Connection.get()
    assert (connection.state, connection.account) == (State.CONNECTED, account)
    assert provider.authorization_query["scope"] == [f"a{drawer.scope_separator}b"]
    for name, text in drawer.authorization_parameters:
        assert provider.authorization_query[name] == [text]
    asked = provider.token_requests[0]
    assert asked.headers["Content-Type"] == f"application/{'json' if drawer.json_body else 'x-www-form-urlencoded'}"
    assert ("Authorization" in asked.headers) == (drawer.client_authentication == "client_secret_basic")
    assert ("client_secret" in asked.form) == (drawer.client_authentication == "client_secret_post")
    if drawer.userinfo_endpoint:
        told = next(asked for asked in provider.asked if asked.path == "/userinfo")
        assert told.method == ("GET" if drawer.userinfo_body is None else "POST")
        assert set(drawer.userinfo_headers) <= set(told.headers.items())
    successor = {"refresh_token": "CANARY-next"} if key in ROTATING else {}
    answer = {name: value for name, value in (TOKENS | particular).items() if name != "refresh_token"}
    provider.answer(*[json_answer(answer | successor)] * 2)
    renew(services)
    renew(services)
    sent = [asked.form.get("refresh_token") for asked in provider.token_requests]
    assert sent == [None, "CANARY-refresh", "CANARY-next" if key in ROTATING else "CANARY-refresh"]
    assert ("redirect_uri" in provider.token_requests[1].form) == drawer.redirect_uri_on_refresh
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("key", BROUGHT)
def test_it_connects_nothing_where_the_secret_is_refused(
    key: str, dance: Callable[[str, dict[str, object]], str]
) -> None:
    page = dance(key, {"error": "invalid_client", "error_description": "No."})
    assert "The provider refused the client ID or the client secret. Check them with Edit." in page
    assert not Connection.select().exists()


def place_of(key: str) -> dict[str, str]:
    return dict(PLACED[key][0]) if key in PLACED else {}


@pytest.mark.parametrize("key", BROUGHT)
def test_it_names_addresses_that_can_be_called_and_opened(key: str) -> None:
    drawer = CATALOGUE[key]
    stored = {place.name: place.read(place_of(key).get(place.name, "")) for place in drawer.places}
    profile = drawer.profile(stored)
    for name in (*PATHS, "issuer"):
        text = getattr(profile, name)
        assert not text or read_endpoint(text, loopback=False) == text
    if drawer.places:
        assert profile.token_endpoint == PLACED[key][1]
    assert drawer.documentation_url.startswith("https://")
    assert (drawer.console_url or "https://").startswith("https://")
    assert set(drawer.default_scopes) <= {scope.name for scope in drawer.usual_scopes}


@pytest.mark.parametrize("key", BROUGHT)
def test_it_guides_through_a_registration_with_the_links_own_url_and_scopes(
    key: str, dance: Callable[[str, dict[str, object]], str], ada: Visitor
) -> None:
    drawer = CATALOGUE[key]
    dance(key, TOKENS)
    page = text_of(ada.get("/links/payroll"))
    assert drawer.checked in page
    assert page.count("/oauth/callback/") >= 2, "the guide doesn't name the Redirect URL"
    assert "{" not in "".join(step.format(redirect_url="", scopes="") for step in drawer.guide)


@pytest.mark.parametrize(
    ("cloud", "login"), [("us", "login.microsoftonline.us"), ("china", "login.partner.microsoftonline.cn")]
)
def test_it_asks_microsofts_other_clouds(cloud: str, login: str) -> None:
    profile = CATALOGUE["microsoft"].profile({"tenant": "contoso.com", "cloud": cloud})
    assert profile.authorization_endpoint == f"https://{login}/contoso.com/oauth2/v2.0/authorize"
    assert "{" not in profile.userinfo_endpoint


def test_it_takes_a_slack_users_token_from_inside(
    dance: Callable[[str, dict[str, object]], str], services: Services
) -> None:
    user = {"id": "U1", "scope": "a", "access_token": "CANARY-xoxp", "token_type": "user"}
    dance("slack", {"ok": True, "app_id": "A1", "authed_user": user})
    assert Connection.get().scopes_granted == "a"
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("key", ["google", "gitlab", "notion"])
@pytest.mark.parametrize("kind", ["bot", "mac", "N_A"])
def test_it_takes_no_token_of_another_type(key: str, kind: str, dance: Callable[[str, dict[str, object]], str]) -> None:
    assert "of a type other than Bearer" in dance(key, TOKENS | {"token_type": kind})
    assert not Connection.select().exists()
