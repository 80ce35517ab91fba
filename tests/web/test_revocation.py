"""Revocation (RFC 7009): what is ended here is ended at the provider, and nothing here waits for its consent."""

import threading
from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import ApplicationLink, Connection, OutgoingLink, State
from applinks.web import waiting
from tests.standin import StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor, text_of

END = {
    "disconnect": "/links/payroll/connections/default/disconnect",
    "remove": "/links/payroll/connections/default/remove",
    "delete": "/links/payroll/delete",
}


@pytest.fixture
def connected(ada: Visitor, provider: StandIn, link_form: dict[str, str]) -> Callable[..., None]:
    link_id = new_id()
    ada.post(f"/links/new/outgoing/{link_id}", link_form | {"revocation_endpoint": f"{provider.base_url}/revoke"})

    def connect(label: str = "default") -> None:
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": label}))
        assert ada.get(callback_path(link_id, provider.consent(url))).status_code == 303

    connect()
    return connect


def revocations(provider: StandIn) -> list[dict[str, str]]:
    return [asked.form for asked in provider.asked if asked.path == "/revoke"]


@pytest.mark.parametrize("how", END)
def test_it_ends_the_grant_at_the_provider(connected: object, ada: Visitor, provider: StandIn, how: str) -> None:
    """A102"""
    provider.answer(raw_answer(""))
    done = ada.post(END[how])
    assert done.status_code == 303
    assert "The provider has ended the grant, too" in text_of(ada.get(done.location))
    assert revocations(provider) == [{"token": provider.refresh_token, "token_type_hint": "refresh_token"}]
    assert provider.asked[-1].headers["Authorization"].startswith("Basic ")
    assert provider.asked[-1].query == ""


@pytest.mark.parametrize("how", END)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (raw_answer("", 503, Retry_After="5"), "HTTP 503"),
        (json_answer({"error": "unsupported_token_type"}, 400), "unsupported_token_type"),
        (json_answer({"error": "invalid_client"}, 401), "invalid_client"),
        (raw_answer("", 302, Location="http://127.0.0.1:1/"), "never followed"),
        (raw_answer("<html>", 404, "text/html"), "HTTP 404"),
    ],
)
def test_it_ends_here_whatever_the_provider_says(
    connected: object, ada: Visitor, provider: StandIn, how: str, answer: object, says: str
) -> None:
    """A103"""
    provider.answer(answer)  # type: ignore[arg-type]
    done = ada.post(END[how])
    assert done.status_code == 303
    said = text_of(ada.get(done.location))
    assert says in said
    assert "End it there, too" in said
    row = Connection.get_or_none()
    assert row is None or (row.state, row.refresh_token_enc, row.access_token_enc) == (State.DISCONNECTED, "", "")
    assert len(revocations(provider)) == 1


@pytest.mark.parametrize("how", END)
def test_it_ends_here_when_nobody_can_wait(
    connected: object, ada: Visitor, provider: StandIn, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(1))
    with waiting.a_place_to_wait():
        done = ada.post(END[how])
    assert done.status_code == 303
    assert "End it there, too" in text_of(ada.get(done.location))
    assert not revocations(provider)
    row = Connection.get_or_none()
    assert row is None or row.state == State.DISCONNECTED


def test_it_names_what_is_deleted_where_this_release_knows_no_provider(connected: object, ada: Visitor) -> None:
    OutgoingLink.update(provider="gone").execute()
    assert "This connection and its tokens are deleted" in text_of(ada.get("/links/payroll/delete"))


@pytest.mark.parametrize("how", END)
def test_it_ends_here_what_this_release_knows_no_provider_for(connected: object, ada: Visitor, how: str) -> None:
    OutgoingLink.update(provider="gone").execute()
    assert ada.post(END[how]).status_code == 303
    row = Connection.get_or_none()
    assert row is None or row.state == State.DISCONNECTED


def test_it_finds_the_client_authentication_for_this_as_well(
    connected: object, ada: Visitor, provider: StandIn
) -> None:
    OutgoingLink.update(differences=OutgoingLink.get().differences.replace("client_secret_basic", "detect")).execute()
    provider.answer(json_answer({"error": "invalid_client"}, 401), raw_answer(""))
    done = ada.post(END["disconnect"])
    assert "The provider has ended the grant, too" in text_of(ada.get(done.location))
    assert [form.get("client_secret") for form in revocations(provider)] == [None, "CANARY-client-secret"]


def test_it_revokes_the_access_token_where_there_is_no_other(
    connected: object, ada: Visitor, provider: StandIn
) -> None:
    Connection.update(refresh_token_enc="").execute()
    provider.answer(raw_answer(""))
    ada.post(END["disconnect"])
    assert revocations(provider)[0]["token_type_hint"] == "access_token"
    assert revocations(provider)[0]["token"].startswith("CANARY-access")


def test_it_ends_every_grant_of_a_deleted_link(connected: Callable[..., None], ada: Visitor, provider: StandIn) -> None:
    connected("second")
    provider.answer(raw_answer(""), raw_answer(""))
    ada.post(END["delete"])
    assert len(revocations(provider)) == 2
    assert not ApplicationLink.select().exists()


def test_it_asks_a_provider_that_is_away_once(connected: Callable[..., None], ada: Visitor, provider: StandIn) -> None:
    connected("second")
    provider.answer(raw_answer("", 503))
    ada.post(END["delete"])
    assert len(revocations(provider)) == 1


def test_it_ends_here_what_it_cannot_read_any_more(connected: object, ada: Visitor, provider: StandIn) -> None:
    Connection.update(refresh_token_enc="1.00000000.AAAA").execute()
    assert ada.post(END["disconnect"]).status_code == 303
    assert not revocations(provider)
    assert Connection.get().state == State.DISCONNECTED


def test_it_tells_nobody_where_there_is_nobody_to_tell(
    connect: Callable[..., None], ada: Visitor, provider: StandIn
) -> None:
    connect()
    assert ada.post(END["disconnect"]).status_code == 303
    assert not revocations(provider)
    assert "The provider was not told" in text_of(ada.get("/links/payroll"))


def test_it_ends_nothing_twice(connected: object, ada: Visitor, provider: StandIn) -> None:
    provider.answer(raw_answer(""))
    ada.post(END["disconnect"])
    ada.post(END["disconnect"])
    assert len(revocations(provider)) == 1


def test_it_learns_no_client_authentication_from_who_says_yes_to_everybody(
    connected: object, ada: Visitor, provider: StandIn
) -> None:
    """RFC 7009 §2.2: a server answers 200 for a token that it doesn't know, and some do before they look who asks."""
    OutgoingLink.update(differences=OutgoingLink.get().differences.replace("client_secret_basic", "detect")).execute()
    provider.answer(raw_answer(""))
    ada.post(END["disconnect"])
    assert OutgoingLink.get().found_authentication == ""


def test_it_forgets_no_client_authentication_for_a_revocation(
    connected: object, ada: Visitor, provider: StandIn
) -> None:
    differences = OutgoingLink.get().differences.replace("client_secret_basic", "detect")
    OutgoingLink.update(differences=differences, found_authentication="client_secret_post").execute()
    provider.answer(json_answer({"error": "invalid_request"}, 400))
    ada.post(END["disconnect"])
    assert OutgoingLink.get().found_authentication == "client_secret_post"
