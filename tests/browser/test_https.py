"""Every form posted once over https, behind a TLS front, as it is run for real."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.application import Application, free_port
from tests.browser.conftest import NewContext
from tests.browser.journey import create
from tests.browser.tls import TlsFront
from tests.conftest import PASSWORD

PROVIDER = "https://login.corp.example/"
NEW_PASSWORD = "CANARY another plum lantern"


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """An Applinks without an administrator yet, known as https://localhost:<port>."""
    folder, port = tmp_path_factory.mktemp("https"), free_port()
    application = Application(folder / "data", APPLINKS_BASE_URL=f"https://localhost:{port}")
    front = TlsFront(port, application.port, folder)
    yield application
    front.stop()
    application.stop()


@pytest.fixture
def page(secure: Application, new_context: NewContext) -> Page:
    """A page at the setup address."""
    page = new_context(secure.base_url, provider=PROVIDER, ignore_https_errors=True).new_page()
    answer = page.goto(secure.address)
    assert answer
    assert answer.headers["strict-transport-security"] == "max-age=63072000"
    assert answer.headers["referrer-policy"] == "strict-origin"
    return page


def set_up(page: Page) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_it_sets_up_signs_out_and_signs_in(page: Page, secure: Application) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    set_up(page)
    (cookie,) = page.context.cookies()
    assert cookie["name"] == "__Host-applinks"
    assert (cookie["secure"], cookie["httpOnly"], cookie["path"], cookie["domain"]) == (True, True, "/", "localhost")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, "CANARY wrong password")
    expect(page.get_by_label("Password")).to_have_accessible_description(re.compile("User name or password is wrong"))
    sign_in(page, PASSWORD)
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()
    page.context.clear_cookies()
    again = page.goto(secure.address)
    assert again
    assert again.status == 404, "a setup address works once"


def test_it_posts_every_other_form(page: Page, secure: Application) -> None:
    set_up(page)
    create(page, "Over TLS")
    expect(page.get_by_label("Redirect URL")).to_have_value(re.compile(f"^{secure.base_url}/oauth/callback/"))
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Scopes").fill("read")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("The link was saved.")
    connect_and_go_back(page)
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete link").click()
    expect(page.get_by_role("status")).to_contain_text("was deleted")
    change_settings(page)


def connect_and_go_back(page: Page) -> None:
    """As far as the provider's own page, which is played here: nothing of this name is on loopback."""
    page.route(f"{PROVIDER}**", lambda route: route.fulfill(body="<h1>Give consent</h1>", content_type="text/html"))
    with page.expect_request(f"{PROVIDER}authorize?**") as asked:
        page.get_by_role("button", name="Connect", exact=True).click()
    assert "code_challenge_method=S256" in asked.value.url
    assert "referer" not in asked.value.headers
    expect(page.get_by_role("heading", name="Give consent")).to_be_visible()
    page.goto("/links/over-tls")


def change_settings(page: Page) -> None:
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("radio", name="Dark").check()
    page.get_by_role("button", name="Save appearance").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("Current password").fill("CANARY not this one")
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status")).to_contain_text("Your password was changed.")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, PASSWORD)
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    sign_in(page, NEW_PASSWORD)
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()


@pytest.fixture
def secure_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """The demo behind the front; its token endpoint is asked past the front, whose certificate nobody trusts."""
    folder, port = tmp_path_factory.mktemp("https-demo"), free_port()
    application = Application(folder / "data", "demo", APPLINKS_BASE_URL=f"https://localhost:{port}")
    front = TlsFront(port, application.port, folder)
    plain = f"http://127.0.0.1:{application.port}"
    endpoints = {"authorization_endpoint": f"{application.base_url}/oauth/authorize"}
    endpoints |= {f"{name}_endpoint": f"{plain}/oauth/{name}" for name in ("token", "userinfo")}
    application.sql("UPDATE outgoing_link SET differences = ?", json.dumps(endpoints))
    yield application
    front.stop()
    application.stop()


def test_it_posts_every_form_of_a_connection(secure_demo: Application, new_context: NewContext) -> None:
    page = new_context(secure_demo.base_url, ignore_https_errors=True).new_page()
    page.goto(secure_demo.address)
    page.get_by_role("button", name="Connect Demo provider").click()
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("demo is connected.")
    page.get_by_role("button", name="Refresh now").click()
    expect(page.get_by_role("status")).to_contain_text("The token was refreshed.")
    page.get_by_role("link", name="Connect another account").click()
    page.get_by_label("Label").fill("second")
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("button", name="Allow").click()
    second = page.locator("#connection-second")
    second.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_role("status")).to_contain_text("second was disconnected.")
    second.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove connection").click()
    expect(page.get_by_role("status")).to_contain_text("second was removed.")
