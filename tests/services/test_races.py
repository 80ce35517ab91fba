"""Somebody edits while something is under way: nothing old goes to a new place, and nothing new is bound to an old one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from applinks.errors import ConflictError
from applinks.models import Connection, OutgoingLink, State
from applinks.oauth.registration import ClientRegistration
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.standin import StandIn, callback_path, json_answer
from tests.visitor import Visitor, text_of

Edit = Callable[..., None]


@pytest.fixture
def elsewhere() -> Iterator[StandIn]:
    """Another provider, which the link is led to meanwhile."""
    provider = StandIn()
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def edit(ada: Visitor, link_form: dict[str, str], services: Services) -> Edit:
    def change(**fields: str) -> None:
        version = str(services.links.find("payroll").version)
        saved = ada.post(
            "/links/payroll/edit", link_form | {"client_secret": "CANARY-new", "version": version} | fields
        )
        assert saved.status_code == 303, text_of(saved)

    return change


class Meanwhile:
    """The links as they are, but that something happens before or after the refresher reads one."""

    def __init__(self, links: Any, happens: Callable[[], None], *, before: bool) -> None:
        self._links, self._happens, self._before = links, happens, before

    def outgoing_or_none_by_id(self, link_id: str) -> object:
        if self._before:
            self._happens()
        found = self._links.outgoing_or_none_by_id(link_id)
        if not self._before:
            self._happens()
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._links, name)


@pytest.mark.parametrize("before", [True, False])
def test_it_shows_no_old_refresh_token_to_a_new_endpoint(
    connect: Callable[[], None],
    services: Services,
    edit: Edit,
    provider: StandIn,
    elsewhere: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
) -> None:
    """A096, I6"""
    connect()
    asked = len(provider.token_requests)
    meanwhile = Meanwhile(services.links, lambda: edit(token_endpoint=f"{elsewhere.base_url}/token"), before=before)
    monkeypatch.setattr(services.renewal, "_links", meanwhile)
    assert services.renewal.renew(Connection.get()) == Outcome.CLAIMED
    assert not elsewhere.asked
    assert len(provider.token_requests) == asked


def test_it_binds_no_new_secret_to_an_endpoint_that_its_author_never_saw(
    link_id: str, services: Services, edit: Edit, elsewhere: StandIn
) -> None:
    """A096, A182: an edit is compared with the link that its form showed, however late it comes."""
    edit(token_endpoint=f"{elsewhere.base_url}/token", client_secret="CANARY-dummy")
    read_early = services.links.outgoing("payroll")
    edit(client_secret="CANARY-real")
    late = ClientRegistration(
        "Payroll", read_early.provider, read_early.profile, read_early.differences, "payroll-client", None, "read"
    )
    with pytest.raises(ConflictError):
        services.links.update(read_early, late, version=3, actor="eve")
    assert elsewhere.base_url not in services.links.outgoing("payroll").profile.token_endpoint


@pytest.mark.parametrize("field", ["userinfo_endpoint", "revocation_endpoint", "issuer", "token_endpoint"])
def test_it_uses_no_answer_once_somebody_else_would_see_its_token(
    ada: Visitor, link_id: str, edit: Edit, provider: StandIn, elsewhere: StandIn, field: str
) -> None:
    """A012"""
    url = ada.continue_url(ada.post("/links/payroll/connect"))
    edit(**{field: f"{elsewhere.base_url}/x"})
    back = ada.get(callback_path(link_id, provider.consent(url)))
    assert "settings were changed" in text_of(back)
    assert not elsewhere.asked
    assert not provider.token_requests


def test_it_uses_no_answer_once_the_grant_type_is_another(
    ada: Visitor, link_id: str, edit: Edit, provider: StandIn
) -> None:
    url = ada.continue_url(ada.post("/links/payroll/connect"))
    edit(grant_type="client_credentials")
    assert Connection.get().state == State.CONNECTED
    token = Connection.get().access_token_enc
    back = ada.get(callback_path(link_id, provider.consent(url)))
    assert back.status_code == 400
    assert Connection.get().access_token_enc == token


def test_it_connects_no_account_to_a_link_that_has_none(ada: Visitor, link_id: str, edit: Edit) -> None:
    edit(grant_type="client_credentials")
    refused = ada.post("/links/payroll/connect-another", {"label": "second"})
    assert refused.status_code == 400
    assert "it has no accounts" in text_of(refused)
    assert Connection.select().count() == 1


def test_it_remembers_nothing_for_what_was_changed_meanwhile(
    ada: Visitor, link_id: str, edit: Edit, provider: StandIn, elsewhere: StandIn
) -> None:
    edit(client_authentication="detect")
    url = ada.continue_url(ada.post("/links/payroll/connect"))

    def slow(request: Request) -> Response:
        edit(client_authentication="detect", token_endpoint=f"{elsewhere.base_url}/token")
        return json_answer(provider.grant())(request)

    provider.answer(slow)
    assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 400
    assert OutgoingLink.get().found_authentication == ""
