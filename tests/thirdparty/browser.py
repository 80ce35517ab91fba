"""A person's browser at a third party: keeps cookies, follows redirects, signs in, and allows or denies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests
from werkzeug.test import TestResponse

from tests.visitor import BASE_URL, Visitor, text_of

USERNAME = "ada"
PASSWORD = "CANARY-ada-at-the-third-party"
STEPS = 20
SECONDS = 10


def save_link(ada: Visitor, form: Mapping[str, str], link_id: str) -> TestResponse:
    """Press *Save*, and expect that nothing is wrong with the form."""
    saved = ada.post(f"/links/new/outgoing/{link_id}", dict(form))
    assert saved.status_code == 303, text_of(saved)
    return saved


def press_connect(ada: Visitor, slug: str = "third") -> str:
    """Press *Connect* and return the URL that the *Continue* page leads to."""
    return ada.continue_url(ada.post(f"/links/{slug}/connect"))


def come_back(ada: Visitor, url: str, *, allow: bool = True) -> TestResponse:
    """Decide at the third party's pages, and come back to the callback with what it says."""
    return ada.get(decide(url, allow=allow))


def decide(url: str, *, allow: bool = True) -> str:
    """Walk through a third party's pages from its authorization endpoint to its redirect to us: path and query."""
    with requests.Session() as session:
        session.trust_env = False
        request = requests.Request("GET", url)
        for _ in range(STEPS):
            response = session.send(session.prepare_request(request), allow_redirects=False, timeout=SECONDS)
            if response.is_redirect:
                url = urljoin(response.url, response.headers["Location"])
                if url.startswith(f"{BASE_URL}/"):
                    return url.removeprefix(BASE_URL)
                request = requests.Request("GET", url)
            else:
                assert response.status_code == 200, response.text
                request = _answer(Page(response), allow)
    raise AssertionError(f"{STEPS} steps, and the third party still has questions")


def _answer(page: "Page", allow: bool) -> requests.Request:
    """Sign in where a password is asked for; elsewhere press what allows, or what doesn't."""
    assert page.forms, page.text
    form = page.forms[0]
    if "password" in form.fields:
        who = {name: USERNAME for name in ("username", "login") if name in form.fields}
        return form.press({}, who | {"password": PASSWORD})
    if allow:
        return form.press(next(button for button in form.buttons if "Cancel" not in button.values()))
    if "[ Cancel ]" in page.links:
        return requests.Request("GET", page.links["[ Cancel ]"])
    return form.press(next(button for button in form.buttons if "Cancel" in button.values()))


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)

    def press(self, button: Mapping[str, str], typed: Mapping[str, str] | None = None) -> requests.Request:
        pressed = {button["name"]: button.get("value", "")} if button.get("name") else {}
        return requests.Request("POST", self.action, data={**self.fields, **(typed or {}), **pressed})


class Page(HTMLParser):
    """The forms of a page, and its links by their text."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.url, self.text = response.url, response.text
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self._href = ""
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(urljoin(self.url, found.get("action", ""))))
        elif tag == "a":
            self._href = urljoin(self.url, found.get("href", ""))
        elif tag == "button" or (tag == "input" and found.get("type") == "submit"):
            self.forms[-1].buttons.append(found)
        elif tag == "input" and found.get("name"):
            self.forms[-1].fields[found["name"]] = found.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._href:
            self.links[data.strip()] = self._href
            self._href = ""
