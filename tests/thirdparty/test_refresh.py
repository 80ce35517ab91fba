"""Keeping a grant alive at authorization servers that nobody here wrote, until they take it back."""

from collections.abc import Callable

import pytest

from applinks.models import Connection, State
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due
from tests.thirdparty.browser import come_back, press_connect, save_link
from tests.thirdparty.third_party import LIFE, LINK_ID, ThirdParty
from tests.visitor import Visitor, text_of


@pytest.fixture
def connected(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.link(), LINK_ID)
    assert come_back(ada, press_connect(ada)).status_code == 303


@pytest.mark.usefixtures("connected")
def test_it_keeps_refreshing(third: ThirdParty, services: Services, stored: Callable[[str], str], clock: Clock) -> None:
    """All three rotate: a refresh token that was used is dead, and its successor is what we keep."""
    for _ in range(3):
        used = stored("refresh_token")
        assert third.active(used)
        clock.advance(LIFE)
        assert refresh_due(services) == 1
        connection = Connection.get()
        assert (connection.state, connection.refreshed_at) == (State.CONNECTED, int(clock()))
        assert connection.expires_at == int(clock()) + LIFE
        assert set(connection.scopes_granted.split()) == set(third.scopes.split())
        assert not third.active(used)
    assert third.active(stored("refresh_token"))


@pytest.mark.usefixtures("connected")
def test_it_asks_to_reconnect_when_the_grant_was_revoked(
    ada: Visitor, third: ThirdParty, stored: Callable[[str], str]
) -> None:
    third.revoke(stored("refresh_token"))
    assert ada.post("/links/third/connections/default/refresh").status_code == 303
    assert Connection.get().state == State.RECONNECT_NEEDED
    page = text_of(ada.get("/links/third"))
    assert "Reconnect needed" in page
    assert "invalid_grant" in page
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert Connection.get().state == State.CONNECTED
    assert third.active(stored("refresh_token"))


def test_it_asks_for_no_scope_that_was_not_granted(ada: Visitor, authlib_server: ThirdParty) -> None:
    """RFC 6749 §6: a refresh may ask for what was granted, not for all that was asked for at first."""
    save_link(ada, authlib_server.link(scopes="read write admin", scope_on_refresh="yes"), LINK_ID)
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert ada.post("/links/third/connections/default/refresh").status_code == 303
    assert Connection.get().state == State.CONNECTED
