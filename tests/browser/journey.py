"""Steps that several journeys share, in a person's words."""

import re

from playwright.sync_api import Page, expect

SECRET = "CANARY-typed-secret"
AUTHORIZATION_ENDPOINT = "https://login.corp.example/authorize"
TOKEN_ENDPOINT = "https://login.corp.example/token"


def open_form(page: Page) -> None:
    """From any page to the empty form for an outgoing link."""
    page.goto("/links")
    page.get_by_role("link", name="Create link").click()
    page.get_by_role("radio", name="Outgoing").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile("/links/new/outgoing/[0-9a-f]{32}$"))


def fill_custom(page: Page, name: str) -> None:
    """Fill in a custom link; the credentials must show themselves."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Authorization endpoint").fill(AUTHORIZATION_ENDPOINT)
    page.get_by_label("Token endpoint").fill(TOKEN_ENDPOINT)
    fill_credentials(page)


def fill_credentials(page: Page) -> None:
    page.get_by_label("Client ID").fill("payroll-client")
    page.get_by_label("Client secret").fill(SECRET)


def save(page: Page, name: str) -> None:
    """Save, and arrive at the link's page."""
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/links/[a-z0-9-]+$"))


def create(page: Page, name: str) -> None:
    """A custom link that isn't connected."""
    open_form(page)
    fill_custom(page, name)
    save(page, name)


def connect(page: Page, label: str) -> None:
    """Connect one more account of the demo's link, through its consent page."""
    page.goto("/links/demo-provider/connect-another")
    page.get_by_label("Label").fill(label)
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected")
