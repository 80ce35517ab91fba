"""Connecting an account at authorization servers that nobody here wrote, and being refused there."""

from collections.abc import Callable

from applinks.crypto import KeyRing, Place, new_token
from applinks.models import AuthorizationFlow, Connection, State
from tests.conftest import Clock
from tests.thirdparty.browser import come_back, press_connect, save_link
from tests.thirdparty.third_party import LIFE, LINK_ID, ThirdParty
from tests.visitor import Visitor, text_of


def test_it_connects(ada: Visitor, third: ThirdParty, stored: Callable[[str], str], clock: Clock) -> None:
    save_link(ada, third.link(), LINK_ID)
    assert come_back(ada, press_connect(ada)).status_code == 303
    connection = Connection.get()
    assert (connection.state, connection.account) == (State.CONNECTED, third.account)
    assert set(connection.scopes_granted.split()) == set(third.scopes.split())
    assert connection.expires_at == int(clock()) + LIFE
    assert third.active(stored("refresh_token"))
    page = text_of(ada.get("/links/third"))
    assert "Connected" in page
    assert third.account in page


def test_it_says_so_when_consent_is_denied(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.link(), LINK_ID)
    before = third.asked()
    response = come_back(ada, press_connect(ada), allow=False)
    assert response.status_code == 400
    assert "Access was denied" in text_of(response)
    assert third.asked() == before
    assert not Connection.select().exists()


def test_it_says_so_when_the_secret_is_wrong(ada: Visitor, third: ThirdParty) -> None:
    save_link(ada, third.link(client_secret="CANARY-wrong"), LINK_ID)
    response = come_back(ada, press_connect(ada))
    assert response.status_code == 400
    assert "refused the client ID or the client secret" in text_of(response)
    assert not Connection.select().exists()


def test_it_is_refused_with_another_verifier(ada: Visitor, third: ThirdParty, keys: KeyRing) -> None:
    """The server checks PKCE, so what is stored is what counts (RFC 7636 §4.6)."""
    save_link(ada, third.link(), LINK_ID)
    url = press_connect(ada)
    flow = AuthorizationFlow.get()
    flow.code_verifier_enc = keys.seal(new_token(), Place("authorization_flow", flow.state_digest, "code_verifier"))
    flow.save()
    response = come_back(ada, url)
    assert response.status_code == 400
    assert "invalid_grant" in text_of(response)
    assert not Connection.select().exists()


def test_it_uses_no_code_of_another_issuer(ada: Visitor, third: ThirdParty) -> None:
    """RFC 9207: all three say who they are."""
    save_link(ada, third.link(issuer=f"{third.base_url}/"), LINK_ID)
    before = third.asked()
    assert come_back(ada, press_connect(ada)).status_code == 400
    assert third.asked() == before
    assert not Connection.select().exists()


def test_it_keeps_the_scopes_that_were_granted(ada: Visitor, authlib_server: ThirdParty) -> None:
    """This server leaves out what the client may not have (RFC 6749 §3.3)."""
    save_link(ada, authlib_server.link(scopes="read write admin"), LINK_ID)
    assert come_back(ada, press_connect(ada)).status_code == 303
    assert Connection.get().scopes_granted == "read write"


def test_it_says_so_when_a_scope_is_refused(ada: Visitor, django_server: ThirdParty) -> None:
    """This server gives nothing at all then."""
    save_link(ada, django_server.link(scopes="read write admin"), LINK_ID)
    response = come_back(ada, press_connect(ada))
    assert response.status_code == 400
    assert "invalid_scope" in text_of(response)
