"""A refusal as a person sees it: its cause, its mend, and the provider's own words."""

from collections.abc import Callable

from applinks.wiring import Services
from tests.conftest import renew
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor, text_of

EXPIRED = {
    "error": "invalid_client",
    "error_description": "AADSTS7000222: The provided client secret keys are expired.",
}


def test_it_explains_a_refused_code(ada: Visitor, provider: StandIn, link_id: str) -> None:
    url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "default"}))
    provider.answer(json_answer(EXPIRED, 401))
    page = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
    assert page.status_code == 400
    assert "The client secret has expired. Make a new client secret at the provider" in text_of(page)
    assert "AADSTS7000222: The provided client secret keys are expired." in text_of(page)


def test_it_explains_a_refused_refresh_on_the_links_page(
    ada: Visitor, provider: StandIn, connect: Callable[..., None], services: Services
) -> None:
    connect()
    provider.answer(
        json_answer({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400)
    )
    renew(services)
    page = text_of(ada.get("/links/payroll"))
    assert "Google has ended the grant" in page
    assert "invalid_grant: Token has been expired or revoked." in page


def test_it_doesnt_explain_what_it_doesnt_know(
    ada: Visitor, provider: StandIn, connect: Callable[..., None], services: Services
) -> None:
    connect()
    provider.answer(json_answer({"error": "invalid_grant", "error_description": "No."}, 400))
    renew(services)
    assert "The provider no longer accepts this grant. Choose Reconnect." in text_of(ada.get("/links/payroll"))
