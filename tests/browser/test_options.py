"""The folded part of the form: it stays out of the way, keeps what was typed, and shows itself when it is wrong."""

from playwright.sync_api import Page, Route, expect

from tests.browser.journey import AUTHORIZATION_ENDPOINT, TOKEN_ENDPOINT, fill_credentials, fill_custom, open_form, save

ADVANCED = "#advanced > summary"


def fill(page: Page, name: str) -> None:
    open_form(page)
    fill_custom(page, name)
    page.locator(ADVANCED).click()


def test_it_stays_folded_until_it_is_wanted(page: Page) -> None:
    open_form(page)
    fill_custom(page, "Folded")
    expect(page.get_by_label("Scope separator")).to_be_hidden()
    page.locator(ADVANCED).click()
    expect(page.get_by_label("Scope separator")).to_be_visible()


def test_it_keeps_what_was_typed_when_the_form_reveals_more(page: Page) -> None:
    fill(page, "Kept")
    page.get_by_label("Extra token parameters").fill("resource=x")
    page.get_by_label("Client authentication", exact=True).select_option("none")
    expect(page.get_by_label("Client secret")).to_have_count(0)
    expect(page.get_by_label("Extra token parameters")).to_have_value("resource=x")
    expect(page.get_by_label("Extra token parameters")).to_be_visible()
    page.get_by_label("Client authentication", exact=True).select_option("client_secret_post")
    expect(page.get_by_label("Client secret")).to_be_visible()
    fill_credentials(page)
    save(page, "Kept")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.locator(ADVANCED).click()
    expect(page.get_by_label("Extra token parameters")).to_have_value("resource=x")
    expect(page.get_by_label("Client authentication", exact=True)).to_have_value("client_secret_post")


def test_it_brings_back_what_was_typed_when_a_choice_is_taken_back(page: Page) -> None:
    fill(page, "Undecided")
    page.get_by_label("Issuer").fill("https://login.corp.example")
    page.get_by_role("radio", name="Google").check()
    expect(page.get_by_label("Authorization endpoint")).to_have_value("https://accounts.google.com/o/oauth2/v2/auth")
    page.get_by_role("radio", name="Custom").check()
    expect(page.get_by_label("Authorization endpoint")).to_have_value(AUTHORIZATION_ENDPOINT)
    expect(page.get_by_label("Token endpoint")).to_have_value(TOKEN_ENDPOINT)
    page.get_by_label("Grant type").select_option("client_credentials")
    expect(page.get_by_label("Authorization endpoint")).to_have_count(0)
    page.get_by_label("Grant type").select_option("authorization_code")
    expect(page.get_by_label("Authorization endpoint")).to_have_value(AUTHORIZATION_ENDPOINT)
    expect(page.get_by_label("Client ID")).to_have_value("payroll-client")


def test_it_keeps_a_choice_that_was_made_while_an_answer_was_on_its_way(page: Page) -> None:
    fill(page, "Undecided")
    page.get_by_role("radio", name="Google").check()
    expect(page.get_by_label("Authorization endpoint")).to_have_value("https://accounts.google.com/o/oauth2/v2/auth")

    def choose_meanwhile(route: Route) -> None:
        late = route.fetch()
        page.get_by_label("Grant type").select_option("client_credentials")
        route.fulfill(response=late)

    page.route("**/fields", choose_meanwhile, times=1)  # what belongs to the endpoints that are brought back
    page.route("**/fields", lambda route: route.continue_(), times=1)  # before it, what belongs to the provider
    page.get_by_role("radio", name="Custom").check()
    expect(page.get_by_label("Authorization endpoint")).to_have_count(0)
    expect(page.get_by_label("Grant type")).to_have_value("client_credentials")


def test_it_drops_no_stored_option_when_a_choice_is_taken_back(page: Page) -> None:
    fill(page, "Steadfast")
    page.get_by_label("Issuer").fill("https://login.corp.example")
    page.get_by_label("Require iss").select_option("yes")
    page.get_by_label("Extra token parameters").fill("resource=x")
    page.get_by_label("Scope separator").select_option("comma")
    page.get_by_label("Scopes").fill("read write")
    save(page, "Steadfast")
    page.get_by_role("link", name="Edit", exact=True).click()
    for choose in (
        lambda: page.get_by_role("radio", name="Google").check(),
        lambda: page.get_by_label("Grant type").select_option("client_credentials"),
    ):
        choose()
        if page.get_by_role("radio", name="Google").is_checked():
            expect(page.get_by_label("Extra token parameters")).to_have_value("")
            page.get_by_role("radio", name="Custom").check()
        else:
            page.get_by_label("Grant type").select_option("authorization_code")
        expect(page.get_by_label("Token endpoint")).to_have_value(TOKEN_ENDPOINT)
        expect(page.get_by_label("Authorization endpoint")).to_have_value(AUTHORIZATION_ENDPOINT)
        expect(page.locator("#issuer")).to_have_value("https://login.corp.example")
        expect(page.locator("#iss_required")).to_have_value("yes")
        expect(page.locator("#token_parameters")).to_have_value("resource=x")
        expect(page.locator("#scope_separator")).to_have_value("comma")
        expect(page.locator("#scopes")).to_have_value("read write")


def test_it_puts_a_draft_back_over_the_version_that_it_was_typed_over(page: Page) -> None:
    fill(page, "Shared")
    save(page, "Shared")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Scopes").fill("mine")
    page.reload()
    expect(page.get_by_label("Scopes")).to_have_value("mine")
    colleague = page.context.new_page()
    colleague.goto(page.url)
    colleague.get_by_label("Scopes").fill("theirs")
    save(colleague, "Shared")
    page.reload()
    page.wait_for_function("document.querySelector('#scopes').value !== 'mine'")
    expect(page.get_by_label("Scopes")).to_have_value("theirs")


def test_it_leaves_a_public_client_behind_with_its_provider(page: Page) -> None:
    fill(page, "Not Google")
    page.get_by_label("Client authentication", exact=True).select_option("none")
    expect(page.get_by_text("A public client has no client secret.")).to_be_visible()
    page.get_by_role("radio", name="Google").check()
    expect(page.get_by_label("Client secret")).to_be_visible()


def test_it_offers_microsofts_application_scope_without_an_account(page: Page) -> None:
    open_form(page)
    page.get_by_label("Name", exact=True).fill("Directory")
    page.get_by_role("radio", name="Microsoft").check()
    page.get_by_label("Tenant").fill("common")
    expect(page.get_by_label("Scopes")).to_have_value("openid email offline_access")
    page.get_by_label("Grant type").select_option("client_credentials")
    expect(page.get_by_label("Scopes")).to_have_value("https://graph.microsoft.com/.default")
    expect(page.locator("#tenant-error")).to_contain_text("belong to one directory")
    page.get_by_label("Tenant").fill("corp.example")
    expect(page.locator("#tenant-error")).to_have_count(0)
    fill_credentials(page)
    expect(page.get_by_label("Scopes")).to_have_value("https://graph.microsoft.com/.default")


def test_it_unfolds_where_something_is_wrong(page: Page) -> None:
    fill(page, "Wrong")
    page.get_by_label("Extra token parameters").fill("client_id=evil")
    page.locator(ADVANCED).click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Applinks sends it itself")
    expect(page.get_by_label("Extra token parameters")).to_be_visible()
    expect(page.get_by_label("Extra token parameters")).to_have_value("client_id=evil")


def test_it_asks_for_no_account_with_client_credentials(page: Page) -> None:
    open_form(page)
    page.get_by_label("Name", exact=True).fill("Service")
    page.get_by_role("radio", name="Custom").check()
    page.get_by_label("Grant type").select_option("client_credentials")
    expect(page.get_by_label("Authorization endpoint")).to_have_count(0)
    page.get_by_label("Token endpoint").fill("http://127.0.0.1:2/token")
    expect(page.get_by_label("Client ID")).to_be_visible()
    expect(page.get_by_label("Redirect URL")).to_have_count(0)
    fill_credentials(page)
    save(page, "Service")
    expect(page.get_by_role("status")).to_contain_text("The link is not connected.")
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_visible()


def test_it_works_without_scripts(plain_page: Page) -> None:
    open_form(plain_page)
    plain_page.get_by_label("Name", exact=True).fill("Plain public client")
    plain_page.get_by_role("radio", name="Custom").check()
    plain_page.get_by_role("button", name="Continue").click()
    plain_page.get_by_label("Authorization endpoint").fill(AUTHORIZATION_ENDPOINT)
    plain_page.get_by_label("Token endpoint").fill(TOKEN_ENDPOINT)
    plain_page.get_by_role("button", name="Continue").click()
    plain_page.locator(ADVANCED).click()
    plain_page.get_by_label("Client authentication", exact=True).select_option("none")
    plain_page.get_by_label("Client ID").fill("public-client")
    save(plain_page, "Plain public client")
    expect(plain_page.get_by_text("None: a public client")).to_be_visible()
