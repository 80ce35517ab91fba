"""Giving a grant back at authorization servers that nobody here wrote (RFC 7009): they say that its tokens are dead."""

from collections.abc import Callable

import pytest

from applinks.models import Connection, State
from tests.thirdparty.browser import come_back, press_connect, save_link
from tests.thirdparty.third_party import LINK_ID, ThirdParty
from tests.visitor import Visitor, text_of


@pytest.fixture(autouse=True)
def connected(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.link(), LINK_ID)
    assert come_back(ada, press_connect(ada)).status_code == 303


@pytest.mark.parametrize("press", ["connections/default/disconnect", "connections/default/remove", "delete"])
def test_it_ends_the_grant(press: str, ada: Visitor, third: ThirdParty, stored: Callable[[str], str]) -> None:
    refresh_token, access_token = stored("refresh_token"), stored("access_token")
    assert third.active(refresh_token)
    assert third.active(access_token)
    response = ada.post(f"/links/third/{press}")
    assert response.status_code == 303
    assert "The provider has ended the grant, too." in text_of(ada.get(response.location))
    assert not third.active(refresh_token)
    assert not third.active(access_token)


def test_it_disconnects_what_was_revoked_before(ada: Visitor, third: ThirdParty, stored: Callable[[str], str]) -> None:
    """An unknown token is no error to a revocation endpoint (RFC 7009 §2.2)."""
    third.revoke(stored("refresh_token"))
    response = ada.post("/links/third/connections/default/disconnect")
    assert "The provider has ended the grant, too." in text_of(ada.get(response.location))
    assert Connection.get().state == State.DISCONNECTED
