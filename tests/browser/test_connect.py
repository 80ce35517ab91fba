"""Connecting, refreshing, reconnecting and taking away, against the demo's own authorization server."""

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.application import Application
from tests.browser.journey import SECRET, connect, create

# With this life a token is refreshed after 30 seconds, a third of its life before it expires.
LIFE_SECONDS = 45


def connection(page: Page, label: str) -> Locator:
    """One connection's part of the link's page."""
    return page.get_by_role("article").filter(has=page.get_by_text(label, exact=True))


def test_it_connects_in_three_clicks_and_refreshes_while_one_watches(page: Page, demo: Application) -> None:
    demo.sql("UPDATE incoming_link SET access_token_life = ?", LIFE_SECONDS)
    page.get_by_role("link", name="Demo provider").click()
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("heading", name="Demo client asks for access")).to_be_visible()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("demo is connected")
    connected_at = time.monotonic()
    page.evaluate("window.samePage = true")
    shown = page.get_by_role("article")
    expect(shown.get_by_text("Connected", exact=True)).to_be_visible()
    expect(shown.get_by_role("heading")).to_contain_text("demo")
    expect(shown.get_by_text("profile", exact=True)).to_have_count(2)
    token_expires = shown.get_by_text("Token expires").locator("xpath=..").locator("time")
    first = token_expires.get_attribute("datetime") or ""
    expect(token_expires).not_to_have_attribute("datetime", first, timeout=LIFE_SECONDS * 1000)
    assert time.monotonic() - connected_at < LIFE_SECONDS, "refreshed only after it had expired"
    assert (token_expires.get_attribute("datetime") or "") > first
    expect(shown.get_by_text("Connected", exact=True)).to_be_visible()
    assert page.evaluate("window.samePage"), "the page was loaded again"
    demo.sql("UPDATE incoming_link SET access_token_life = 120")


def test_it_offers_connect_after_deny(page: Page) -> None:
    page.goto("/links/demo-provider/connect-another")
    page.get_by_label("Label").fill("denied")
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("access_denied").or_(page.get_by_text("denied")).first).to_be_visible()
    assert page.get_by_role("main").inner_text().count("No token was stored") == 1
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected")


def test_it_refuses_a_callback_that_was_used_already(page: Page) -> None:
    with page.expect_request(re.compile("/oauth/callback/")) as callback:
        connect(page, "replayed")
    page.goto(callback.value.url)
    expect(page.get_by_text("No token was stored")).to_be_visible()
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_visible()
    page.goto("/links/demo-provider")
    expect(connection(page, "replayed").get_by_text("Connected", exact=True)).to_be_visible()


def test_it_keeps_several_accounts_apart(page: Page) -> None:
    connect(page, "first")
    page.get_by_role("link", name="Connect another account").click()
    page.get_by_label("Label").fill("first")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_label("Label")).to_have_accessible_description(re.compile("labelled first already"))
    page.get_by_label("Label").fill("second")
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Allow").click()
    expect(connection(page, "first")).to_be_visible()
    connection(page, "second").get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("status")).to_contain_text("second was disconnected")
    expect(connection(page, "second").get_by_text("Not connected")).to_be_visible()
    expect(connection(page, "second").get_by_role("button", name="Refresh now")).to_be_hidden()
    expect(connection(page, "first").get_by_text("Connected", exact=True)).to_be_visible()


def test_it_reconnects_the_same_row(page: Page) -> None:
    connect(page, "again")
    connection(page, "again").get_by_role("button", name="Reconnect").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected")
    expect(connection(page, "again")).to_have_count(1)


def test_it_refreshes_now(page: Page) -> None:
    connect(page, "fresh")
    connection(page, "fresh").get_by_role("button", name="Refresh now").click()
    expect(page.get_by_role("status")).to_contain_text("The token was refreshed.")
    expect(page.get_by_role("region", name="History").get_by_role("listitem").first).to_contain_text("Refreshed")


def test_it_asks_once_before_it_removes(page: Page) -> None:
    connect(page, "unwanted")
    connection(page, "unwanted").get_by_role("link", name="Remove").click()
    expect(page.get_by_role("heading", name="Remove unwanted")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    expect(connection(page, "unwanted")).to_be_visible()
    connection(page, "unwanted").get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove connection").click()
    expect(page.get_by_role("status")).to_contain_text("unwanted was removed")
    expect(connection(page, "unwanted")).to_be_hidden()


def test_it_asks_for_the_secret_when_an_endpoint_changes(page: Page) -> None:
    create(page, "Edited")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Client secret")).to_have_value("")
    endpoint = page.get_by_label("Token endpoint")
    endpoint.fill("https://login.corp.example/token/2")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("Client secret")).to_have_attribute("aria-invalid", "true")
    expect(endpoint).to_have_value("https://login.corp.example/token/2")
    page.get_by_label("Client secret").fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The link was saved.")
    expect(page.get_by_text("https://login.corp.example/token/2")).to_be_visible()


def test_it_renames_without_a_word_about_the_secret(page: Page) -> None:
    create(page, "Named once")
    redirect_url = page.get_by_label("Redirect URL").input_value()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("Named twice")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Named twice", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile("/links/named-once$"))
    expect(page.get_by_label("Redirect URL")).to_have_value(redirect_url)


def test_it_refuses_an_edit_that_another_has_overtaken(page: Page) -> None:
    create(page, "Edited by two")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Name", exact=True)).to_be_visible()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_label("Scopes").fill("read")
    other.get_by_role("button", name="Save", exact=True).click()
    expect(other.get_by_role("status")).to_contain_text("The link was saved.")
    page.get_by_label("Scopes").fill("write")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Scopes")).to_have_value("write")


def test_it_asks_once_before_it_deletes(page: Page) -> None:
    create(page, "Deleted")
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_text("No account is connected through it.")).to_be_visible()
    page.get_by_role("button", name="Delete link").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted was deleted.")
    expect(page.get_by_role("link", name="Deleted")).to_be_hidden()
    page.goto("/links/deleted")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


@pytest.mark.parametrize("what", ["state", "code"])
def test_it_refuses_a_callback_that_lacks_something(page: Page, what: str) -> None:
    page.goto("/links/demo-provider")
    callback = page.get_by_label("Redirect URL").input_value()
    page.goto(f"{callback}?{what}=made-up")
    expect(page.get_by_text("No token was stored")).to_be_visible()
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_visible()
