"""GitHub's drawer, danced against a stand-in that answers as GitHub does."""

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from applinks.models import Connection, State
from tests.conftest import CLIENT_SECRET, renew
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor, text_of

GRANTED = {"access_token": "CANARY-gho", "token_type": "bearer", "scope": "read:user,repo"}
OF_AN_APP = GRANTED | {
    "refresh_token": "CANARY-ghr",
    "expires_in": 28800,
    "refresh_token_expires_in": 15897600,
    "scope": "",
}


@pytest.fixture
def link_form() -> dict[str, str]:
    form = {"name": "Payroll", "provider": "github", "revealed": "github", "client_id": "Iv1.0123456789abcdef"}
    return form | {"client_secret": CLIENT_SECRET, "scopes": "read:user repo"}


@pytest.fixture
def answered(ada: Visitor, provider: StandIn, link_id: str) -> Callable[..., str]:
    """Connect, the token endpoint answering so; returns what the page says in the end."""

    def dance(body: dict[str, object]) -> str:
        provider.userinfo = {"login": "ada-lovelace", "id": 1, "email": None}
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
        provider.answer(json_answer(body))
        back = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
        return text_of(back) if back.status_code != 303 else text_of(ada.get("/links/payroll"))

    return dance


def test_it_connects_an_oauth_app_whose_tokens_dont_expire(answered: Callable[..., str], provider: StandIn) -> None:
    assert "ada-lovelace is connected" in answered(GRANTED)
    connection = Connection.get()
    assert (connection.state, connection.scopes_granted) == (State.CONNECTED, "read:user repo")
    assert (connection.expires_at, connection.next_attempt_at) == (None, None)
    assert provider.authorization_query["scope"] == ["read:user repo"]
    asked = provider.token_requests[0]
    assert asked.headers["Accept"] == "application/json"
    assert asked.form["client_id"] == "Iv1.0123456789abcdef"
    assert "Authorization" not in asked.headers


def test_it_refreshes_the_token_of_a_github_app(answered: Callable[..., str], provider: StandIn, services) -> None:  # type: ignore[no-untyped-def]
    answered(OF_AN_APP)
    assert Connection.get().expires_at is not None
    provider.answer(json_answer(OF_AN_APP | {"access_token": "CANARY-gho-2", "refresh_token": "CANARY-ghr-2"}))
    renew(services)
    assert (Connection.get().generation, Connection.get().state) == (2, State.CONNECTED)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("incorrect_client_credentials", "GitHub refused the client ID or the client secret. Check them with Edit."),
        ("redirect_uri_mismatch", "The Redirect URL isn't registered for this client ID. Copy the Redirect URL"),
        ("bad_verification_code", "To GitHub the code was used, or too old. Choose Connect and try again."),
        ("unverified_user_email", "Verify it there, then connect again."),
    ],
)
def test_it_takes_an_error_at_200_for_what_it_is(answered: Callable[..., str], code: str, says: str) -> None:
    assert says in answered(
        {"error": code, "error_description": "See the documentation.", "error_uri": "https://x.example"}
    )
    assert not Connection.select().exists()


def test_it_asks_for_a_new_consent_where_the_refresh_token_is_refused_at_200(
    answered: Callable[..., str],
    provider: StandIn,
    services,
    ada: Visitor,  # type: ignore[no-untyped-def]
) -> None:
    answered(OF_AN_APP)
    provider.answer(json_answer({"error": "bad_refresh_token", "error_description": "Incorrect or expired."}))
    renew(services)
    assert Connection.get().state == State.RECONNECT_NEEDED
    assert "GitHub no longer accepts the refresh token. Choose Reconnect." in text_of(ada.get("/links/payroll"))


def test_it_asks_for_no_secret_in_the_address(answered: Callable[..., str], provider: StandIn) -> None:
    answered(GRANTED)
    query = parse_qs("&".join(asked.query for asked in provider.asked))
    assert "client_secret" not in query
