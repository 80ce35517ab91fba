"""A next client secret: it waits, and takes the current one's place when the provider refuses that."""

from base64 import b64decode
from collections.abc import Callable

import pytest
from peewee import OperationalError

from applinks.models import ApplicationLink, Connection, Event, OutgoingLink, State
from applinks.services.renewal import Outcome
from applinks.services.vault import Vault
from applinks.wiring import Services
from tests.conftest import CLIENT_SECRET, Clock, renew
from tests.standin import Asked, StandIn, json_answer
from tests.visitor import Visitor, text_of

NEXT = "CANARY-next-secret"
REFUSED = json_answer({"error": "invalid_client"}, 401)
ENDED = json_answer({"error": "invalid_grant"}, 400)


def shown(provider: StandIn) -> list[str | None]:
    """The client secret of every token request."""
    return [asked.form.get("client_secret") or in_header(asked) for asked in provider.token_requests]


def in_header(asked: Asked) -> str:
    return b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")[2]


def store(ada: Visitor, secret: str = NEXT, ends: str = "") -> None:
    form = {"client_secret": secret, "client_secret_ends": ends, "version": str(ApplicationLink.get().version)}
    kept = ada.post("/links/payroll/next-secret", form)
    assert kept.status_code == 303, text_of(kept)


def what() -> list[str]:
    return [event.what for event in Event.select().order_by(Event.id)]


@pytest.fixture
def waiting(ada: Visitor, connect: Callable[..., None], provider: StandIn) -> None:
    """A connected link with a next client secret."""
    connect()
    store(ada, ends="2031-05-06")
    provider.asked.clear()


def test_it_takes_the_next_secret_when_the_current_one_is_refused(
    ada: Visitor, provider: StandIn, services: Services, waiting: None
) -> None:
    provider.answer(REFUSED)
    assert renew(services) is Outcome.REFRESHED
    assert shown(provider) == [CLIENT_SECRET, NEXT]
    assert renew(services) is Outcome.REFRESHED
    assert shown(provider)[2:] == [NEXT]
    page = text_of(ada.get("/links/payroll"))
    assert "ends on 6 May 2031" in page
    assert "waiting since" not in page
    assert "The provider refused the client secret, and took the next one." in page
    assert what().count("secret rotated") == 1


def test_it_leaves_the_current_secret_alone_while_it_works(
    ada: Visitor, provider: StandIn, services: Services, waiting: None
) -> None:
    assert renew(services) is Outcome.REFRESHED
    assert shown(provider) == [CLIENT_SECRET]
    assert "A next one has been waiting since" in text_of(ada.get("/links/payroll"))


def test_it_keeps_both_where_both_are_refused(
    ada: Visitor, provider: StandIn, services: Services, waiting: None
) -> None:
    provider.answer(REFUSED, REFUSED)
    assert renew(services) is Outcome.REFUSED
    assert Connection.get().state == State.CHECK_SETTINGS
    assert shown(provider) == [CLIENT_SECRET, NEXT]
    assert "secret rotated" not in what()
    provider.answer(REFUSED)
    assert renew(services) is Outcome.REFRESHED


@pytest.mark.parametrize(
    "answer",
    [ENDED, json_answer({"error": "invalid_scope"}, 400), json_answer({"error": "server_error"}, 503)],
    ids=["grant", "scope", "away"],
)
def test_it_doesnt_show_the_next_secret_where_something_else_was_refused(
    provider: StandIn, services: Services, waiting: None, answer: object
) -> None:
    provider.answer(answer)  # type: ignore[arg-type]
    assert renew(services) is not Outcome.REFRESHED
    assert shown(provider) == [CLIENT_SECRET]


def test_it_doesnt_take_a_secret_of_which_nothing_is_known(
    provider: StandIn, services: Services, waiting: None
) -> None:
    provider.answer(REFUSED, json_answer({}, 503))
    assert renew(services) is Outcome.REFUSED
    assert OutgoingLink.get().next_client_secret_enc
    assert "secret rotated" not in what()


def test_it_takes_a_secret_that_is_right_though_the_grant_has_ended(
    provider: StandIn, services: Services, waiting: None
) -> None:
    provider.answer(REFUSED, ENDED)
    assert renew(services) is Outcome.REFUSED
    assert Connection.get().state == State.RECONNECT_NEEDED
    assert "secret rotated" in what()


def test_it_connects_an_account_with_the_next_secret(
    ada: Visitor, provider: StandIn, link_id: str, connect: Callable[..., None]
) -> None:
    store(ada)
    provider.answer(REFUSED)
    connect()
    assert shown(provider) == [CLIENT_SECRET, NEXT]
    assert Connection.get().state == State.CONNECTED


def test_it_finds_out_the_method_with_the_next_secret_too(
    ada: Visitor, provider: StandIn, link_form: dict[str, str], connect: Callable[..., None], services: Services
) -> None:
    connect()
    version = {"version": "1", "client_authentication": "detect"}
    assert ada.post("/links/payroll/edit", link_form | version).status_code == 303
    store(ada)
    provider.asked.clear()
    provider.answer(REFUSED, REFUSED, REFUSED)
    assert renew(services) is Outcome.REFRESHED
    assert shown(provider) == [CLIENT_SECRET, CLIENT_SECRET, NEXT, NEXT]


def test_it_tries_what_had_failed_as_soon_as_a_next_secret_is_there(
    ada: Visitor, provider: StandIn, services: Services, connect: Callable[..., None], clock: Clock
) -> None:
    connect()
    provider.answer(REFUSED)
    renew(services)
    assert Connection.get().next_attempt_at > clock()
    store(ada)
    assert Connection.get().next_attempt_at == clock()


def test_it_forgets_the_next_secret_when_the_link_leads_elsewhere(
    ada: Visitor, provider: StandIn, services: Services, link_form: dict[str, str], waiting: None
) -> None:
    moved = link_form | {"version": "1", "token_endpoint": f"{provider.base_url}/elsewhere"}
    assert ada.post("/links/payroll/edit", moved).status_code == 303
    assert OutgoingLink.get().next_client_secret_enc == ""


def test_it_refuses_an_edit_that_was_begun_before_the_secret_was_taken(
    ada: Visitor, provider: StandIn, services: Services, link_form: dict[str, str], waiting: None
) -> None:
    provider.answer(REFUSED)
    renew(services)
    late = ada.post("/links/payroll/edit", link_form | {"version": "1", "client_secret": ""})
    assert late.status_code == 409
    assert OutgoingLink.get().client_secret_ends_at is not None


def test_it_forgets_the_next_secret_when_told_to(ada: Visitor, waiting: None) -> None:
    for _ in range(2):
        assert ada.post("/links/payroll/next-secret/drop").status_code == 303
    assert OutgoingLink.get().next_client_secret_enc == ""
    assert what().count("next secret dropped") == 1


@pytest.mark.parametrize(
    ("secret", "ends", "says"),
    [
        ("", "", "Fill in the client secret"),
        (CLIENT_SECRET, "", "This is the client secret that the link has now."),
        ("ungültig", "", "printable characters without accents"),
        ("x" * 4097, "", "at most 4096"),
        (NEXT, "soon", "Write a day as year-month-day"),
    ],
)
def test_it_refuses_what_cant_be_a_next_secret(ada: Visitor, link_id: str, secret: str, ends: str, says: str) -> None:
    page = ada.post("/links/payroll/next-secret", {"client_secret": secret, "client_secret_ends": ends, "version": "1"})
    assert page.status_code == 422
    assert says in text_of(page)
    assert secret == "" or f'value="{secret}"' not in page.text
    assert OutgoingLink.get().next_client_secret_enc == ""


def test_it_has_no_next_secret_for_a_public_client(ada: Visitor, link_form: dict[str, str], link_id: str) -> None:
    public = link_form | {"version": "1", "client_authentication": "none"}
    assert ada.post("/links/payroll/edit", public).status_code == 303
    assert "This link has no client secret" in text_of(ada.get("/links/payroll/next-secret"))
    assert ada.post("/links/payroll/next-secret", {"client_secret": NEXT, "version": "2"}).status_code == 422


def test_it_has_no_such_page_for_an_incoming_link_or_none(ada: Visitor) -> None:
    assert ada.get("/links/nothing/next-secret").status_code == 404
    assert ada.post("/links/nothing/next-secret", {"client_secret": NEXT}).status_code == 404


def test_it_stores_no_secret_for_a_link_that_leads_elsewhere_since(
    ada: Visitor, link_form: dict[str, str], link_id: str
) -> None:
    assert ada.post("/links/payroll/edit", link_form | {"version": "1", "client_id": "other"}).status_code == 303
    late = ada.post("/links/payroll/next-secret", {"client_secret": NEXT, "version": "1"})
    assert late.status_code == 409
    assert "Somebody else has changed this link" in text_of(late)
    assert OutgoingLink.get().next_client_secret_enc == ""


def test_it_loses_no_grant_where_the_secret_cant_be_stored(
    provider: StandIn, services: Services, waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise OperationalError("database is locked")

    monkeypatch.setattr(Vault, "seal_client_secret", refuse)
    before = Connection.get()
    provider.answer(REFUSED)
    assert renew(services) is Outcome.REFRESHED
    assert Connection.get().refresh_token_enc != before.refresh_token_enc
    assert OutgoingLink.get().next_client_secret_enc
    monkeypatch.undo()
    provider.answer(REFUSED)
    assert renew(services) is Outcome.REFRESHED
    assert OutgoingLink.get().next_client_secret_enc == ""
