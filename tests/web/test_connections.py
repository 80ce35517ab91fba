"""The connections of a link: several accounts, each with a label, and what can be done to one."""

import re
from collections.abc import Callable

import pytest

from applinks.models import Connection, Event, SignInSession, State
from applinks.services.events import APPLINKS
from applinks.wiring import Services
from tests.conftest import Clock
from tests.standin import StandIn, callback_path, json_answer
from tests.visitor import Visitor, text_of

CONNECTION = "/links/payroll/connections/default"


def events() -> list[str]:
    return [event.what for event in Event.select().order_by(Event.id)]


def test_it_connects_another_account(
    ada: Visitor, connect: Callable[..., None], provider: StandIn, link_id: str
) -> None:
    connect()
    url = ada.continue_url(ada.post("/links/payroll/connect-another", {"label": "sales-team"}))
    ada.get(callback_path(link_id, provider.consent(url)))
    assert {row.label for row in Connection.select()} == {"default", "sales-team"}


@pytest.mark.parametrize("label", ["", "default", "DEFAULT", "a b", "../x", "<b>", "x" * 61])
def test_it_refuses_a_label_that_is_none_or_taken(ada: Visitor, connect: Callable[..., None], label: str) -> None:
    connect()
    response = ada.post("/links/payroll/connect-another", {"label": label})
    assert response.status_code == 422
    assert 'id="label-error"' in response.text
    assert "<b>" not in response.text


def test_it_reconnects_the_same_row_and_keeps_its_history(connect: Callable[..., None]) -> None:
    connect()
    first = Connection.get()
    connect()
    again = Connection.get()
    assert (again.id, again.label) == (first.id, first.label)
    assert again.generation > first.generation
    lines = ["created", "connect begun", "connected", "connect begun", "reconnected"]
    assert [line for line in events() if not line.startswith("signed")] == lines


def test_it_forgets_the_old_refresh_token_when_a_new_consent_brings_none(
    connect: Callable[..., None], provider: StandIn
) -> None:
    connect()
    provider.answer(json_answer({"access_token": "CANARY-only", "token_type": "Bearer", "expires_in": 60}))
    connect()
    connection = Connection.get()
    assert not connection.refresh_token_enc
    assert connection.state == "expiring"


def test_it_disconnects_and_keeps_the_row(ada: Visitor, connect: Callable[..., None]) -> None:
    connect()
    assert ada.post(f"{CONNECTION}/disconnect").status_code == 303
    connection = Connection.get()
    assert connection.state == "disconnected"
    assert not connection.access_token_enc
    assert not connection.refresh_token_enc
    assert "Disconnected default by ada" in text_of(ada.get("/links/payroll"))


def test_it_removes_only_after_asking(ada: Visitor, connect: Callable[..., None]) -> None:
    connect()
    assert "Remove connection" in ada.get(f"{CONNECTION}/remove").text
    assert Connection.select().exists()
    ada.post(f"{CONNECTION}/remove")
    assert not Connection.select().exists()
    assert events()[-1] == "removed"


def test_it_refreshes_now(ada: Visitor, connect: Callable[..., None], provider: StandIn) -> None:
    connect()
    assert ada.post(f"{CONNECTION}/refresh").status_code == 303
    assert "The token was refreshed." in text_of(ada.get("/links/payroll"))
    assert len(provider.token_requests) == 2


def test_it_shows_the_providers_words_and_what_to_do(
    ada: Visitor, connect: Callable[..., None], provider: StandIn
) -> None:
    connect()
    provider.answer(json_answer({"error": "invalid_grant", "error_description": "Token <b>revoked</b>."}, 400))
    ada.post(f"{CONNECTION}/refresh")
    page = ada.get("/links/payroll")
    assert "Reconnect needed" in text_of(page)
    assert "invalid_grant: Token <b>revoked</b>." in text_of(page).replace("&lt;", "<")
    assert "<b>revoked" not in page.text


@pytest.mark.parametrize("action", ["refresh", "disconnect", "remove"])
def test_it_does_nothing_by_get_or_to_an_unknown_label(ada: Visitor, connect: Callable[..., None], action: str) -> None:
    connect()
    assert ada.post(f"/links/payroll/connections/nobody/{action}").status_code == 404
    if action != "remove":
        assert ada.get(f"{CONNECTION}/{action}").status_code == 405
    assert Connection.get().state == "connected"


def test_it_shows_scopes_that_differ_from_those_asked_for(
    ada: Visitor, connect: Callable[..., None], provider: StandIn
) -> None:
    """F7, A030: a different scope is shown, and the token is kept."""
    provider.answer(json_answer(provider.grant() | {"scope": "read admin"}))
    connect()
    assert "These differ from what was asked for." in text_of(ada.get("/links/payroll"))
    assert Connection.get().state == "connected"


def test_it_keeps_the_token_when_a_refresh_changes_the_scope(
    ada: Visitor, connect: Callable[..., None], provider: StandIn
) -> None:
    connect()
    provider.answer(json_answer(provider.grant() | {"scope": "other"}))
    ada.post(f"{CONNECTION}/refresh")
    ada.post(f"{CONNECTION}/refresh")
    assert Connection.get().state == "connected"
    assert provider.token_requests[-1].form["refresh_token"] == "CANARY-refresh-3"


@pytest.mark.parametrize("empty", [{"refresh_token": None}, {"refresh_token": ""}, {}])
def test_it_keeps_the_refresh_token_when_a_refresh_brings_none(
    ada: Visitor, connect: Callable[..., None], provider: StandIn, empty: dict[str, str | None]
) -> None:
    """F8, A070"""
    connect()
    provider.answer(json_answer({"access_token": "CANARY-x", "token_type": "Bearer", "expires_in": 60} | empty))
    ada.post(f"{CONNECTION}/refresh")
    ada.post(f"{CONNECTION}/refresh")
    used = [asked.form["refresh_token"] for asked in provider.token_requests[1:]]
    assert used[0] == used[1]


def test_it_polls_while_something_will_change(ada: Visitor, connect: Callable[..., None], provider: StandIn) -> None:
    provider.life = 120
    connect()
    fragment = ada.htmx("GET", CONNECTION).text
    assert re.search(r'data-hx-trigger="every \d+s"', fragment)
    assert "<html" not in fragment


def test_it_polls_no_longer_when_nothing_will_change(ada: Visitor, connect: Callable[..., None]) -> None:
    connect()
    ada.post(f"{CONNECTION}/disconnect")
    assert "data-hx-trigger" not in ada.htmx("GET", CONNECTION).text


def test_it_gives_the_fragment_to_htmx_only(ada: Visitor, connect: Callable[..., None]) -> None:
    """A132"""
    connect()
    page = text_of(ada.get(CONNECTION))
    assert "History" in page
    assert "Connected by ada" in page


def test_it_keeps_no_session_alive_by_polling(ada: Visitor, connect: Callable[..., None], clock: Clock) -> None:
    connect()
    for _ in range(7):
        clock.advance(600)
        last = ada.htmx("GET", CONNECTION)
    assert last.status_code == 401
    assert last.headers["HX-Redirect"] == "/sign-in"
    assert not SignInSession.select().exists()


def test_it_keeps_the_history_short_on_the_page(services: Services, link_id: str) -> None:
    for number in range(30):
        services.events.record(APPLINKS, f"event {number}", link_id)
    assert len(services.events.recent(link_id)) == 20


def test_it_counts_the_accounts_that_work_in_the_list(ada: Visitor, connect: Callable[..., None]) -> None:
    connect("sales")
    connect("support")
    ada.post("/links/payroll/connections/support/disconnect")
    said = text_of(ada.get("/links"))
    assert "support · 1 of 2 connected" in said
    assert "Open Payroll" in said


@pytest.mark.parametrize("state", [State.CHECK_SETTINGS, State.EXPIRING])
def test_it_looks_again_at_whatever_changes_by_itself(
    ada: Visitor, connect: Callable[..., None], clock: Clock, state: State
) -> None:
    connect()
    Connection.update(state=state, next_attempt_at=int(clock())).execute()
    assert 'data-hx-trigger="every 4s"' in ada.get("/links/payroll").text
