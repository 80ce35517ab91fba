"""The issuer (RFC 9207): where it is known, an answer that names another one is used for nothing."""

from collections.abc import Callable

import pytest

from applinks.crypto import new_id
from applinks.models import Connection, OutgoingLink
from applinks.providers import CATALOGUE
from tests.standin import StandIn, callback_path
from tests.visitor import Visitor, text_of

ISSUER = "https://login.corp.example/tenant"

Come = Callable[..., str]


@pytest.fixture
def come(ada: Visitor, provider: StandIn, link_form: dict[str, str]) -> Come:
    """Save `payroll` with an issuer, connect, and come back with `iss` and whatever else; returns what is said."""

    def dance(*, iss: str | None, issuer: str = ISSUER, required: str = "", **instead: str) -> str:
        link_id = new_id()
        options = {"issuer": issuer, "iss_required": required}
        assert ada.post(f"/links/new/outgoing/{link_id}", link_form | options).status_code == 303
        url = ada.continue_url(ada.post("/links/payroll/connect"))
        parameters = provider.consent(url, **instead) | ({} if iss is None else {"iss": iss})
        back = ada.get(callback_path(link_id, parameters))
        if back.status_code == 303:
            return "connected"
        assert back.status_code == 400
        assert not provider.token_requests
        assert not Connection.select().exists()
        return text_of(back)

    return dance


@pytest.mark.parametrize(
    "iss",
    ["", "x", f"{ISSUER}/", ISSUER.upper(), ISSUER.replace("https", "http"), f"{ISSUER}?x", ISSUER.replace(".", "%2E")]
    + ["https://login.corp.example:443/tenant", "https://a@login.corp.example/tenant", "https://evil.example/tenant"],
)
def test_it_refuses_another_issuer_to_the_byte(come: Come, iss: str) -> None:
    """A015"""
    said = come(iss=iss)
    assert f"this link expects {ISSUER}, to the letter" in said


def test_it_refuses_another_issuers_error_as_well(come: Come) -> None:
    assert "comes from the issuer" in come(iss="https://evil.example", error="access_denied")


@pytest.mark.parametrize("instead", [{}, {"error": "access_denied"}])
def test_it_misses_an_issuer_that_every_answer_names(come: Come, instead: dict[str, str]) -> None:
    """A016"""
    assert "doesn't say which provider" in come(iss=None, required="yes", **instead)


@pytest.mark.parametrize("required", ["yes", "no", ""])
def test_it_accepts_the_issuer_that_it_knows(come: Come, required: str) -> None:
    assert come(iss=ISSUER, required=required) == "connected"


def test_it_accepts_no_issuer_where_none_is_promised(come: Come) -> None:
    assert come(iss=None) == "connected"


def test_it_records_an_issuer_that_it_does_not_know(come: Come, ada: Visitor) -> None:
    """A017"""
    assert come(iss="https://some.example", issuer="") == "connected"
    assert "The provider named itself https://some.example." in text_of(ada.get("/links/payroll"))


def test_it_uses_no_answer_once_the_issuer_was_changed(
    ada: Visitor, provider: StandIn, link_id: str, link_form: dict[str, str]
) -> None:
    """A012"""
    url = ada.continue_url(ada.post("/links/payroll/connect"))
    edit = link_form | {"issuer": ISSUER, "version": "1", "client_secret": "CANARY-new"}
    assert ada.post("/links/payroll/edit", edit).status_code == 303
    back = ada.get(callback_path(link_id, provider.consent(url) | {"iss": ISSUER}))
    assert "settings were changed" in text_of(back)
    assert not provider.token_requests


def test_it_needs_an_issuer_to_require_one(ada: Visitor, link_form: dict[str, str]) -> None:
    refused = ada.post(f"/links/new/outgoing/{new_id()}", link_form | {"iss_required": "yes"})
    assert refused.status_code == 422
    assert 'id="iss_required-error"' in refused.text
    assert not OutgoingLink.select().exists()


def test_it_knows_the_issuer_of_google() -> None:
    assert CATALOGUE["google"].profile({}).issuer == "https://accounts.google.com"
