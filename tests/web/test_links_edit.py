"""Editing and deleting a link: a secret never goes where it wasn't typed for."""

from collections.abc import Callable

import pytest

from applinks.models import ApplicationLink, AuthorizationFlow, Connection, Event, OutgoingLink
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock, refresh_due, renew
from tests.standin import StandIn
from tests.visitor import Visitor, text_of


@pytest.fixture
def edit(ada: Visitor, link_form: dict[str, str], link_id: str) -> Callable[..., int]:
    """Save the edit form with some fields changed and the secret left empty; returns the status."""

    def save(**changed: str) -> int:
        version = str(ApplicationLink.get().version)
        return ada.post(
            "/links/payroll/edit", link_form | {"client_secret": "", "version": version} | changed
        ).status_code

    return save


def test_it_shows_what_is_stored_but_the_secret(ada: Visitor, link_id: str) -> None:
    page = ada.get("/links/payroll/edit")
    assert 'value="payroll-client"' in page.text
    assert "Leave it empty to keep it" in text_of(page)


@pytest.mark.parametrize("changed", [{"name": "Wages"}, {"scopes": "read"}])
def test_it_keeps_connections_over_a_harmless_edit(
    edit: Callable[..., int], connect: Callable[..., None], changed: dict[str, str]
) -> None:
    connect()
    assert edit(**changed) == 303
    assert Connection.get().state == "connected"
    assert ApplicationLink.get().slug == "payroll"


ELSEWHERE = [
    ("authorization_endpoint", "http://127.0.0.1:2/evil"),
    ("token_endpoint", "http://127.0.0.1:2/evil"),
    ("userinfo_endpoint", "http://127.0.0.1:2/evil"),
    ("client_id", "evil"),
]


@pytest.mark.parametrize(("field", "value"), ELSEWHERE)
def test_it_wants_the_secret_again_for_another_address(
    edit: Callable[..., int], connect: Callable[..., None], field: str, value: str
) -> None:
    """A096"""
    connect()
    before = OutgoingLink.get().differences
    assert edit(**{field: value}) == 422
    assert OutgoingLink.get().differences == before
    assert Connection.get().state == "connected"


@pytest.mark.parametrize(("field", "value"), ELSEWHERE)
def test_it_disconnects_when_the_address_changes(
    edit: Callable[..., int], connect: Callable[..., None], field: str, value: str
) -> None:
    connect()
    assert edit(**{field: value, "client_secret": CLIENT_SECRET}) == 303
    connection = Connection.get()
    assert connection.state == "disconnected"
    assert not connection.refresh_token_enc
    assert not connection.access_token_enc


def test_it_never_sends_an_old_token_to_a_new_address(
    edit: Callable[..., int],
    connect: Callable[..., None],
    provider: StandIn,
    services: Services,
    clock: Clock,
) -> None:
    connect()
    assert edit(token_endpoint=f"{provider.base_url}/evil", client_secret="CANARY-new") == 303
    clock.advance(3600)
    assert refresh_due(services) == 0
    assert not [asked for asked in provider.asked if asked.path == "/evil"]


def test_it_wants_the_secret_again_for_another_provider(edit: Callable[..., int]) -> None:
    assert edit(provider="google", revealed="google") == 422


def test_it_replaces_the_secret(
    edit: Callable[..., int], connect: Callable[..., None], ada: Visitor, services: Services
) -> None:
    before = OutgoingLink.get().client_secret_enc
    assert edit(client_secret="CANARY-new") == 303
    assert OutgoingLink.get().client_secret_enc != before


@pytest.mark.parametrize("version", ["0", "2", "", "x", "-1", "9" * 50, "1.0"])
def test_it_refuses_an_edit_of_an_older_version(edit: Callable[..., int], version: str) -> None:
    """A182"""
    assert edit(version=version, name="Wages") == 409
    assert ApplicationLink.get().name == "Payroll"


def test_it_loses_nothing_of_two_tabs(ada: Visitor, link_form: dict[str, str], link_id: str) -> None:
    """A182: the second to save is told, and still has what it typed."""
    first = link_form | {"client_secret": "", "version": "1", "name": "First"}
    assert ada.post("/links/payroll/edit", first).status_code == 303
    second = ada.post("/links/payroll/edit", first | {"name": "Second", "scopes": "typed"})
    assert second.status_code == 409
    assert 'value="Second"' in second.text
    assert "typed</textarea>" in second.text
    assert "Somebody else has changed this link" in text_of(second)
    assert ApplicationLink.get().name == "First"


@pytest.mark.parametrize(
    "extra",
    [{"id": "0" * 32}, {"slug": "evil"}, {"direction": "incoming"}, {"client_secret_enc": "x"}, {"link_id": "x"}],
)
def test_it_changes_no_more_than_its_fields(edit: Callable[..., int], link_id: str, extra: dict[str, str]) -> None:
    """A179"""
    sealed = OutgoingLink.get().client_secret_enc
    assert edit(name="Wages", **extra) == 303
    link = ApplicationLink.get()
    assert (link.id, link.slug, link.direction, link.version) == (link_id, "payroll", "outgoing", 2)
    assert OutgoingLink.get().client_secret_enc == sealed


def test_it_never_asks_a_new_address_when_the_secret_is_missing(
    edit: Callable[..., int], connect: Callable[..., None], ada: Visitor, provider: StandIn, services: Services
) -> None:
    connect()
    assert edit(token_endpoint=f"{provider.base_url}/evil") == 422
    assert renew(services) == "refreshed"
    assert provider.asked[-1].path == "/token"


def test_it_deletes_only_after_asking(ada: Visitor, connect: Callable[..., None], link_id: str) -> None:
    connect()
    page = ada.get("/links/payroll/delete")
    assert "Delete link" in page.text
    assert "ada@example.com" in page.text
    assert ApplicationLink.select().count() == 1
    assert ada.post("/links/payroll/delete").headers["Location"] == "/links"
    for table in (ApplicationLink, OutgoingLink, Connection, AuthorizationFlow):
        assert table.select().count() == 0, table
    deleted = Event.select().order_by(Event.id.desc()).get()
    assert (deleted.what, deleted.slug, deleted.actor) == ("deleted", "payroll", "ada")


@pytest.mark.parametrize("path", ["", "/edit", "/delete", "/connect-another"])
def test_it_knows_no_pages_of_an_unknown_link(ada: Visitor, path: str) -> None:
    assert ada.get(f"/links/nobody{path}").status_code == 404


@pytest.mark.parametrize("path", ["/edit", "/delete", "/connect", "/connections/default/remove"])
def test_it_does_nothing_to_an_unknown_link(ada: Visitor, path: str) -> None:
    assert ada.post(f"/links/nobody{path}").status_code == 404


def test_it_says_so_when_the_provider_is_unknown(ada: Visitor, link_id: str) -> None:
    OutgoingLink.update(provider="gone").execute()
    response = ada.get("/links/payroll")
    assert response.status_code == 400
    assert "knows no provider called gone" in text_of(response)
    assert "Payroll" in ada.get("/links").text


class TestAnIncomingLink:
    @pytest.fixture(autouse=True)
    def incoming(self, services: Services) -> None:
        services.incoming.add(
            "Reports",
            client_id="reports",
            client_secret_digest="0",
            redirect_uris="https://r.example/cb",
            scopes="profile",
            life=60,
        )

    def test_it_is_in_the_list_and_has_a_page(self, ada: Visitor) -> None:
        assert "Reports Incoming" in text_of(ada.get("/links")).replace("  ", " ")
        assert "https://r.example/cb" in ada.get("/links/reports").text

    def test_it_has_no_pages_of_an_outgoing_link(self, ada: Visitor) -> None:
        assert ada.get("/links/reports/connect-another").status_code == 404

    def test_it_cannot_be_connected(self, ada: Visitor) -> None:
        assert ada.post("/links/reports/connect").status_code == 404

    def test_it_can_be_deleted(self, ada: Visitor) -> None:
        assert "every token are deleted" in text_of(ada.get("/links/reports/delete"))
        ada.post("/links/reports/delete")
        assert not ApplicationLink.select().exists()
