"""Client credentials (RFC 6749 §4.4): no account and no consent, so such a link connects at once and stays so."""

from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import AuthorizationFlow, Connection, OutgoingLink, State
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due, renew
from tests.standin import StandIn, json_answer, raw_answer
from tests.visitor import Visitor, text_of


@pytest.fixture
def form(link_form: dict[str, str]) -> dict[str, str]:
    without = {"authorization_endpoint", "userinfo_endpoint"}
    return {name: text for name, text in link_form.items() if name not in without} | {
        "grant_type": "client_credentials"
    }


@pytest.fixture
def save(ada: Visitor, form: dict[str, str]) -> str:
    link_id = new_id()
    assert ada.post(f"/links/new/outgoing/{link_id}", form).status_code == 303
    return link_id


def test_it_connects_at_once(save: str, ada: Visitor, provider: StandIn, clock: Clock) -> None:
    assert "The link is connected" in text_of(ada.get("/links/payroll"))
    connection = Connection.get()
    assert (connection.state, connection.label) == (State.CONNECTED, "default")
    assert connection.expires_at == int(clock()) + 3600
    asked = provider.token_requests[0]
    assert asked.form == {"grant_type": "client_credentials", "scope": "read write"}
    assert asked.headers["Authorization"].startswith("Basic ")
    assert not AuthorizationFlow.select().exists()


def test_it_shows_no_redirect_url_and_offers_no_second_account(save: str, ada: Visitor) -> None:
    page = ada.get("/links/payroll").text
    assert "Redirect URL" not in page
    assert "Connect another account" not in page
    assert "Redirect URL" not in ada.get("/links/payroll/edit").text


def test_it_keeps_no_refresh_token_but_asks_again(
    save: str, provider: StandIn, services: Services, clock: Clock
) -> None:
    assert Connection.get().refresh_token_enc == ""
    for _ in range(2):
        clock.advance(3600)
        assert refresh_due(services) == 1
        assert Connection.get().refreshed_at == int(clock())
    assert [asked.form["grant_type"] for asked in provider.token_requests] == ["client_credentials"] * 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (json_answer({"error": "invalid_client"}, 401), "refused the client ID or the client secret"),
        (json_answer({"error": "invalid_scope", "error_description": "no such scope"}, 400), "no such scope"),
        (raw_answer("", 503), "HTTP 503"),
        (json_answer({"access_token": "CANARY-x", "token_type": "mac"}), "other than Bearer"),
    ],
)
def test_it_saves_the_link_and_says_why_it_is_not_connected(
    ada: Visitor, form: dict[str, str], provider: StandIn, answer: object, says: str
) -> None:
    provider.answer(answer)  # type: ignore[arg-type]
    assert ada.post(f"/links/new/outgoing/{new_id()}", form).status_code == 303
    assert says in text_of(ada.get("/links/payroll"))
    assert OutgoingLink.select().exists()
    assert not Connection.select().exists()
    assert ada.post("/links/payroll/connect").status_code == 303
    assert Connection.get().state == State.CONNECTED


def test_it_connects_when_what_was_wrong_is_mended(ada: Visitor, form: dict[str, str], provider: StandIn) -> None:
    provider.answer(json_answer({"error": "invalid_client"}, 401))
    ada.post(f"/links/new/outgoing/{new_id()}", form)
    edit = form | {"client_authentication": "client_secret_post", "client_secret": "CANARY-right", "version": "1"}
    assert ada.post("/links/payroll/edit", edit).status_code == 303
    assert "The link is connected" in text_of(ada.get("/links/payroll"))
    assert Connection.get().state == State.CONNECTED


def test_it_connects_a_link_whose_accounts_were_disconnected_before(
    ada: Visitor, connect: Callable[..., None], link_form: dict[str, str]
) -> None:
    connect()
    ada.post("/links/payroll/connections/default/disconnect")
    edit = link_form | {"grant_type": "client_credentials", "version": "1"}
    assert ada.post("/links/payroll/edit", edit).status_code == 303
    assert Connection.get().state == State.CONNECTED


def test_it_keeps_trying_when_the_provider_is_away(
    save: str, provider: StandIn, services: Services, clock: Clock
) -> None:
    clock.advance(3600)
    provider.answer(raw_answer("", 503))
    assert renew(services) == Outcome.RETRYING
    clock.advance(2)
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


def test_it_renews_nothing_once_it_is_disconnected(
    save: str, ada: Visitor, provider: StandIn, services: Services
) -> None:
    ada.post("/links/payroll/connections/default/disconnect")
    assert renew(services) == Outcome.NOTHING
    assert len(provider.token_requests) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("client_authentication", "none"), ("grant_type", "password"), ("grant_type", "implicit")]
)
def test_it_refuses_what_is_no_such_grant(ada: Visitor, form: dict[str, str], field: str, value: str) -> None:
    shown = {"authorization_endpoint": "https://a.example/", "userinfo_endpoint": "", field: value}
    refused = ada.post(f"/links/new/outgoing/{new_id()}", form | shown)
    assert refused.status_code == 422
    assert f'id="{field}-error"' in refused.text
    assert not OutgoingLink.select().exists()


def test_it_is_not_there_for_a_provider_that_has_no_such_grant(ada: Visitor) -> None:
    google = {"name": "Mail", "provider": "google", "revealed": "google", "client_id": "c", "client_secret": "CANARY-s"}
    refused = ada.post(f"/links/new/outgoing/{new_id()}", google | {"scopes": "", "grant_type": "client_credentials"})
    assert refused.status_code == 422


def test_it_disconnects_when_the_grant_type_is_changed(
    save: str, ada: Visitor, link_form: dict[str, str], provider: StandIn
) -> None:
    edit = link_form | {"grant_type": "authorization_code", "version": "1"}
    assert ada.post("/links/payroll/edit", edit).status_code == 303
    assert Connection.get().state == State.DISCONNECTED
