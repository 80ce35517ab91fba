"""A Custom link against an authorization server that nobody here wrote: Authlib's, on loopback."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from werkzeug.test import TestResponse

from applinks.crypto import new_id
from applinks.models import Connection, State
from applinks.services.refresher import Outcome
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock
from tests.thirdparty.authlib_server import LIFE, ThirdParty
from tests.visitor import Visitor, text_of


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThirdParty]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    third = ThirdParty(CLIENT_SECRET)
    third.start()
    yield third
    third.stop()


def create(ada: Visitor, third: ThirdParty, **changed: str) -> str:
    link_id = new_id()
    form = {
        "name": "Third",
        "provider": "custom",
        "revealed": "custom",
        "client_id": "payroll-client",
        "scopes": "read write",
    }
    endpoints = {
        f"{name}_endpoint": f"{third.base_url}/{path}"
        for name, path in (("authorization", "authorize"), ("token", "token"), ("userinfo", "userinfo"))
    }
    saved = ada.post(f"/links/new/outgoing/{link_id}", form | endpoints | {"client_secret": CLIENT_SECRET} | changed)
    assert saved.status_code == 303, saved.text
    third.client.redirect_uri = f"http://127.0.0.1:5000/oauth/callback/{link_id}"
    return link_id


def dance(ada: Visitor) -> TestResponse:
    """Connect, decide at the third party's page, and come back with what it says."""
    url = ada.continue_url(ada.post("/links/third/connect"))
    with requests.Session() as browser:
        browser.trust_env = False
        back = browser.get(url, allow_redirects=False, timeout=10)
    assert back.status_code == 302, back.text
    parts = urlsplit(back.headers["Location"])
    return ada.get(f"{parts.path}?{parts.query}")


def test_it_connects_and_keeps_refreshing(ada: Visitor, third: ThirdParty, services: Services, clock: Clock) -> None:
    create(ada, third)
    assert dance(ada).status_code == 303
    connection = Connection.get()
    assert (connection.state, connection.account) == (State.CONNECTED, "ada@third.example")
    assert connection.scopes_granted == "read write"
    assert connection.expires_at == int(clock()) + LIFE
    for number in range(3):
        clock.advance(LIFE)
        assert services.refresher.refresh_due() == 1
        assert Connection.get().refreshed_at == int(clock()), number
    assert len(third.tokens) == 4
    assert [token.revoked for token in third.tokens] == [True, True, True, False]


def test_it_says_so_when_consent_is_denied(ada: Visitor, third: ThirdParty) -> None:
    create(ada, third)
    third.allow = False
    response = dance(ada)
    assert response.status_code == 400
    assert "Access was denied" in text_of(response)
    assert not third.tokens


def test_it_says_so_when_the_secret_is_wrong(ada: Visitor, third: ThirdParty) -> None:
    create(ada, third, client_secret="CANARY-wrong")
    response = dance(ada)
    assert response.status_code == 400
    assert "refused the client ID or the client secret" in text_of(response)
    assert not Connection.select().exists()


def test_it_asks_to_reconnect_when_the_grant_was_revoked(ada: Visitor, third: ThirdParty, services: Services) -> None:
    create(ada, third)
    dance(ada)
    third.revoke_everything()
    assert services.refresher.refresh(Connection.get()) == Outcome.REFUSED
    assert "Reconnect needed" in text_of(ada.get("/links/third"))
    assert dance(ada).status_code == 303
    assert Connection.get().state == State.CONNECTED
