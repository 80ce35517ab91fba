"""From nothing to a token, in a real browser: a custom provider by its issuer, and GitHub, both played by a stand-in."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from applinks import create_app
from applinks.crypto import hash_password, new_id
from applinks.models import Administrator, Connection, database
from applinks.providers import CATALOGUE
from applinks.settings import read_settings
from tests.browser.conftest import NewContext
from tests.browser.journey import SECRET, open_form, save
from tests.conftest import PASSWORD
from tests.processes import free_port
from tests.providers.conftest import moved
from tests.standin import QuietHandler, StandIn, json_answer


def consent_page(request: Request) -> Response:
    """Asks for consent, and leads back with a code."""
    back = urlencode({"code": "CANARY-code", "state": request.args["state"]})
    url = escape(f"{request.args['redirect_uri']}?{back}")
    page = (
        f'<!doctype html><html lang="en"><title>Consent</title><link rel="icon" href="data:,"><a href="{url}">Allow</a>'
    )
    return Response(page, content_type="text/html; charset=utf-8")


@pytest.fixture
def provider() -> Iterator[StandIn]:
    provider = StandIn()

    def token_endpoint(request: Request) -> Response:
        made_up = request.form.get("grant_type") == "authorization_code" and request.form.get("code") != "CANARY-code"
        refused = json_answer({"error": "bad_verification_code"})
        return refused(request) if made_up else json_answer(provider.grant())(request)

    provider.documents = {"/authorize": consent_page, "/token": token_endpoint}
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def page(tmp_path: Path, provider: StandIn, new_context: NewContext) -> Iterator[Page]:
    """Signed in to an Applinks whose every provider is the stand-in."""
    base_url = f"http://127.0.0.1:{free_port()}"
    settings = read_settings({"APPLINKS_DATA_DIR": str(tmp_path / "data"), "APPLINKS_BASE_URL": base_url})
    catalogue = {key: moved(drawer, provider.base_url) for key, drawer in CATALOGUE.items()}
    app = create_app(settings, catalogue=catalogue)
    Administrator.create(id=new_id(), username="ada", password_hash=hash_password(PASSWORD), created_at=1)
    server = make_server(
        "127.0.0.1", int(base_url.rpartition(":")[2]), app, threaded=True, request_handler=QuietHandler
    )
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    page = new_context(base_url, provider.base_url).new_page()
    page.goto("/sign-in")
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()
    yield page
    server.shutdown()
    server.server_close()
    thread.join()
    app.extensions["applinks"].counts.stop()
    database.close()


def check(page: Page) -> None:
    page.get_by_role("link", name="Check this link").click()
    page.get_by_role("button", name="Check this link").click()
    expect(page.locator(".finding.done")).to_be_visible()


def result(page: Page, key: str) -> str:
    return str(page.locator(f'.finding[data-key="{key}"]').get_attribute("class")).split()[1]


def connect(page: Page) -> None:
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").last.click()
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("link", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("is connected")
    page.get_by_role("button", name="Refresh now").click()
    expect(page.get_by_role("status")).to_contain_text("The token was refreshed")


def test_it_connects_a_custom_provider_by_its_issuer(page: Page, provider: StandIn) -> None:
    issuer = provider.publish(
        userinfo_endpoint=f"{provider.base_url}/userinfo",
        scopes_supported=["openid", "wiki:read"],
        token_endpoint_auth_methods_supported=["client_secret_post"],
        code_challenge_methods_supported=["S256"],
    )
    open_form(page)
    page.get_by_label("Name", exact=True).fill("Wiki")
    page.get_by_role("radio", name="Custom").check()
    expect(page.get_by_label("Redirect URL")).to_be_hidden()
    page.get_by_label("Issuer URL").fill(f"{issuer}/")
    page.get_by_role("button", name="Find endpoints").click()
    expect(page.get_by_text("names another issuer")).to_be_visible()
    page.get_by_label("Issuer URL").fill(issuer)
    page.get_by_role("button", name="Find endpoints").click()
    expect(page.get_by_label("Token endpoint")).to_have_value(f"{provider.base_url}/token")
    expect(page.get_by_label("Userinfo endpoint")).to_have_value(f"{provider.base_url}/userinfo")
    expect(page.get_by_text("It knows PKCE with S256")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Wiki")
    expect(page.get_by_label("Redirect URL")).to_be_visible()
    page.get_by_label("Client ID").fill("wiki-client")
    page.get_by_label("Client secret").fill(SECRET)
    page.get_by_role("button", name="Add wiki:read").click()
    expect(page.get_by_label("Scopes")).to_have_value("wiki:read")
    save(page, "Wiki")
    check(page)
    assert result(page, "base_url") == "passed"
    assert result(page, "metadata") == "passed"
    assert result(page, "credentials") == "passed"
    assert result(page, "scopes") == "passed"
    connect(page)
    assert Connection.get().account == "ada@example.com"


def test_it_connects_github(page: Page, provider: StandIn) -> None:
    provider.userinfo = {"login": "ada-lovelace", "email": None}
    open_form(page)
    page.get_by_label("Name", exact=True).fill("Code")
    page.get_by_role("radio", name="GitHub").check()
    expect(page.locator(".guide")).to_contain_text("Authorization callback URL")
    expect(page.get_by_label("Scopes")).to_have_value("read:user")
    page.get_by_text("Usual scopes").click()
    page.get_by_role("button", name="Add repo", exact=True).click()
    page.get_by_label("Client ID").fill("0123456789abcdef0123")
    page.get_by_label("Client secret").fill(SECRET)
    save(page, "Code")
    check(page)
    assert result(page, "credentials") == "passed"
    assert result(page, "connection") == "skipped"
    page.locator('.finding[data-key="credentials"] summary').click()
    expect(page.get_by_text("with a made-up code and client_secret_post")).to_be_visible()
    connect(page)
    assert Connection.get().account == "ada-lovelace"
    provider.userinfo = {"login": "somebody-else"}
    page.get_by_role("button", name="Reconnect").click()
    page.get_by_role("link", name="Allow").click()
    expect(page.get_by_role("heading", name="Another account")).to_be_visible()
    page.get_by_role("button", name="Leave it as ada-lovelace").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was changed")
    assert Connection.get().account == "ada-lovelace"


def test_it_shows_a_check_that_fails_and_leads_to_the_mend(page: Page, provider: StandIn) -> None:
    provider.documents["/token"] = json_answer({"error": "incorrect_client_credentials"})
    open_form(page)
    page.get_by_label("Name", exact=True).fill("Code")
    page.get_by_role("radio", name="GitHub").check()
    page.get_by_label("Client ID").fill("0123456789abcdef0123")
    page.get_by_label("Client secret").fill(SECRET)
    save(page, "Code")
    check(page)
    failed = page.locator('.finding[data-key="credentials"]')
    expect(failed).to_contain_text("GitHub refused the client ID or the client secret.")
    expect(page.locator(".finding.done")).to_contain_text("has failed")
    failed.get_by_role("link", name="Edit the link").click()
    expect(page.get_by_role("heading", name="Edit Code")).to_be_visible()
