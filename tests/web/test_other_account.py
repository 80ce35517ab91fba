"""Reconnecting as somebody else: nothing changes until a person has said that it is meant."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from applinks.models import AuthorizationFlow, Connection, Event
from applinks.wiring import Services
from tests.conftest import Clock
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor, text_of

PATH = "/links/payroll/connections/default/account"


@pytest.fixture
def link_form(link_form: dict[str, str], provider: StandIn) -> dict[str, str]:
    provider.documents["/revoke"] = json_answer({})
    return link_form | {"revocation_endpoint": f"{provider.base_url}/revoke"}


@pytest.fixture
def reconnect(ada: Visitor, provider: StandIn, link_id: str, connect: Callable[..., None]) -> Callable[[str], str]:
    """Connect as ada@example.com, then reconnect as somebody; returns where the callback leads."""
    connect()

    def run(account: str) -> str:
        provider.userinfo = {"email": account} if account else {}
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
        back = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
        assert back.status_code == 303
        return back.headers["Location"]

    return run


def flow_of(where: str) -> str:
    assert urlsplit(where).path == PATH
    return parse_qs(urlsplit(where).query)["flow"][0]


def revoked(provider: StandIn) -> list[str]:
    return [asked.form["token"] for asked in provider.asked if asked.path == "/revoke"]


def test_it_asks_before_another_account_takes_the_place(reconnect: Callable[[str], str], ada: Visitor) -> None:
    generation = Connection.get().generation
    where = reconnect("bob@example.com")
    page = text_of(ada.get(where))
    assert "was connected as ada@example.com . You have just given access as bob@example.com" in page
    assert "Nothing has been changed yet" in page
    assert (Connection.get().account, Connection.get().generation) == ("ada@example.com", generation)
    assert Event.select().where(Event.what == "another account").count() == 1


def test_it_changes_the_account_where_that_is_meant(
    reconnect: Callable[[str], str], ada: Visitor, provider: StandIn
) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    generation = Connection.get().generation
    assert ada.post(PATH, {"flow": flow, "meant": "yes"}).status_code == 303
    assert "bob@example.com is connected." in text_of(ada.get("/links/payroll"))
    connection = Connection.get()
    assert (connection.account, connection.state) == ("bob@example.com", "connected")
    assert connection.generation > generation
    assert not revoked(provider)
    assert AuthorizationFlow.select().where(AuthorizationFlow.held_grant_enc != "").count() == 0


def test_it_refreshes_with_the_grant_that_was_meant(
    reconnect: Callable[[str], str], ada: Visitor, provider: StandIn, services: Services
) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    granted = provider.refresh_token
    ada.post(PATH, {"flow": flow, "meant": "yes"})
    services.renewal.renew(Connection.get())
    assert provider.token_requests[-1].form["refresh_token"] == granted


@pytest.mark.parametrize("meant", ["no", "", "maybe"])
def test_it_leaves_the_account_and_ends_the_grant_that_wasnt_meant(
    reconnect: Callable[[str], str], ada: Visitor, provider: StandIn, meant: str
) -> None:
    flow, generation = flow_of(reconnect("bob@example.com")), Connection.get().generation
    granted = provider.refresh_token
    assert ada.post(PATH, {"flow": flow, "meant": meant}).status_code == 303
    assert (Connection.get().account, Connection.get().generation) == ("ada@example.com", generation)
    assert revoked(provider) == [granted]


@pytest.mark.parametrize("account", ["ada@example.com", ""])
def test_it_asks_nothing_where_the_account_is_the_same_or_isnt_told(
    reconnect: Callable[[str], str], account: str
) -> None:
    generation = Connection.get().generation
    assert urlsplit(reconnect(account)).path == "/links/payroll"
    assert Connection.get().generation > generation
    assert Connection.get().account == account


def test_it_decides_once(reconnect: Callable[[str], str], ada: Visitor, provider: StandIn) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    assert ada.post(PATH, {"flow": flow, "meant": "no"}).status_code == 303
    again = ada.post(PATH, {"flow": flow, "meant": "yes"})
    assert again.status_code == 400
    assert "Nothing waits to be confirmed here any more" in text_of(again)
    assert Connection.get().account == "ada@example.com"
    assert len(revoked(provider)) == 1


@pytest.mark.parametrize("flow", ["", "x", "0" * 64])
def test_it_knows_no_other_flow(reconnect: Callable[[str], str], ada: Visitor, flow: str) -> None:
    reconnect("bob@example.com")
    assert ada.get(PATH, query_string={"flow": flow}).status_code == 400
    assert ada.post(PATH, {"flow": flow, "meant": "yes"}).status_code == 400
    assert Connection.get().account == "ada@example.com"


def test_it_takes_the_word_of_nobody_else(
    reconnect: Callable[[str], str], sign_in_as: Callable[[str], Visitor], stranger: Visitor
) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    for visitor in (sign_in_as("eve"), stranger):
        assert visitor.post(PATH, {"flow": flow, "meant": "yes"}).status_code in (400, 401, 200)
    assert Connection.get().account == "ada@example.com"
    other_label = "/links/payroll/connections/other/account"
    assert sign_in_as("bea").get(other_label, query_string={"flow": flow}).status_code == 400


def test_it_forgets_a_grant_that_nobody_decides_on(reconnect: Callable[[str], str], ada: Visitor, clock: Clock) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    clock.advance(1200)
    assert ada.post(PATH, {"flow": flow, "meant": "yes"}).status_code == 400
    assert Connection.get().account == "ada@example.com"


def test_it_stores_nothing_once_the_links_settings_were_changed(
    reconnect: Callable[[str], str], ada: Visitor, link_form: dict[str, str]
) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    edited = ada.post("/links/payroll/edit", link_form | {"client_id": "another", "version": "1"})
    assert edited.status_code == 303, edited.text
    assert "settings were changed" in text_of(ada.post(PATH, {"flow": flow, "meant": "yes"}))
    assert Connection.get().state == "disconnected"


def test_it_keeps_the_grant_sealed(reconnect: Callable[[str], str]) -> None:
    reconnect("bob@example.com")
    held = AuthorizationFlow.get(AuthorizationFlow.held_grant_enc != "")
    assert "CANARY" not in held.held_grant_enc


@pytest.mark.parametrize("meant", ["yes", "no"])
def test_it_says_so_where_the_grant_cant_be_opened(reconnect: Callable[[str], str], ada: Visitor, meant: str) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    AuthorizationFlow.update(held_grant_enc="1.garbage").where(AuthorizationFlow.state_digest == flow).execute()
    page = ada.post(PATH, {"flow": flow, "meant": meant})
    assert page.status_code == 400
    assert "can't be opened with the keys" in text_of(page)
    assert Connection.get().account == "ada@example.com"


def test_it_tells_nobody_else_of_the_grant_that_wasnt_meant(
    reconnect: Callable[[str], str], ada: Visitor, provider: StandIn, link_form: dict[str, str]
) -> None:
    flow = flow_of(reconnect("bob@example.com"))
    elsewhere = link_form | {"revocation_endpoint": f"{provider.base_url}/elsewhere", "version": "1"}
    assert ada.post("/links/payroll/edit", elsewhere).status_code == 303
    assert ada.post(PATH, {"flow": flow, "meant": "no"}).status_code == 303
    sent = [asked.form["token"] for asked in provider.asked if asked.path == "/elsewhere"]
    assert provider.refresh_token not in sent


def test_it_ends_no_grant_of_an_account_that_is_connected_elsewhere(
    reconnect: Callable[[str], str], ada: Visitor, provider: StandIn, connect: Callable[..., None]
) -> None:
    provider.userinfo = {"email": "bob@example.com"}
    connect("sales")
    flow = flow_of(reconnect("bob@example.com"))
    assert ada.post(PATH, {"flow": flow, "meant": "no"}).status_code == 303
    assert not revoked(provider)


@pytest.mark.parametrize("meanwhile", ["removed", "reconnected"])
def test_it_stores_nothing_over_another_connection_than_it_asked_about(
    reconnect: Callable[[str], str],
    ada: Visitor,
    provider: StandIn,
    connect: Callable[..., None],
    clock: Clock,
    meanwhile: str,
) -> None:
    """Another tab was quicker."""
    flow = flow_of(reconnect("bob@example.com"))
    clock.advance(1)
    if meanwhile == "removed":
        ada.post("/links/payroll/connections/default/remove")
    else:
        provider.userinfo = {"email": "ada@example.com"}
        connect()
    page = ada.post(PATH, {"flow": flow, "meant": "yes"})
    assert page.status_code == 400
    assert "was changed meanwhile" in text_of(page)
    assert [row.account for row in Connection.select()] == ([] if meanwhile == "removed" else ["ada@example.com"])


def test_it_takes_no_token_for_an_account(ada: Visitor, provider: StandIn, link_id: str) -> None:
    """A userinfo endpoint that repeats what it was shown: the page and the database would tell the token."""
    url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
    provider.documents["/userinfo"] = lambda request: json_answer({"email": request.headers["Authorization"]})(request)
    ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
    assert (Connection.get().state, Connection.get().account) == ("connected", "")
