"""The whole journey with JavaScript off."""

import re

from playwright.sync_api import Page, expect

from tests.browser.journey import (
    AUTHORIZATION_ENDPOINT,
    SECRET,
    TOKEN_ENDPOINT,
    connect,
    fill_credentials,
    open_form,
    save,
)


def reveal_custom(page: Page, name: str) -> None:
    open_form(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("radio", name="Custom").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Authorization endpoint").fill(AUTHORIZATION_ENDPOINT)
    page.get_by_label("Token endpoint").fill(TOKEN_ENDPOINT)
    page.get_by_role("button", name="Continue").click()


def test_it_creates_a_custom_link_by_continue(plain_page: Page) -> None:
    reveal_custom(plain_page, "Plain")
    expect(plain_page.get_by_label("Redirect URL")).to_be_visible()
    expect(plain_page.get_by_role("alert")).to_be_hidden()
    expect(plain_page.get_by_role("button", name="Copy")).to_be_hidden()
    fill_credentials(plain_page)
    save(plain_page, "Plain")
    expect(plain_page.get_by_text("Not connected")).to_be_visible()


def test_it_creates_a_google_link_by_continue(plain_page: Page) -> None:
    open_form(plain_page)
    plain_page.get_by_role("radio", name="Google").check()
    plain_page.get_by_role("button", name="Continue").click()
    expect(plain_page.get_by_label("Redirect URL")).to_be_visible()
    expect(plain_page.get_by_label("Scopes")).to_have_value("openid email")
    plain_page.get_by_label("Name", exact=True).fill("Plain mail")
    fill_credentials(plain_page)
    save(plain_page, "Plain mail")


def test_it_stays_where_an_endpoint_is_wrong(plain_page: Page) -> None:
    open_form(plain_page)
    plain_page.get_by_label("Name", exact=True).fill("Wrong")
    plain_page.get_by_role("radio", name="Custom").check()
    plain_page.get_by_role("button", name="Continue").click()
    plain_page.get_by_label("Authorization endpoint").fill("http://login.corp.example/")
    plain_page.get_by_role("button", name="Continue").click()
    expect(plain_page.get_by_label("Authorization endpoint")).to_have_accessible_description(re.compile("Plain http"))
    expect(plain_page.get_by_label("Authorization endpoint")).to_have_value("http://login.corp.example/")
    expect(plain_page.get_by_label("Redirect URL")).to_be_hidden()


def test_it_asks_for_the_secret_again_and_says_so(plain_page: Page) -> None:
    reveal_custom(plain_page, "")
    fill_credentials(plain_page)
    plain_page.get_by_role("button", name="Save", exact=True).click()
    expect(plain_page.get_by_role("alert")).to_contain_text("Nothing was saved")
    assert SECRET not in plain_page.content()
    secret = plain_page.get_by_label("Client secret")
    expect(secret).to_have_value("")
    expect(secret).to_have_accessible_description(re.compile("never sent back to a page"))
    expect(plain_page.get_by_label("Client ID")).to_have_value("payroll-client")
    expect(plain_page.get_by_label("Token endpoint")).to_have_value(TOKEN_ENDPOINT)


def test_it_connects_refreshes_and_takes_away(plain_page: Page) -> None:
    """The page between goes on by itself: a meta refresh needs no script."""
    connect(plain_page, "plain")
    plain_page.get_by_role("button", name="Refresh now").first.click()
    expect(plain_page.get_by_role("status")).to_contain_text("The token was refreshed.")
    plain_page.get_by_role("button", name="Disconnect").first.click()
    expect(plain_page.get_by_role("status")).to_contain_text("was disconnected")
    plain_page.get_by_role("link", name="Remove").first.click()
    plain_page.get_by_role("button", name="Remove connection").click()
    expect(plain_page.get_by_role("status")).to_contain_text("was removed")


def test_it_edits_and_deletes(plain_page: Page) -> None:
    reveal_custom(plain_page, "Plain and short-lived")
    fill_credentials(plain_page)
    save(plain_page, "Plain and short-lived")
    plain_page.get_by_role("link", name="Edit").click()
    plain_page.get_by_label("Scopes").fill("read")
    plain_page.get_by_role("button", name="Save", exact=True).click()
    expect(plain_page.get_by_role("status")).to_contain_text("The link was saved.")
    plain_page.get_by_role("link", name="Delete").click()
    plain_page.get_by_role("button", name="Delete link").click()
    expect(plain_page.get_by_role("status")).to_contain_text("was deleted")
