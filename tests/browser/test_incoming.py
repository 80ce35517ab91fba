"""An incoming link in a browser: what was typed stays, what is shown once can be copied, and consent leads on."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.application import Application
from tests.browser.conftest import NewContext

REDIRECT = "https://app.example/callback"


def open_form(page: Page) -> None:
    page.get_by_role("link", name="Create link").click()
    page.get_by_role("radio", name="Incoming").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Create an incoming link")).to_be_visible()


def fill(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Redirect URL").fill(REDIRECT)
    for scope in ("profile", "links:read"):
        page.get_by_role("checkbox", name=scope).check()


def test_it_keeps_what_was_typed_and_ticked_over_a_reload(page: Page) -> None:
    open_form(page)
    fill(page, "Kept")
    page.get_by_role("radio", name="Public").check()
    page.get_by_role("checkbox", name="Authorization code").uncheck()
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kept")
    expect(page.get_by_label("Redirect URL")).to_have_value(REDIRECT)
    expect(page.get_by_role("radio", name="Public")).to_be_checked()
    expect(page.get_by_role("checkbox", name="links:read")).to_be_checked()
    for name in ("Authorization code", "tokens:read", "Client credentials"):
        expect(page.get_by_role("checkbox", name=name)).not_to_be_checked()


def test_it_leads_from_each_error_to_its_field(page: Page) -> None:
    open_form(page)
    page.get_by_label("Redirect URL").fill("http://app.example/cb")
    page.get_by_role("checkbox", name="Authorization code").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    summary = page.get_by_role("alert")
    expect(summary.get_by_role("link")).to_have_text(["Name", "Grant types", "Redirect URL", "Scopes"])
    summary.get_by_role("link", name="Scopes").click()
    expect(page).to_have_url(re.compile("#scopes-0$"))
    expect(page.get_by_role("checkbox", name="profile")).to_be_focused()


def test_it_shows_a_secret_that_is_nowhere_after_a_reload(page: Page) -> None:
    open_form(page)
    fill(page, "Reloaded")
    page.get_by_role("button", name="Save", exact=True).click()
    secret = page.get_by_label("Client secret").input_value()
    page.get_by_role("link", name="I have copied them").click()
    expect(page.get_by_role("heading", name="Reloaded")).to_be_visible()
    assert secret not in page.content()
    assert secret not in str(page.evaluate("history.state"))
    with pytest.raises(Error, match="ERR_CACHE_MISS"):
        page.go_back()  # the browser kept nothing of that page, and asks before it sends a form again
    page.close()  # it shows the browser's own page by now, or is on the way to it


def test_it_makes_one_link_however_often_one_clicks(page: Page) -> None:
    """The second answer would say that the name is taken, and hide the secret that the first one shows."""
    open_form(page)
    fill(page, "Clicked")
    page.get_by_role("button", name="Save", exact=True).dblclick()
    expect(page.get_by_role("heading", name="Credentials of Clicked")).to_be_visible()
    assert page.get_by_label("Client secret").input_value().startswith("aps_")


def test_it_goes_on_to_the_application_by_a_page_of_its_own(
    new_context: NewContext, demo: Application, signed_in: Any
) -> None:
    """CSP's form-action lets no form lead elsewhere, not even by a redirect."""
    page = new_context(demo.base_url, REDIRECT, storage_state=signed_in).new_page()
    page.goto("/links")
    open_form(page)
    fill(page, "Elsewhere")
    page.get_by_role("button", name="Save", exact=True).click()
    asked = {
        "response_type": "code",
        "client_id": page.get_by_label("Client ID").input_value(),
        "redirect_uri": REDIRECT,
        "scope": "profile",
        "state": "kept",
        "code_challenge": "a" * 43,
        "code_challenge_method": "S256",
    }
    for decision, answer in (("Allow", "code="), ("Deny", "error=access_denied")):
        page.goto("/oauth/authorize?" + urlencode(asked))
        page.route(f"{REDIRECT}?**", lambda route: route.fulfill(status=204))
        with page.expect_request(f"{REDIRECT}?**") as request:
            page.get_by_role("button", name=decision).click()
        assert answer in request.value.url
        assert "state=kept" in request.value.url
        assert "iss=" in request.value.url
        assert "referer" not in request.value.headers
        page.unroute(f"{REDIRECT}?**")
