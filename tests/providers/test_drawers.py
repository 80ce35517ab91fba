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

STATIC = [key for key, drawer in CATALOGUE.items() if drawer.brings_endpoints and not drawer.needs_tenant]
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
    "box": ({"restricted_to": []}, {"type": "user", "name": "Ada", "login": "ada@b.example"}, "Ada"),
    "discord": ({"scope": "a b"}, {"id": "1", "username": "ada-d"}, "ada-d"),
    "dropbox": ({"uid": "1", "account_id": "dbid:1", "scope": "a b"}, {}, ""),
    "linear": ({"scope": "a,b", "expires_in": 86399}, {}, ""),
    "spotify": ({"scope": "a b"}, {"display_name": "Ada S", "id": "ada"}, "Ada S"),
    "zoom": ({"scope": "a b c", "api_url": "https://api.zoom.us"}, {"email": "ada@z.example"}, "ada@z.example"),
}
ROTATING = {"github", "atlassian", "box", "zoom", "linear"}


@pytest.fixture
def dance(ada: Visitor, provider: StandIn) -> Callable[[str, dict[str, object]], str]:
    """Make a link from a drawer and connect it, its provider answering so; returns what the page says in the end."""

    def run(key: str, answer: dict[str, object]) -> str:
        link_id = new_id()
        form = {"name": "Payroll", "provider": key, "revealed": key, "client_id": "payroll-client"}
        saved = ada.post(f"/links/new/outgoing/{link_id}", form | {"client_secret": CLIENT_SECRET, "scopes": "a b"})
        assert saved.status_code == 303, saved.text
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
        provider.userinfo = ANSWERS[key][1]
        provider.answer(json_answer(answer))
        back = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
        return text_of(back) if back.status_code != 303 else text_of(ada.get("/links/payroll"))

    return run


@pytest.mark.parametrize("key", STATIC)
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
    assert ("Authorization" in asked.headers) == (drawer.client_authentication == "client_secret_basic")
    assert ("client_secret" in asked.form) == (drawer.client_authentication == "client_secret_post")
    successor = {"refresh_token": "CANARY-next"} if key in ROTATING else {}
    answer = {name: value for name, value in (TOKENS | particular).items() if name != "refresh_token"}
    provider.answer(*[json_answer(answer | successor)] * 2)
    renew(services)
    renew(services)
    sent = [asked.form.get("refresh_token") for asked in provider.token_requests]
    assert sent == [None, "CANARY-refresh", "CANARY-next" if key in ROTATING else "CANARY-refresh"]
    assert Connection.get().state == State.CONNECTED


@pytest.mark.parametrize("key", STATIC)
def test_it_connects_nothing_where_the_secret_is_refused(
    key: str, dance: Callable[[str, dict[str, object]], str]
) -> None:
    page = dance(key, {"error": "invalid_client", "error_description": "No."})
    assert "The provider refused the client ID or the client secret. Check them with Edit." in page
    assert not Connection.select().exists()


@pytest.mark.parametrize("key", STATIC)
def test_it_names_addresses_that_can_be_called_and_opened(key: str) -> None:
    drawer = CATALOGUE[key]
    for name in PATHS:
        text = getattr(drawer, name)
        assert not text or read_endpoint(text, loopback=False) == text
    assert (drawer.console_url or "").startswith("https://")
    assert set(drawer.default_scopes) <= {scope.name for scope in drawer.usual_scopes}
