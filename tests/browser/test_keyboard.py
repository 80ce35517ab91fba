"""The journey by keyboard alone: nothing is clicked, and the focus is always to be seen."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.journey import AUTHORIZATION_ENDPOINT, SECRET, TOKEN_ENDPOINT

MOST_STOPS = 40


def go_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus; every stop on the way must show it."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        shown = page.evaluate(
            "() => { const at = document.activeElement, seen = getComputedStyle(at);"
            " return at === document.body || seen.outlineStyle !== 'none' || seen.boxShadow !== 'none'; }"
        )
        assert shown, page.evaluate("document.activeElement.outerHTML")
        if target.evaluate("target => target === document.activeElement"):
            return
    raise AssertionError(f"Tab doesn't reach {target}")


def write(page: Page, label: str, text: str) -> None:
    go_to(page, page.get_by_label(label, exact=True))
    page.keyboard.type(text)


def test_it_creates_and_connects(page: Page) -> None:
    go_to(page, page.get_by_role("link", name="Create link"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="External application")).to_be_visible()
    go_to(page, page.get_by_role("radio", name="Outgoing"))
    go_to(page, page.get_by_role("button", name="Continue"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Create an outgoing link")).to_be_visible()
    write(page, "Name", "By keyboard")
    go_to(page, page.get_by_role("radio", name="Google"))
    page.keyboard.press("Space")
    expect(page.get_by_label("Redirect URL")).to_be_visible()
    expect(page.get_by_role("radio", name="Google")).to_be_focused()
    page.keyboard.press("ArrowLeft")  # round to the last one
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    expect(page.get_by_label("Userinfo endpoint")).to_be_visible()
    write(page, "Authorization endpoint", AUTHORIZATION_ENDPOINT)
    write(page, "Token endpoint", TOKEN_ENDPOINT)
    expect(page.get_by_label("Redirect URL")).to_be_visible()
    expect(page.get_by_label("Token endpoint")).to_be_focused()
    write(page, "Client ID", "payroll-client")
    write(page, "Client secret", SECRET)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By keyboard", level=1)).to_be_visible()
    go_to(page, page.get_by_role("button", name="Connect", exact=True))


def test_it_connects_disconnects_and_removes(page: Page) -> None:
    go_to(page, page.get_by_role("button", name="Connect Demo provider"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Demo client asks for access")).to_be_visible()
    go_to(page, page.get_by_role("button", name="Allow"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is connected")
    go_to(page, page.get_by_role("button", name="Disconnect"))
    page.keyboard.press("Space")
    expect(page.get_by_role("status")).to_contain_text("was disconnected")
    go_to(page, page.get_by_role("link", name="Remove"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Remove default")).to_be_visible()
    go_to(page, page.get_by_role("button", name="Remove connection"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("was removed")


def test_it_skips_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Create link")).to_be_focused()
