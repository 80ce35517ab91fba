"""From a link's page to a key, and back in the audit log: what an administrator does for a script."""

import re

from playwright.sync_api import Page, expect

from tests.browser.application import Application


def test_it_makes_a_key_for_a_link_and_revokes_it(page: Page, demo: Application) -> None:
    page.goto("/links/demo-provider")
    expect(page.get_by_label("curl")).to_have_value(re.compile(r"/api/v1/links/demo-provider/token"))
    page.get_by_role("link", name="Make API key").click()
    expect(page.get_by_label("Slugs")).to_have_value("demo-provider")
    page.get_by_label("Name").fill("Nightly copy")
    page.get_by_label("Expires after days").fill("400")
    page.get_by_role("button", name="Make API key").click()
    expect(page.get_by_role("alert")).to_contain_text("A key lives 1 to 365 days.")
    expect(page.get_by_label("Name")).to_have_value("Nightly copy")
    page.get_by_label("Expires after days").fill("30")
    page.get_by_role("button", name="Make API key").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value(re.compile("^apl_[0-9a-z]{12}_[0-9A-Za-z]{49}$"))
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke Nightly copy").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("Nightly copy was revoked.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Nightly copy"))).to_contain_text("Revoked")


def test_it_finds_in_the_audit_log_what_was_done(page: Page, demo: Application) -> None:
    page.goto("/audit")
    page.get_by_label("What").select_option("Signed in")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("what=signed"))
    expect(page.get_by_role("row").nth(1)).to_contain_text("Signed in")
    page.get_by_label("Who").fill("nobody of the kind")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Nothing that happened fits this filter.")).to_be_visible()


def test_it_searches_as_one_types(page: Page, demo: Application) -> None:
    page.goto("/links")
    page.get_by_label("Search by name").press_sequentially("prov")
    expect(page.get_by_role("link", name="Demo client", exact=True)).to_be_hidden()
    expect(page.get_by_role("link", name="Demo provider", exact=True)).to_be_visible()
    page.get_by_label("Search by name").fill("zzz")
    expect(page.get_by_text("No link's name has a word that begins like this.")).to_be_visible()
