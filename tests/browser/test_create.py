"""Creating an outgoing link, with scripts: the form reveals itself and loses nothing."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.application import Application
from tests.browser.conftest import NewContext
from tests.browser.journey import (
    AUTHORIZATION_ENDPOINT,
    SECRET,
    TOKEN_ENDPOINT,
    create,
    fill_credentials,
    fill_custom,
    open_form,
    save,
)
from tests.conftest import PASSWORD


def test_it_takes_an_error_back_while_its_field_is_mended(page: Page) -> None:
    open_form(page)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#provider-error")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_role("radio", name="Custom").check()
    expect(page.locator("#provider-error")).to_have_count(0)
    expect(page.locator("#name-error")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Wiki")
    expect(page.locator("#name-error")).to_have_count(0)
    expect(page.get_by_label("Name", exact=True)).not_to_have_attribute("aria-invalid", "true")


def test_a_copy_button_gets_its_words_back_though_an_answer_came_meanwhile(page: Page) -> None:
    open_form(page)
    page.get_by_role("radio", name="Google").check()
    page.get_by_role("button", name="Copy").click()
    button = page.get_by_role("button", name="Copied")
    expect(button).to_be_visible()
    button.evaluate("button => delete button.dataset.says")  # as a swap does, which knows nothing of it
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_visible()


def test_it_fills_in_what_google_is_known_for(page: Page) -> None:
    open_form(page)
    page.get_by_role("radio", name="Google").check()
    expect(page.get_by_label("Authorization endpoint")).to_have_value("https://accounts.google.com/o/oauth2/v2/auth")
    expect(page.get_by_label("Token endpoint")).to_have_value("https://oauth2.googleapis.com/token")
    expect(page.get_by_label("Scopes")).to_have_value("openid email")
    expect(page.get_by_label("Redirect URL")).to_have_value(re.compile(r"/oauth/callback/[0-9a-f]{32}$"))
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Payroll mail")
    fill_credentials(page)
    save(page, "Payroll mail")
    expect(page.get_by_text("Set on")).to_be_visible()
    expect(page.get_by_text("Not connected")).to_be_visible()
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_visible()


def test_it_builds_microsofts_endpoints_from_the_tenant(page: Page) -> None:
    open_form(page)
    page.get_by_role("radio", name="Microsoft").check()
    expect(page.get_by_label("Redirect URL")).to_be_visible()
    expect(page.get_by_label("Client ID")).to_be_hidden()
    page.get_by_label("Tenant").fill("common")
    expect(page.get_by_label("Token endpoint")).to_have_value(
        "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    )
    expect(page.get_by_label("Scopes")).to_have_value("openid email offline_access")
    page.get_by_label("Tenant").fill("no tenant/at all")
    expect(page.get_by_text("The tenant must be common")).to_be_visible()


def test_it_reveals_a_custom_form_without_a_page_load(page: Page) -> None:
    open_form(page)
    page.evaluate("window.samePage = true")
    page.get_by_label("Name", exact=True).fill("Payroll")
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Authorization endpoint").fill(AUTHORIZATION_ENDPOINT)
    with page.expect_response("**/fields"):
        page.get_by_label("Token endpoint").fill("https:/login")
    expect(page.get_by_label("Redirect URL")).to_be_hidden()
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    page.get_by_label("Token endpoint").fill(TOKEN_ENDPOINT)
    expect(page.get_by_label("Redirect URL")).to_be_visible()
    expect(page.get_by_label("Client secret")).to_be_visible()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_visible()
    assert page.evaluate("window.samePage")


def test_it_leaves_typing_alone_while_fragments_arrive(page: Page) -> None:
    open_form(page)
    fill_custom(page, "Typing")
    endpoint, client_id = page.get_by_label("Token endpoint"), page.get_by_label("Client ID")
    client_id.fill("")
    more, typed = "/and/a/longer/path/that/takes/a/while/to/type", "typed-while-fragments-arrive"
    endpoint.press("End")
    with page.expect_response("**/fields"):
        endpoint.press_sequentially(more, delay=15)
        client_id.press_sequentially(typed, delay=25)
    expect(endpoint).to_have_value(TOKEN_ENDPOINT + more)
    expect(client_id).to_have_value(typed)
    expect(client_id).to_be_focused()
    expect(page.get_by_label("Client secret")).to_have_value(SECRET)


def test_it_loses_nothing_when_a_field_is_wrong(page: Page) -> None:
    open_form(page)
    fill_custom(page, " ")
    page.get_by_label("Scopes").fill('read "write"')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("2 fields need your attention")
    name = page.get_by_label("Name", exact=True)
    expect(name).to_have_accessible_description(re.compile("Give the link a name"))
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Scopes")).to_have_value('read "write"')
    expect(page.get_by_label("Client ID")).to_have_value("payroll-client")
    expect(page.get_by_label("Client secret")).to_have_value(SECRET)
    assert SECRET not in page.content()
    page.get_by_role("alert").get_by_role("link", name="Name").click()
    expect(name).to_be_focused()
    name.fill("Mended")
    page.get_by_label("Scopes").fill("read")
    save(page, "Mended")


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("javascript:alert(1)", "isn't a complete address"),
        ("http://login.corp.example/token", "Plain http is accepted only for loopback"),
        ("https://10.1.2.3/token", "APPLINKS_ALLOWED_NETWORKS"),
    ],
)
def test_it_says_at_once_what_is_wrong_with_an_endpoint(page: Page, endpoint: str, says: str) -> None:
    open_form(page)
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Authorization endpoint").fill(AUTHORIZATION_ENDPOINT)
    page.get_by_label("Token endpoint").fill(endpoint)
    expect(page.get_by_label("Token endpoint")).to_have_accessible_description(re.compile(re.escape(says)))
    expect(page.get_by_label("Token endpoint")).to_have_value(endpoint)
    expect(page.get_by_label("Client secret")).to_be_hidden()


def test_it_keeps_the_redirect_url_and_what_was_typed_over_a_reload(page: Page) -> None:
    open_form(page)
    fill_custom(page, "Reloaded")
    page.get_by_label("Scopes").fill("read write")
    redirect_url = page.get_by_label("Redirect URL").input_value()
    page.reload()
    expect(page.get_by_label("Redirect URL")).to_have_value(redirect_url)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Reloaded")
    expect(page.get_by_label("Token endpoint")).to_have_value(TOKEN_ENDPOINT)
    expect(page.get_by_label("Client ID")).to_have_value("payroll-client")
    expect(page.get_by_label("Scopes")).to_have_value("read write")
    expect(page.get_by_label("Client secret")).to_have_value("")
    page.get_by_label("Client secret").fill(SECRET)
    save(page, "Reloaded")
    expect(page.get_by_label("Redirect URL")).to_have_value(redirect_url)


def test_it_makes_one_link_of_a_double_click(page: Page) -> None:
    open_form(page)
    fill_custom(page, "Clicked twice")
    page.get_by_role("button", name="Save", exact=True).dblclick()
    expect(page.get_by_role("heading", name="Clicked twice", level=1)).to_be_visible()
    page.goto("/links")
    expect(page.get_by_role("link", name="Clicked twice", exact=True)).to_have_count(1)


def test_it_shows_a_saved_link_when_its_form_is_opened_again(page: Page) -> None:
    open_form(page)
    form = page.url
    fill_custom(page, "Gone back to")
    save(page, "Gone back to")
    page.goto(form)
    expect(page).to_have_url(re.compile("/links/gone-back-to$"))


def test_it_refuses_a_name_that_another_link_has(page: Page) -> None:
    create(page, "Twin")
    open_form(page)
    fill_custom(page, "twin")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Client secret")).to_have_value(SECRET)


def test_it_brings_back_what_was_typed_when_the_session_had_ended(
    new_context: NewContext, serving: Application
) -> None:
    context = new_context(serving.base_url)
    page = sign_in(context)
    open_form(page)
    fill_custom(page, "Interrupted")
    form, redirect_url = page.url, page.get_by_label("Redirect URL").input_value()
    second = context.new_page()
    second.goto("/links")
    second.get_by_role("button", name="Sign out").click()
    expect(second.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")
    assert SECRET not in page.content()
    fill_sign_in(page)
    expect(page).to_have_url(form)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Interrupted")
    expect(page.get_by_label("Redirect URL")).to_have_value(redirect_url)
    expect(page.get_by_label("Client ID")).to_have_value("payroll-client")
    expect(page.get_by_label("Client secret")).to_have_value("")
    page.get_by_label("Client secret").fill(SECRET)
    save(page, "Interrupted")
    assert SECRET not in page.content()


def test_it_asks_to_sign_in_when_the_cookie_is_gone(new_context: NewContext, serving: Application) -> None:
    context = new_context(serving.base_url)
    page = sign_in(context)
    page.goto("/settings")
    context.clear_cookies()
    page.goto("/links/new/outgoing")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    fill_sign_in(page)
    expect(page.get_by_role("heading", name="Create an outgoing link")).to_be_visible()


def sign_in(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/sign-in")
    fill_sign_in(page)
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()
    return page


def fill_sign_in(page: Page) -> None:
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_it_finds_a_provider_as_one_types(page: Page) -> None:
    open_form(page)
    search = page.get_by_label("Search providers")
    search.fill("jira")
    expect(page.get_by_role("radio", name="Atlassian Cloud")).to_be_visible()
    expect(page.get_by_role("radio", name="Custom")).to_be_visible()
    expect(page.get_by_role("radio", name="Dropbox")).to_be_hidden()
    search.press("Enter")
    expect(page.locator("#summary")).to_have_count(0)
    page.get_by_role("radio", name="Atlassian Cloud").check()
    expect(page.get_by_label("Token endpoint")).to_have_value("https://auth.atlassian.com/oauth/token")
    search.fill("")
    expect(page.get_by_role("radio", name="Dropbox")).to_be_visible()


def test_it_asks_where_a_providers_host_is(page: Page) -> None:
    open_form(page)
    page.get_by_label("Search providers").fill("keyc")
    page.get_by_role("radio", name="Keycloak").check()
    page.get_by_label("Name", exact=True).fill("Staff")
    page.get_by_label("Host").fill("https://id.corp.example")
    expect(page.get_by_text("Write the host's name alone")).to_be_visible()
    page.get_by_label("Host").fill("id.corp.example")
    page.get_by_label("Realm").fill("Staff")
    expect(page.get_by_label("Token endpoint")).to_have_value(
        "https://id.corp.example/realms/Staff/protocol/openid-connect/token"
    )
    guide = page.locator(".guide")
    expect(guide).to_contain_text("/oauth/callback/")
    expect(guide).to_contain_text("offline_access")
    fill_credentials(page)
    save(page, "Staff")
    expect(page.get_by_text("Staff", exact=True).last).to_be_visible()
