"""What the callback refuses: the token endpoint isn't asked, nothing is stored, and the page offers *Connect*."""

import base64
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse
from werkzeug.wrappers import Request, Response

from applinks.crypto import new_id
from applinks.models import AuthorizationFlow, Connection, OutgoingLink, database
from applinks.wiring import Services
from tests.conftest import ADA, CLIENT_SECRET, Clock
from tests.standin import Answer, StandIn, callback_path, json_answer, raw_answer
from tests.visitor import Visitor, text_of

Begin = Callable[..., dict[str, str]]


@pytest.fixture
def begin(ada: Visitor, provider: StandIn, link_id: str) -> Begin:
    """Press *Connect* and *Allow*: the parameters that the callback would get."""
    return lambda **instead: provider.consent(ada.continue_url(ada.post("/links/payroll/connect")), **instead)


def refused(response: TestResponse, provider: StandIn, *, offers_connect: bool = True) -> str:
    assert response.status_code == 400, response.text
    assert not provider.token_requests
    assert not Connection.select().exists()
    assert ('action="/links/payroll/connect"' in response.text) == offers_connect
    return text_of(response)


@pytest.mark.parametrize("state", ["", "x", "A" * 43, "A" * 10_000, "\x00", "é", "state[]"])
def test_it_refuses_a_state_that_nobody_began_with(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, state: str
) -> None:
    said = refused(ada.get(callback_path(link_id, begin(state=state))), provider)
    assert "belongs to no connection" in said


@pytest.mark.parametrize("name", ["state", "code"])
def test_it_refuses_an_answer_that_lacks_something(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, name: str
) -> None:
    parameters = begin()
    del parameters[name]
    refused(ada.get(callback_path(link_id, parameters)), provider)


def test_it_refuses_a_stranger_without_a_state(provider: StandIn, link_id: str, stranger: Visitor) -> None:
    """A009: no cookie and no state are not the same nothing."""
    refused(stranger.get(f"/oauth/callback/{link_id}?code=x"), provider, offers_connect=False)


def test_it_refuses_a_state_in_other_letters(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    parameters = begin()
    refused(ada.get(callback_path(link_id, parameters | {"state": parameters["state"].swapcase()})), provider)


def test_it_counts_a_state_once(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    path = callback_path(link_id, begin())
    assert ada.get(path).status_code == 303
    again = ada.get(path)
    assert again.status_code == 400
    assert "used already" in text_of(again)
    assert len(provider.token_requests) == 1


def test_it_counts_a_state_once_however_many_come_at_once(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str
) -> None:
    """A007"""
    path = callback_path(link_id, begin())

    def come(_: int) -> int:
        try:
            return ada.get(path).status_code
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(come, range(20)))
    assert len(provider.token_requests) == 1
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 400, 503}


def test_it_refuses_a_state_after_ten_minutes(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, clock: Clock
) -> None:
    """A008"""
    path = callback_path(link_id, begin())
    clock.advance(601)
    assert "ten minutes" in refused(ada.get(path), provider)


def test_it_refuses_another_administrators_state(
    begin: Begin, provider: StandIn, link_id: str, sign_in_as: Callable[[str], Visitor]
) -> None:
    """A006"""
    assert "another browser" in refused(sign_in_as("bob").get(callback_path(link_id, begin())), provider)


def test_it_refuses_ones_own_state_in_another_browser(
    begin: Begin, provider: StandIn, link_id: str, stranger: Visitor, services: Services, ada: Visitor
) -> None:
    with ada.client.session_transaction(base_url=ada.base_url) as session:
        administrator = services.sign_in.session(session["id"], active=True).administrator
    with stranger.client.session_transaction(base_url=ada.base_url) as session:
        session["id"] = services.sign_in.begin_session(administrator)
    refused(stranger.get(callback_path(link_id, begin())), provider)


def test_it_refuses_a_stranger(begin: Begin, provider: StandIn, link_id: str, stranger: Visitor) -> None:
    said = refused(stranger.get(callback_path(link_id, begin())), provider, offers_connect=False)
    assert "Sign in" in said


def test_it_refuses_after_signing_out(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    path = callback_path(link_id, begin())
    ada.post("/sign-out")
    refused(ada.get(path), provider, offers_connect=False)


def test_it_refuses_one_links_answer_at_another(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, link_form: dict[str, str]
) -> None:
    """A011, the mix-up attack: each link has a Redirect URL of its own."""
    parameters, other = begin(), new_id()
    ada.post(f"/links/new/outgoing/{other}", link_form | {"name": "Other"})
    response = ada.get(callback_path(other, parameters))
    assert response.status_code == 400
    assert "begun in another browser session" in text_of(response)
    assert not provider.token_requests
    assert "used already" in refused(ada.get(callback_path(link_id, parameters)), provider)


def test_it_refuses_when_the_link_was_changed_meanwhile(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, link_form: dict[str, str]
) -> None:
    """A012"""
    path = callback_path(link_id, begin())
    changed = link_form | {"token_endpoint": f"{provider.base_url}/other", "version": "1"}
    assert ada.post("/links/payroll/edit", changed).status_code == 303
    assert "while you were at the provider" in refused(ada.get(path), provider)
    assert not provider.asked


def test_it_knows_no_callback_of_a_deleted_link(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    path = callback_path(link_id, begin())
    ada.post("/links/payroll/delete")
    assert ada.get(path).status_code == 404
    assert not provider.token_requests


@pytest.mark.parametrize("link_id", ["0" * 32, "x", "..", "a b", "%00"])
def test_it_knows_no_callback_of_an_unsaved_link(ada: Visitor, link_id: str) -> None:
    assert ada.get(f"/oauth/callback/{link_id}?state=x&code=y").status_code == 404


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_it_is_for_get_only_and_nothing_else_spends_the_state(
    ada: Visitor, begin: Begin, link_id: str, method: str
) -> None:
    """A022"""
    path = callback_path(link_id, begin())
    assert ada.client.open(path, method=method, base_url=ada.base_url).status_code == 405
    assert ada.get(path).status_code == 303


@pytest.mark.parametrize("name", ["code", "state", "error", "iss"])
def test_it_refuses_a_parameter_that_comes_twice(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, name: str
) -> None:
    """A018 and F10: one library takes the last, another the first."""
    parameters = begin() | ({name: "x"} if name in ("error", "iss") else {})
    path = callback_path(link_id, parameters) + f"&{name}=evil"
    assert "twice" in refused(ada.get(path), provider)


@pytest.mark.parametrize("code", ["", "a" * 4097, "a\x00b", "a\r\nb", "é"])
def test_it_refuses_a_code_that_is_none(ada: Visitor, begin: Begin, provider: StandIn, link_id: str, code: str) -> None:
    assert "no usable authorization code" in refused(ada.get(callback_path(link_id, begin(code=code))), provider)


def test_it_takes_denied_consent_for_an_answer(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    said = refused(ada.get(callback_path(link_id, begin(error="access_denied"))), provider)
    assert "Access was denied" in said


def test_it_believes_an_error_that_comes_with_a_code(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str
) -> None:
    """A019"""
    refused(ada.get(callback_path(link_id, begin(error="server_error", code="looks-good"))), provider)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "a\r\nSet-Cookie: x=y",
        "‮abc",
        "{{7*7}}",
        "x" * 9999,
    ],
)
def test_it_shows_a_providers_words_as_words(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, text: str
) -> None:
    """A020"""
    hostile = begin(error=text, error_description=text, error_uri="javascript:alert(1)")
    response = ada.get(callback_path(link_id, hostile))
    refused(response, provider)
    for page in (response.text, ada.get("/links/payroll").text):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "javascript:" not in page
        assert len(page) < 20_000


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (json_answer({"error": "invalid_client"}, 401), "refused the client ID or the client secret"),
        (json_answer({"error": "invalid_grant", "error_description": "no <b>way</b>"}, 400), "refused to give a token"),
        (raw_answer("Internal error", 500), "HTTP 500"),
        (raw_answer("<html>access_token=EVIL&token_type=bearer", content_type="text/html"), "isn't a JSON object"),
        (json_answer({"access_token": "CANARY-x", "token_type": "mac"}), "other than Bearer"),
        (raw_answer("", 307, Location="http://127.0.0.1:1/evil"), "redirect"),
        (json_answer({"error": "x", "access_token": "CANARY-x", "token_type": "bearer"}), "refused to give a token"),
        (raw_answer("[" * 100_000), "isn't a JSON object"),
    ],
)
def test_it_stores_nothing_of_a_bad_exchange(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, answer: Answer, says: str
) -> None:
    provider.answer(answer)
    response = ada.get(callback_path(link_id, begin()))
    assert response.status_code == 400
    assert says in text_of(response)
    assert not Connection.select().exists()
    assert CLIENT_SECRET not in response.text


def test_it_keeps_what_was_connected_when_a_reconnect_fails(
    ada: Visitor, begin: Begin, connect: Callable[..., None], provider: StandIn, link_id: str
) -> None:
    connect()
    before = Connection.get().__data__
    provider.answer(json_answer({"error": "invalid_grant"}, 400))
    for parameters in (begin(), begin(error="access_denied"), begin(state="x")):
        assert ada.get(callback_path(link_id, parameters)).status_code == 400
    assert Connection.get().__data__ == before


def test_it_proves_who_began(ada: Visitor, begin: Begin, provider: StandIn, link_id: str) -> None:
    """A002, A003: the verifier fits the challenge, is new each time, and is in no URL."""
    seen = set()
    for _ in range(3):
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        ada.get(callback_path(link_id, provider.consent(url)))
        verifier, query = provider.token_requests[-1].form["code_verifier"], parse_qs(urlsplit(url).query)
        hashed = hashlib.sha256(verifier.encode()).digest()
        assert query["code_challenge"] == [base64.urlsafe_b64encode(hashed).decode().rstrip("=")]
        assert query["code_challenge_method"] == ["S256"]
        assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
        assert verifier not in url
        seen |= {verifier, query["state"][0]}
    assert len(seen) == 6


@pytest.mark.parametrize("label", ["", "<b>", "../x", "x" * 61, "a b"])
def test_it_begins_nothing_for_a_label_that_is_none(ada: Visitor, link_id: str, label: str) -> None:
    response = ada.post("/links/payroll/connect", {"label": label})
    assert response.status_code == 422
    assert "<b>" not in response.text
    assert not AuthorizationFlow.select().exists()


def test_it_begins_nothing_where_the_address_is_no_longer_allowed(ada: Visitor, link_id: str) -> None:
    """A081"""
    outgoing = OutgoingLink.get()
    outgoing.differences = outgoing.differences.replace("http://127.0.0.1", "https://169.254.169.254")
    outgoing.save()
    response = ada.post("/links/payroll/connect")
    assert response.status_code == 400
    assert "169.254.169.254" in text_of(response)
    assert not AuthorizationFlow.select().exists()


def test_it_keeps_two_hundred_pending_flows_of_all(
    ada: Visitor, link_id: str, sign_in_as: Callable[[str], Visitor]
) -> None:
    """A031"""
    for number in range(21):
        visitor = sign_in_as(f"admin-{number}")
        token = visitor.csrf_token()
        for _ in range(10):
            visitor.post("/links/payroll/connect", {"csrf_token": token})
    assert AuthorizationFlow.select().count() == 200


def test_it_keeps_ten_pending_flows_of_one_administrator(ada: Visitor, begin: Begin) -> None:
    """A031"""
    for _ in range(15):
        begin()
    assert AuthorizationFlow.select().count() == 10


def test_it_begins_by_a_form_with_its_token_alone(ada: Visitor, link_id: str) -> None:
    """A026"""
    assert ada.get("/links/payroll/connect").status_code == 405
    assert ada.post("/links/payroll/connect", csrf=False).status_code == 400
    assert not AuthorizationFlow.select().exists()


def test_it_ignores_parameters_that_it_does_not_know(ada: Visitor, begin: Begin, link_id: str) -> None:
    """A021"""
    extra = {"session_state": "1", "authuser": "0", "hd": "example.com", "prompt": "consent"}
    assert ada.get(callback_path(link_id, begin(**extra))).status_code == 303


def test_it_leaves_by_a_page_without_a_form(ada: Visitor, link_id: str) -> None:
    """A027, F23: no-referrer makes browsers send `Origin: null` with a form."""
    page = ada.post("/links/payroll/connect")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "<form" not in page.text


def test_it_names_a_foreign_host_in_both_alphabets(ada: Visitor, link_id: str, link_form: dict[str, str]) -> None:
    changed = link_form | {"authorization_endpoint": "https://bücher.example/auth", "version": "1"}
    assert ada.post("/links/payroll/edit", changed).status_code == 303
    said = text_of(ada.post("/links/payroll/connect"))
    assert "xn--bcher-kva.example" in said
    assert "bücher.example" in said


def test_it_answers_with_a_clean_address(ada: Visitor, begin: Begin, link_id: str) -> None:
    """A023"""
    response = ada.get(callback_path(link_id, begin()))
    assert response.headers["Location"] == "/links/payroll"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


def test_it_replaces_no_grant_that_came_meanwhile(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, clock: Clock
) -> None:
    """Two tabs connect under one label: the second mustn't bury the first one's account."""
    first, second = begin(), begin()
    clock.advance(5)
    assert ada.get(callback_path(link_id, first)).status_code == 303
    stored = Connection.get().access_token_enc
    refusal = ada.get(callback_path(link_id, second))
    assert refusal.status_code == 400
    assert "It was left as it is." in text_of(refusal)
    assert len(provider.token_requests) == 1
    assert Connection.get().access_token_enc == stored


@pytest.mark.parametrize("answer", [json_answer({"error": "invalid_grant"}, 400), raw_answer("", 503)])
def test_it_takes_the_deletion_of_the_link_meanwhile_calmly(
    ada: Visitor, begin: Begin, provider: StandIn, link_id: str, services: Services, answer: Answer
) -> None:
    def delete(request: Request) -> Response:
        services.links.delete(services.links.find("payroll"), ADA)
        database.close()
        return answer(request)

    parameters = begin()
    provider.answer(delete)
    assert ada.get(callback_path(link_id, parameters)).status_code in (400, 404)
