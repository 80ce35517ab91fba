"""Every page: axe finds nothing in either colour scheme, nothing scrolls sideways, and stored text stays text."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from applinks.models import State
from tests.browser.application import Application
from tests.browser.conftest import NewContext
from tests.browser.journey import SECRET, connect, create, fill_custom, open_form
from tests.conftest import PASSWORD

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
RUN_AXE = """async rules => (await axe.run(rules ? {runOnly: {type: "rule", values: rules}} : {})).violations
    .map(found => `${found.id}: ${found.nodes.map(node => node.html + " " + node.failureSummary).join("; ")}`)"""
WIDER_THAN = """() => [...document.querySelectorAll("body *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1).slice(-3).map(each => each.outerHTML)"""
WIDTHS = (1600, 1280, 768, 705, 641, 390, 320)

LONG = "W" * 100
HOSTILE = "<img src=/x onerror=alert(1)><div data-hx-get=/x data-hx-trigger=load>{{7*7}}"
LONG_SLUG = "w" * 50
HOSTILE_SLUG = "img-src-x-onerror-alert-1-div-data-hx-get-x-data-h"
PATHS = (
    "/links",
    "/links/new",
    "/links/new/incoming",
    "/links/demo-client/edit",
    "/links/demo-client/secret",
    "/links/demo-client/revoke",
    "/authorized-applications",
    "/links/demo-provider",
    "/links/demo-provider/checks",
    "/links/demo-provider/connect-another",
    "/links/demo-provider/connections/default",
    f"/links/demo-provider/connections/check-settings-{'w' * 40}",
    "/links/demo-provider/connections/default/remove",
    "/links/demo-provider/delete",
    "/links/demo-provider/edit",
    "/links/demo-provider/next-secret",
    "/links/demo-client",
    "/links/demo-client/delete",
    f"/links/{LONG_SLUG}",
    f"/links/{LONG_SLUG}/edit",
    f"/links/{LONG_SLUG}/delete",
    f"/links/{HOSTILE_SLUG}",
    f"/links/{HOSTILE_SLUG}/edit",
    f"/links/{HOSTILE_SLUG}/delete",
    f"/links/{HOSTILE_SLUG}/connect-another",
    "/api-keys",
    "/api-keys/new",
    "/audit",
    "/deadlines",
    "/audit?since=soon&link=payroll",
    "/settings",
    f"/{'nothing-is-here' * 20}",
    "/oauth/authorize?client_id=nobody",
)
ADD_CONNECTION = """INSERT INTO connection
    (id, link_id, label, state, words, account, scopes_asked, scopes_granted, access_token_enc, refresh_token_enc,
     previous_refresh_token_enc, expires_at, refreshed_at, failures, generation, lease_owner, lease_until, created_at)
    SELECT ?, link_id, ?, ?, ?, ?, ?, ?, '', '', '', expires_at, refreshed_at, 0, 0, '', 0, created_at
    FROM connection WHERE label = 'default'"""


@pytest.fixture
def page(page: Page, demo: Application) -> Page:
    """A page of a demo that is full of long and hostile names, and of a connection in every state."""
    missing = page.goto(f"/links/{HOSTILE_SLUG}")
    if missing and missing.status == 404:
        create(page, LONG)
        create(page, HOSTILE)
        connect(page, "default")
        for state in State:
            label = f"{state.replace('_', '-')}-{'w' * 40}"
            demo.sql(ADD_CONNECTION, state, label, state, f"{LONG} {HOSTILE}", HOSTILE + LONG, LONG, "<b>x</b>")
    return page


def tour(page: Page) -> Iterator[str]:
    """Go from page to page of a demo, and to what forms look like on the way; names each stop."""
    for path in PATHS:
        page.goto(path)
        yield path
    page.goto("/links/demo-provider/connect-another")
    page.get_by_label("Label").fill("Not A Label")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_label("Label")).to_have_attribute("aria-invalid", "true")
    yield "a wrong label"
    page.route("**/oauth/authorize?**", lambda route: route.fulfill(status=204))
    page.get_by_label("Label").fill("never-allowed")
    with page.expect_response("**/oauth/authorize?**"):  # it goes on by itself, at a time that nobody knows
        page.get_by_role("button", name="Connect", exact=True).click()
    onward = page.get_by_role("link", name="Continue to")
    consent = onward.get_attribute("href") or ""
    yield "the page before the provider"
    page.unroute("**/oauth/authorize?**")
    page.goto(consent)
    yield "consent"
    page.goto("/links/demo-provider")
    page.goto(page.get_by_label("Redirect URL").input_value() + "?error=access_denied&state=made-up")
    yield "not connected"
    yield from tour_of_the_form(page)
    yield from tour_of_incoming(page)


def tour_of_the_form(page: Page) -> Iterator[str]:
    open_form(page)
    yield "the empty form"
    page.get_by_role("radio", name="Google").check()
    page.get_by_text("Usual scopes").click()
    page.get_by_role("button", name="Copy").click()
    yield "Google's form"
    page.get_by_role("radio", name="Microsoft").check()
    page.get_by_label("Tenant").fill("no tenant")
    expect(page.get_by_label("Tenant")).to_have_attribute("aria-invalid", "true")
    yield "a wrong tenant"
    fill_custom(page, "")
    page.get_by_label("Scopes").fill(f'"{LONG}"')
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "a form with errors"


def tour_of_incoming(page: Page) -> Iterator[str]:
    page.goto("/links/new/incoming")
    page.get_by_text("Link with another Applinks").click()
    page.get_by_text("How long tokens live").click()
    page.get_by_label("Redirect URL").fill(f"http://{LONG}.example/")
    yield "an incoming link's form, unfolded"
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "an incoming link's form with errors"
    page.get_by_label("Name", exact=True).fill(LONG.lower().replace("w", "v"))
    page.get_by_label("Redirect URL").fill(f"https://app.example/{LONG}")
    for name in ("profile", "links:read", "tokens:read", "links:manage", "Client credentials"):
        page.get_by_role("checkbox", name=name).check()
    for tick in page.get_by_role("group", name="Links whose tokens it may read").get_by_role("checkbox").all():
        tick.check()
    page.get_by_role("button", name="Save", exact=True).click()
    heading = page.get_by_role("heading", name="Credentials of")
    if page.get_by_role("alert").is_hidden():
        expect(heading).to_be_visible()
        yield "the credentials of an incoming link"
    page.goto("/links/" + "v" * 50)
    page.get_by_text("What to give to the other side").click()
    yield "an incoming link's page"
    page.goto("/links/demo-client")
    page.get_by_role("link", name="Revoke the consent of demo").click()
    expect(page.get_by_role("button", name="Revoke")).to_be_visible()
    yield "taking a consent back"


def tour_of_signing_in(page: Page, application: Application) -> Iterator[str]:
    """The pages that a demo hasn't; a click doesn't wait for the page that it leads to, so what is new there is awaited."""
    page.goto(application.address)
    yield "setup"
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_label("User name")).to_have_attribute("aria-invalid", "true")
    yield "setup with errors"
    page.get_by_label("User name").fill("w" * 40)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    expect(page.get_by_role("heading", name="Application links")).to_be_visible()
    yield "the empty list"
    page.goto("/settings")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("Current password")).to_have_attribute("aria-invalid", "true")
    yield "a wrong password change"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    yield "signed out"
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    yield "a wrong sign-in"


def violations(page: Page) -> list[str]:
    """All of axe in light; in dark what colours can change."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    return found + [f"dark {text}" for text in page.evaluate(RUN_AXE, ["color-contrast", "link-in-text-block"])]


def sideways(page: Page) -> list[str]:
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{width}: {page.evaluate(WIDER_THAN)}")
    page.set_viewport_size({"width": 1280, "height": 800})
    return found


def judged(page: Page, stops: Iterator[str]) -> dict[str, list[str]]:
    """What is wrong at each stop of a tour."""
    wrong: dict[str, list[str]] = {}
    for stop in stops:
        if found := sideways(page) + violations(page):
            wrong[stop] = found
    return wrong


def test_every_page_of_the_demo_is_accessible_and_fits(page: Page) -> None:
    assert judged(page, tour(page)) == {}


def test_every_page_around_signing_in_is_accessible_and_fits(
    tmp_path_factory: pytest.TempPathFactory, new_context: NewContext
) -> None:
    application = Application(tmp_path_factory.mktemp("tour") / "data")
    page = new_context(application.base_url).new_page()
    assert judged(page, tour_of_signing_in(page, application)) == {}
    application.stop()


def test_stored_text_stays_text(page: Page) -> None:
    """A name, a label's account and a provider's words neither run nor ask for anything."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for stop in tour(page):
        assert page.locator("[data-hx-get='/x'], img[src='/x'], main b").count() == 0, stop
        assert "{{7*7}}" not in page.url
    assert not [url for url in asked if url.endswith("/x")]
    page.goto(f"/links/{HOSTILE_SLUG}")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.goto("/links/demo-provider")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()


def test_no_page_can_be_framed(browser: Browser, demo: Application, signed_in: Any) -> None:
    """Not even by a page of the same origin."""
    context = browser.new_context(base_url=demo.base_url, storage_state=signed_in)
    page = context.new_page()
    page.route("**/framing", lambda route: route.fulfill(body="<iframe src=/links></iframe>", content_type="text/html"))
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto("/framing")
    page.wait_for_load_state("networkidle")
    assert "frame-ancestors" in " ".join(refused)
    assert page.frame_locator("iframe").get_by_role("heading", name="Application links").count() == 0
    context.close()


def test_it_keeps_nothing_in_the_browsers_storage(page: Page) -> None:
    open_form(page)
    fill_custom(page, "Kept nowhere")
    page.reload()
    page.get_by_label("Client secret").fill(SECRET)
    stored = "async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
    assert page.evaluate(stored) == [0, 0, 0]
    assert [cookie["name"] for cookie in page.context.cookies()] == [f"applinks-{page.url.split(':')[2].split('/')[0]}"]
    assert SECRET not in str(page.evaluate("history.state"))
