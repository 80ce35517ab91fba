"""A link whose provider is on a host of one's own: its form, its page, its edit."""

import pytest

from applinks.crypto import new_id
from tests.conftest import CLIENT_SECRET
from tests.visitor import Visitor, text_of


@pytest.mark.parametrize(
    ("host", "says"),
    [("10.1.2.3", "APPLINKS_ALLOWED_NETWORKS"), ("169.254.169.254", "never calls"), ("a/b", "the host's name alone")],
)
def test_it_says_at_the_host_what_is_wrong_with_it(ada: Visitor, host: str, says: str) -> None:
    form = {"name": "Payroll", "provider": "keycloak", "revealed": "keycloak", "client_id": "a", "scopes": ""}
    path = f"/links/new/outgoing/{new_id()}"
    page = ada.post(path, form | {"client_secret": CLIENT_SECRET, "host": host, "realm": "staff"})
    assert page.status_code == 422
    assert says in text_of(page)


def test_it_shows_where_a_link_is_and_keeps_it_when_it_is_edited(ada: Visitor) -> None:
    form = {"name": "Payroll", "provider": "keycloak", "revealed": "keycloak", "client_id": "a", "scopes": "openid"}
    form |= {"client_secret": CLIENT_SECRET, "host": "ID.corp.example", "realm": "Staff", "path": "/auth/"}
    assert ada.post(f"/links/new/outgoing/{new_id()}", form).status_code == 303
    page = text_of(ada.get("/links/payroll"))
    assert "https://id.corp.example/auth/realms/Staff/protocol/openid-connect/token" in page
    edit = ada.get("/links/payroll/edit").text
    assert 'value="Staff"' in edit
    assert 'value="id.corp.example"' in edit


def test_it_disconnects_nothing_to_another_host_without_the_secret(ada: Visitor) -> None:
    form = {"name": "Payroll", "provider": "gitlab", "revealed": "gitlab", "client_id": "a", "scopes": "openid"}
    form |= {"client_secret": CLIENT_SECRET, "host": "", "path": ""}
    assert ada.post(f"/links/new/outgoing/{new_id()}", form).status_code == 303
    elsewhere = form | {"client_secret": "", "host": "gitlab.evil.example", "version": "1"}
    page = ada.post("/links/payroll/edit", elsewhere)
    assert page.status_code == 422
    assert "type the client secret again" in text_of(page)
