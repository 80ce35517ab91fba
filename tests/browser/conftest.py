"""A real Chromium, real applications, and an eye on every page: its console, its origins, its storage, its secrets."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebError, sync_playwright

from tests import chromium
from tests.browser.application import Application
from tests.conftest import PASSWORD

HERE = Path(__file__).parent
QUIET = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
PATIENCE_MS = 8000

NewContext = Callable[..., BrowserContext]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("There is no Chromium, and with CI=true the browser tests must run.")
    if path is None:
        pytest.skip("There is no Chromium: `python tests/chromium.py` gets one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """The demo, with its seeded pair of links."""
    application = Application(tmp_path_factory.mktemp("demo") / "data", "demo")
    yield application
    application.stop()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, demo: Application) -> Any:
    """The cookie of the demo's administrator, got at its one-time address."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(demo.address)
    assert page.url == f"{demo.base_url}/links"
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="module")
def serving(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """An Applinks that serves for real; its first administrator is ada."""
    application = Application(tmp_path_factory.mktemp("serving") / "data")
    page = browser.new_page()
    page.goto(application.address)
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    page.get_by_role("heading", name="Application links").wait_for()
    page.close()
    yield application
    application.stop()


class Watch:
    """What the pages of one context did that they shouldn't."""

    def __init__(self, context: BrowserContext, base_url: str, provider: str) -> None:
        self.context = context
        self.base_url = base_url
        self.known = tuple(filter(None, (f"{base_url}/", "data:", provider)))
        self.complaints: list[str] = []
        self.requests: list[str] = []
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", lambda request: self.requests.append(request.url))

    def check(self) -> None:
        for page in self.context.pages:
            assert "CANARY" not in page.content(), f"a secret is in the page {page.url}"
            assert "CANARY" not in page.url
            if page.url.startswith(self.base_url):
                assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        strangers = [url for url in self.requests if not url.startswith(self.known)]
        assert not strangers, f"a page asked another origin: {strangers}"
        assert not self.complaints, self.complaints

    def _console(self, message: ConsoleMessage) -> None:
        expected = re.match(r"Failed to load resource: the server responded with a status of 4\d\d", message.text)
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def _error(self, error: WebError) -> None:
        self.complaints.append(str(error.error))


@pytest.fixture
def new_context(browser: Browser) -> Iterator[NewContext]:
    """Make contexts that are watched, and judged when the test has ended."""
    watches: list[Watch] = []

    def make(base_url: str, provider: str = "", **options: Any) -> BrowserContext:
        context = browser.new_context(base_url=base_url, **options)
        context.set_default_timeout(PATIENCE_MS)
        watches.append(Watch(context, base_url, provider))
        return context

    yield make
    for watch in watches:
        watch.check()
        watch.context.close()


@pytest.fixture
def page(new_context: NewContext, demo: Application, signed_in: Any) -> Page:
    """A page of the demo, signed in, at the list of links."""
    page = new_context(demo.base_url, storage_state=signed_in).new_page()
    page.goto("/links")
    return page


@pytest.fixture
def plain_page(new_context: NewContext, demo: Application, signed_in: Any) -> Page:
    """The same without JavaScript."""
    page = new_context(demo.base_url, storage_state=signed_in, java_script_enabled=False).new_page()
    page.goto("/links")
    return page
