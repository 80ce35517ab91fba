"""The ways in which a client authenticates (RFC 6749 §2.3), at authorization servers that nobody here wrote."""

from collections.abc import Callable

import pytest

from applinks.models import Connection, State
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due
from tests.thirdparty.browser import come_back, press_connect, save_link
from tests.thirdparty.third_party import CLIENTS, LIFE, LINK_ID, ThirdParty
from tests.visitor import Visitor, text_of


@pytest.mark.parametrize("method", CLIENTS)
def test_it_connects_refreshes_and_revokes(
    method: str, ada: Visitor, third: ThirdParty, stored: Callable[[str], str]
) -> None:
    save_link(ada, third.link(method), LINK_ID)
    before = len(third.asked())
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert ada.post("/links/third/connections/default/refresh").status_code == 303
    assert Connection.get().state == State.CONNECTED
    assert third.asked()[before:] == [method, method]
    refresh_token = stored("refresh_token")
    assert third.active(refresh_token)
    assert ada.post("/links/third/connections/default/disconnect").status_code == 303
    assert not third.active(refresh_token)


def test_it_refreshes_in_another_way_than_it_exchanges(ada: Visitor, django_server: ThirdParty) -> None:
    save_link(ada, django_server.link(refresh_client_authentication="client_secret_post"), LINK_ID)
    before = len(django_server.asked())
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert ada.post("/links/third/connections/default/refresh").status_code == 303
    assert Connection.get().state == State.CONNECTED
    assert django_server.asked()[before:] == ["client_secret_basic", "client_secret_post"]


def test_it_detects_that_only_the_body_will_do(
    ada: Visitor, authlib_server: ThirdParty, stored: Callable[[str], str]
) -> None:
    """The metadata name Basic, too, but this client may not use it."""
    form = authlib_server.link("client_secret_post", client_authentication="detect")
    save_link(ada, form, LINK_ID)
    before = len(authlib_server.asked())
    assert come_back(ada, press_connect(ada)).status_code == 303
    tried = authlib_server.asked()[before:]
    assert tried == ["client_secret_basic", "client_secret_post"]
    assert ada.post("/links/third/connections/default/refresh").status_code == 303
    assert Connection.get().state == State.CONNECTED
    assert authlib_server.asked()[before:] == [*tried, "client_secret_post"], "it was forgotten"
    refresh_token = stored("refresh_token")
    assert ada.post("/links/third/connections/default/disconnect").status_code == 303
    assert not authlib_server.active(refresh_token)


def test_it_detects_nothing_with_a_wrong_secret(ada: Visitor, authlib_server: ThirdParty) -> None:
    """So the right one is tried in every way again."""
    every_way = ["client_secret_basic", "client_secret_post"]
    form = authlib_server.link("client_secret_post", client_authentication="detect")
    save_link(ada, form | {"client_secret": "CANARY-wrong"}, LINK_ID)
    before = len(authlib_server.asked())
    assert "refused the client ID or the client secret" in text_of(come_back(ada, press_connect(ada)))
    assert authlib_server.asked()[before:] == every_way
    assert ada.post("/links/third/edit", form | {"version": "1"}).status_code == 303
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert authlib_server.asked()[before:] == every_way * 2


def test_it_detects_basic(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.link(client_authentication="detect"), LINK_ID)
    before = len(third.asked())
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert third.asked()[before:] == ["client_secret_basic"]


def test_it_connects_at_once_with_client_credentials(
    ada: Visitor, third: ThirdParty, services: Services, stored: Callable[[str], str], clock: Clock
) -> None:
    """RFC 6749 §4.4: no account, no consent, no refresh token, but a new token when the old one ends."""
    save_link(ada, third.machine_link(), LINK_ID)
    connection = Connection.get()
    assert (connection.state, connection.account, connection.scopes_granted) == (State.CONNECTED, "", "read")
    first = stored("access_token")
    assert third.active(first)
    clock.advance(LIFE)
    assert refresh_due(services) == 1
    connection = Connection.get()
    assert (connection.state, connection.expires_at) == (State.CONNECTED, int(clock()) + LIFE)
    second = stored("access_token")
    assert second != first
    assert third.active(second)
    assert ada.post("/links/third/connections/default/disconnect").status_code == 303
    assert not third.active(second)


def test_it_says_so_when_client_credentials_are_wrong(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.machine_link(client_secret="CANARY-wrong"), LINK_ID)
    page = text_of(ada.get("/links/third"))
    assert "refused the client ID or the client secret" in page
    assert "invalid_client" in page
    assert not Connection.select().exists()
