"""The two directions meet: two Applinks link with each other, by cards that are copied from one and pasted into the other."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.application import Application
from tests.browser.conftest import NewContext

OTHER = "Link with another Applinks"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """A second Applinks, at another port."""
    application = Application(tmp_path_factory.mktemp("other") / "data", "demo")
    yield application
    application.stop()


@pytest.fixture(scope="module")
def signed_in_at_both(browser: Browser, other: Application, signed_in: Any) -> Any:
    """The cookies of both administrators: one browser, two ports."""
    context = browser.new_context()
    context.new_page().goto(other.address)
    state = context.storage_state()
    context.close()
    return {"cookies": [*signed_in["cookies"], *state["cookies"]], "origins": []}


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def both(
    new_context: NewContext,
    demo: Application,
    other: Application,
    signed_in_at_both: Any,
    request: pytest.FixtureRequest,
) -> Page:
    """A page of a browser that is signed in at both."""
    options = {"storage_state": signed_in_at_both, "java_script_enabled": request.param}
    return new_context(demo.base_url, other.base_url, **options).new_page()


def give_access(page: Page, there: Application, card: str, name: str) -> tuple[str, str]:
    """Make an incoming link of a card; returns the client secret and the card for the other side."""
    page.goto(f"{there.base_url}/links/new")
    page.get_by_role("radio", name="Incoming").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_text(OTHER).click()
    page.get_by_label("Paste link card").fill(card)
    page.get_by_role("button", name="Fill in the form").click()
    expect(page.get_by_text("were filled in from the card")).to_be_visible()
    expect(page.get_by_label("Redirect URL")).to_have_value(json.loads(card)["redirect_uri"])
    expect(page.get_by_role("checkbox", name="links:read")).to_be_checked()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name=f"Credentials of {name}")).to_be_visible()
    secret = page.get_by_label("Client secret").input_value()
    assert secret.startswith("aps_")
    return secret, page.get_by_label("Link card, for another Applinks").input_value()


def ask_for_access(page: Page, here: Application, there: Application, name: str) -> None:
    """Link `here` with `there`, and connect the account of whoever is signed in there."""
    page.goto(f"{here.base_url}/links/new/outgoing")
    form = page.url
    page.get_by_text(OTHER).click()
    card = page.get_by_label("Link card", exact=True).input_value()
    secret, answer = give_access(page, there, card, f"Client of {name}")
    assert secret not in answer
    page.goto(form)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_text(OTHER).click()
    page.get_by_label("Paste link card").fill(answer)
    page.get_by_role("button", name="Fill in the form").click()
    expect(page.get_by_label("Token endpoint")).to_have_value(f"{there.base_url}/oauth/token")
    assert page.get_by_label("Redirect URL").input_value() == json.loads(card)["redirect_uri"]
    expect(page.get_by_label("Client ID")).to_have_value(json.loads(answer)["client_id"])
    page.get_by_label("Client secret").fill(secret)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Connect", exact=True).click()


def test_they_link_with_each_other(
    both: Page, demo: Application, other: Application, request: pytest.FixtureRequest
) -> None:
    """From card to card, to consent, to a token that works at the other side, and to its end."""
    number = request.node.callspec.id
    for here, there, name in ((demo, other, f"There {number}"), (other, demo, f"Here {number}")):
        both.goto(f"{here.base_url}/links")
        ask_for_access(both, here, there, name)
        expect(both.get_by_role("heading", name=f"Client of {name} asks for access")).to_be_visible()
        said = both.get_by_role("main")
        expect(said).to_contain_text("see all links, their accounts and their states")
        expect(said).to_contain_text(f"sent back to {here.base_url.removeprefix('http://')}")
        both.get_by_role("button", name="Allow").click()
        expect(both).to_have_url(re.compile(f"{here.base_url}/links/[a-z-]+$"))
        expect(both.get_by_role("status")).to_contain_text("demo is connected")
        expect(both.get_by_role("article").get_by_text("Connected", exact=True)).to_be_visible()
        both.get_by_role("button", name="Refresh now").click()
        expect(both.get_by_role("status")).to_contain_text("The token was refreshed.")
        both.goto(f"{there.base_url}/authorized-applications")
        expect(both.get_by_role("row", name=f"Client of {name}")).to_be_visible()
        both.goto(f"{here.base_url}/links")
        both.get_by_role("link", name=name, exact=True).click()
        both.get_by_role("button", name="Disconnect").click()
        expect(both.get_by_role("status")).to_contain_text("was disconnected")
        both.goto(f"{there.base_url}/links/client-of-{name.lower().replace(' ', '-')}")
        expect(both.get_by_role("row", name="demo").get_by_role("cell").nth(3)).to_have_text("None")


def test_they_part_when_consent_is_taken_back(
    both: Page, demo: Application, other: Application, request: pytest.FixtureRequest
) -> None:
    name = f"Parting {request.node.callspec.id}"
    both.goto(f"{demo.base_url}/links")
    ask_for_access(both, demo, other, name)
    both.get_by_role("button", name="Allow").click()
    expect(both.get_by_role("status")).to_contain_text("demo is connected")
    both.goto(f"{other.base_url}/authorized-applications")
    both.get_by_role("row", name=f"Client of {name}").get_by_role("link", name="Revoke").click()
    both.get_by_role("button", name="Revoke").click()
    expect(both.get_by_role("status")).to_contain_text("may do nothing for you any more")
    both.goto(f"{demo.base_url}/links")
    both.get_by_role("link", name=name, exact=True).click()
    both.get_by_role("button", name="Refresh now").click()
    expect(both.get_by_text("Reconnect needed", exact=True)).to_be_visible()


@pytest.mark.parametrize("card", ["", "{}", "not a card", '{"applinks_link_card": 1, "name": "<b>x</b>"}', "[" * 9000])
def test_they_take_no_other_text_for_a_card(page: Page, card: str) -> None:
    """A card is read as if it had been typed: nothing of another text comes into the form."""
    for path in ("/links/new/incoming", "/links/new/outgoing"):
        page.goto(path)
        page.get_by_text(OTHER).click()
        page.get_by_label("Name", exact=True).fill("Kept")
        page.get_by_label("Paste link card").fill(card)
        page.get_by_role("button", name="Fill in the form").click()
        expect(page.get_by_label("Paste link card")).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Paste link card")).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Kept")
