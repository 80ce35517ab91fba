"""The OAuth client: what it sends, and how it keeps the library that carries it from doing harm."""

import base64
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest

from applinks.oauth.answers import Away, Granted, Nonsense
from applinks.oauth.client import AddressRefused, ClientCredentials, OAuthClient, prepare_libraries
from applinks.oauth.guard import AddressRefusedError, Guard
from applinks.providers import CATALOGUE, ProviderProfile
from tests.standin import StandIn, json_answer

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CREDENTIALS = ClientCredentials("client", "CANARY-secret")


@pytest.fixture(autouse=True)
def on_loopback() -> Iterator[None]:
    prepare_libraries(loopback=True)
    yield
    prepare_libraries(loopback=False)


@pytest.fixture
def client() -> OAuthClient:
    return OAuthClient(Guard(loopback=True))


@pytest.fixture
def profile(provider: StandIn) -> ProviderProfile:
    endpoints = {f"{name}_endpoint": f"{provider.base_url}/{name}" for name in ("token", "userinfo")}
    return CATALOGUE["custom"].profile(endpoints | {"authorization_endpoint": f"{provider.base_url}/authorize"})


def exchange(client: OAuthClient, profile: ProviderProfile, credentials: ClientCredentials = CREDENTIALS) -> object:
    return client.exchange(
        profile, credentials, code="CANARY-code", redirect_uri="http://127.0.0.1/cb", code_verifier="CANARY-" + "v" * 43
    )


def url(client: OAuthClient, profile: ProviderProfile, scopes: str = "read write") -> str:
    return client.authorization_url(
        profile, "client", redirect_uri="https://a.example/cb", scopes=scopes, state="s", code_verifier=VERIFIER
    )


def test_it_asks_for_a_code_with_pkce_and_nothing_else(client: OAuthClient, profile: ProviderProfile) -> None:
    """A001, A002"""
    query = parse_qs(urlsplit(url(client, profile)).query)
    assert query == {
        "response_type": ["code"],
        "client_id": ["client"],
        "redirect_uri": ["https://a.example/cb"],
        "scope": ["read write"],
        "state": ["s"],
        "code_challenge": [CHALLENGE],
        "code_challenge_method": ["S256"],
    }


def test_it_asks_for_no_scope_where_there_is_none(client: OAuthClient, profile: ProviderProfile) -> None:
    assert "scope" not in parse_qs(urlsplit(url(client, profile, "")).query)


def test_it_keeps_a_harmless_query_of_the_endpoint(client: OAuthClient, profile: ProviderProfile) -> None:
    """A029"""
    with_query = replace(profile, authorization_endpoint=profile.authorization_endpoint + "?tenant=x")
    assert parse_qs(urlsplit(url(client, with_query)).query)["tenant"] == ["x"]


@pytest.mark.parametrize(
    "endpoint", ["javascript:alert(1)", "http://a.example/", "https://a.example/?state=evil", "https://10.0.0.1/"]
)
def test_it_leads_to_no_address_that_is_not_allowed_any_more(
    client: OAuthClient, profile: ProviderProfile, endpoint: str
) -> None:
    """F13"""
    with pytest.raises(AddressRefusedError):
        url(client, replace(profile, authorization_endpoint=endpoint))


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        ("a:b", "c:d"),
        ("a b", "c+d"),
        ("100%", "%41"),
        ("a&b=c", "CANARY&x=y"),
        ("~!@#$^*()", "`{}|[]\\;'\"<>,.?/"),
        ("é", "🔑 €"),
    ],
)
def test_it_encodes_credentials_as_the_rfc_wants(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn, client_id: str, secret: str
) -> None:
    """F12, A043: the library sends them raw, or fails on them."""
    assert isinstance(exchange(client, profile, ClientCredentials(client_id, secret)), Granted)
    scheme, _, encoded = provider.token_requests[0].headers["Authorization"].partition(" ")
    sent_id, colon, sent_secret = base64.b64decode(encoded).decode("ascii").partition(":")
    assert (scheme, colon) == ("Basic", ":")
    assert (unquote_plus(sent_id), unquote_plus(sent_secret)) == (client_id, secret)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_it_authenticates_in_one_way_at_a_time(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn, method: str
) -> None:
    """A041, A042"""
    changed = replace(profile, client_authentication=method)
    assert isinstance(exchange(client, changed), Granted)
    refreshed = client.refresh(changed, CREDENTIALS, refresh_token=provider.refresh_token, scopes="read")
    assert isinstance(refreshed, Granted)
    for asked in provider.token_requests:
        assert asked.query == ""
        assert ("Authorization" in asked.headers) == (method == "client_secret_basic")
        assert ("client_secret" in asked.form) == (method == "client_secret_post")
        assert "scope" not in asked.form


def test_it_sends_code_verifier_and_redirect_url(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn
) -> None:
    """F9: the library forgets the verifier between two requests."""
    exchange(client, profile)
    form = provider.token_requests[0].form
    assert form["code_verifier"] == "CANARY-" + "v" * 43
    assert form["redirect_uri"] == "http://127.0.0.1/cb"
    assert form["grant_type"] == "authorization_code"


def test_it_keeps_a_token_whose_scope_differs(client: OAuthClient, profile: ProviderProfile, provider: StandIn) -> None:
    """F7: the library raises a warning there, and the token is lost."""
    changed = replace(profile, scope_on_refresh=True)
    provider.answer(json_answer(provider.grant() | {"scope": "less"}))
    answer = client.refresh(changed, CREDENTIALS, refresh_token="CANARY-x", scopes="read write")
    assert isinstance(answer, Granted)
    assert answer.scope == "less"


def test_it_says_which_address_it_did_not_ask(client: OAuthClient, profile: ProviderProfile, provider: StandIn) -> None:
    answer = exchange(client, replace(profile, token_endpoint="https://169.254.169.254/latest"))
    assert isinstance(answer, AddressRefused)
    assert "169.254.169.254" in answer.words
    assert not provider.asked


def test_it_takes_a_closed_port_for_passing(client: OAuthClient, profile: ProviderProfile) -> None:
    assert isinstance(exchange(client, replace(profile, token_endpoint="http://127.0.0.1:2/token")), Away)


def test_it_shows_no_secret_of_an_answer_that_it_refuses(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn
) -> None:
    provider.answer(json_answer({"access_token": "CANARY-a", "token_type": "mac"}))
    answer = exchange(client, profile)
    assert isinstance(answer, Nonsense)
    assert "CANARY" not in repr(answer) + repr(CREDENTIALS)


def test_it_logs_no_secret_at_debug(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """F15: the library writes tokens, codes and client secrets."""
    caplog.set_level(logging.DEBUG)
    exchange(client, profile)
    client.refresh(profile, CREDENTIALS, refresh_token=provider.refresh_token, scopes="")
    assert "CANARY" not in caplog.text
    assert logging.getLogger("requests_oauthlib").getEffectiveLevel() == logging.WARNING


@pytest.mark.parametrize("loopback", [True, False])
def test_it_allows_plain_http_on_loopback_alone(loopback: bool) -> None:
    """F16"""
    prepare_libraries(loopback=loopback)
    assert ("OAUTHLIB_INSECURE_TRANSPORT" in os.environ) == loopback


def test_it_finds_no_account_where_none_is_told(
    client: OAuthClient, profile: ProviderProfile, provider: StandIn
) -> None:
    assert client.account(replace(profile, userinfo_endpoint=""), "CANARY-a") is None
    assert client.account(replace(profile, userinfo_endpoint="http://127.0.0.1:2/"), "CANARY-a") is None
    assert client.account(replace(profile, userinfo_endpoint="https://10.0.0.1/"), "CANARY-a") is None
    assert not provider.asked
