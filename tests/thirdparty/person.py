"""An administrator of a demo in a browser without scripts, for OAuth clients that run elsewhere."""

from urllib.parse import urljoin

import requests

from tests.thirdparty.browser import SECONDS, Page


class Person:
    """Signed in at the demo's one-time address."""

    def __init__(self, address: str, base_url: str) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._base_url = base_url
        assert self._session.get(address, timeout=SECONDS).url == f"{base_url}/links"

    def make_incoming(self, **typed: str | list[str]) -> tuple[str, str]:
        """Make an incoming link by its form; returns client ID and client secret, as its page shows them."""
        url = f"{self._base_url}/links/new/incoming"
        page = Page(self._session.get(url, timeout=SECONDS))
        token = next(form.fields["csrf_token"] for form in page.forms if form.action == url)
        usual = {"access_token_life": "60", "refresh_idle_life": "30", "refresh_life": "90"}
        headers = {"Origin": self._base_url}
        form = {"csrf_token": token, "client_type": "confidential", **usual, **typed}
        made = self._session.post(url, form, headers=headers, timeout=SECONDS)
        assert made.status_code == 201, made.text
        shown = made.text.partition
        return tuple(  # type: ignore[return-value]
            shown(f'id="{name}"')[2].partition(">")[2].partition("</textarea>")[0]
            for name in ("client-id", "client-secret")
        )

    def allow(self, url: str) -> str:
        """Go where an application sends people, choose *Allow*, and return where one would go on to."""
        page = Page(self._session.get(url, timeout=SECONDS))
        form = next(form for form in page.forms if "ticket" in form.fields)
        request = form.press(next(button for button in form.buttons if button.get("value") == "allow"))
        request.headers["Origin"] = self._base_url
        answer = self._session.send(self._session.prepare_request(request), timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        link = next(href for text, href in Page(answer).links.items() if text.startswith("Continue to"))
        return urljoin(url, link)

    def close(self) -> None:
        self._session.close()
