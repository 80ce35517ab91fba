"""What happens while something else is under way: who comes second changes nothing, and nothing old goes to a new place."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from applinks.errors import ConflictError
from applinks.models import Connection, OutgoingLink, State, database
from applinks.oauth.registration import ClientRegistration
from applinks.services.renewal import Outcome
from applinks.wiring import Services
from tests.conftest import ADA, Clock, due_in, refresh_due, renew
from tests.standin import Answer, StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor, text_of

Connect = Callable[..., None]
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
    assert renew(services) == Outcome.CLAIMED
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
        services.links.update(read_early, late, version=3, actor=ADA)
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


def test_it_asks_once_however_many_refresh_at_once(connect: Connect, provider: StandIn, services: Services) -> None:
    """A057"""
    connect()
    connection, together = Connection.get(), threading.Barrier(8)

    def refresh(_: int) -> Outcome:
        try:
            together.wait(30)
            return services.renewal.renew(connection)
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(refresh, range(8)))
    assert outcomes.count(Outcome.REFRESHED) == 1
    assert outcomes.count(Outcome.CLAIMED) == 7
    assert len(provider.token_requests) == 2


def delayed(act: Callable[[], object], answer: Answer) -> Answer:
    """An answer that comes after something else has happened."""

    def respond(request: Request) -> Response:
        act()
        database.close()
        return answer(request)

    return respond


def test_it_lets_a_new_consent_win(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_id: str
) -> None:
    connect()
    late = json_answer(provider.grant() | {"access_token": "CANARY-late"})
    provider.answer(delayed(connect, late))
    assert renew(services) == Outcome.OVERTAKEN
    assert renew(services) == Outcome.REFRESHED


AWAY = raw_answer("", 503)
LATE = json_answer({"access_token": "CANARY-x", "token_type": "Bearer"})


@pytest.mark.parametrize("answer", [json_answer({"error": "invalid_grant"}, 400), AWAY, LATE])
@pytest.mark.parametrize("action", ["disconnect", "remove"])
def test_it_brings_nothing_back(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, action: str, answer: Answer
) -> None:
    """What was disconnected, removed or deleted during the request stays so."""
    connect()
    provider.answer(delayed(lambda: ada.post(f"/links/payroll/connections/default/{action}"), answer))
    assert renew(services) == Outcome.OVERTAKEN
    assert [row.state for row in Connection.select()] == ([State.DISCONNECTED] if action == "disconnect" else [])


def test_it_survives_the_deletion_of_the_link(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services
) -> None:
    connect()
    provider.answer(delayed(lambda: ada.post("/links/payroll/delete"), json_answer(provider.grant())))
    assert renew(services) == Outcome.OVERTAKEN
    assert not Connection.select().exists()


@pytest.mark.parametrize("answer", [json_answer({"error": "invalid_grant"}, 400), AWAY, LATE])
def test_it_lets_a_changed_address_win(
    ada: Visitor,
    connect: Connect,
    provider: StandIn,
    services: Services,
    clock: Clock,
    link_form: dict[str, str],
    answer: Answer,
) -> None:
    connect()
    changed = link_form | {"token_endpoint": f"{provider.base_url}/other", "version": "1"}
    provider.answer(delayed(lambda: ada.post("/links/payroll/edit", changed), answer))
    assert renew(services) == Outcome.OVERTAKEN
    connection = Connection.get()
    assert connection.state == State.DISCONNECTED
    assert not connection.refresh_token_enc
    clock.advance(86_400)
    assert refresh_due(services) == 0


def test_it_tries_a_secret_at_once_that_came_while_the_old_one_was_refused(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services, link_form: dict[str, str], clock: Clock
) -> None:
    connect()
    fresh = link_form | {"client_secret": "CANARY-fresh", "version": "1"}
    refusal = json_answer({"error": "invalid_client"}, 401)
    provider.answer(delayed(lambda: ada.post("/links/payroll/edit", fresh), refusal))
    assert renew(services) == Outcome.REFUSED
    assert due_in(services, clock) == 0
    assert refresh_due(services) == 1
    assert Connection.get().state == State.CONNECTED


def test_it_holds_no_transaction_while_it_waits(
    ada: Visitor, connect: Connect, provider: StandIn, services: Services
) -> None:
    """A059"""
    connect()
    answer = json_answer(provider.grant())
    provider.answer(delayed(lambda: ada.post("/settings/appearance", {"appearance": "dark"}), answer))
    assert renew(services) == Outcome.REFRESHED
