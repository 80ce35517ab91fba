"""A person at a browser, without the browser: follows no redirect, sends what a browser sends, looks for leaks."""

import re
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

BASE_URL = "http://127.0.0.1:5000"


class Visitor:
    """One browser. Every answer is searched for CANARY, which every secret in these tests holds."""

    def __init__(self, client: FlaskClient, base_url: str = BASE_URL) -> None:
        self.client = client
        self.base_url = base_url

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self._checked(self.client.get(path, base_url=self.base_url, buffered=True, **kwargs))

    def htmx(self, method: str, path: str, data: dict[str, str] | None = None) -> TestResponse:
        headers = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}
        if method == "GET":
            return self.get(path, headers=headers)
        return self.post(path, data, headers=headers | {"Origin": self.base_url})

    def post(
        self, path: str, data: dict[str, str] | None = None, *, csrf: bool = True, headers: dict[str, str] | None = None
    ) -> TestResponse:
        """Post a form as the page at hand would, with its CSRF token and the origin that browsers send."""
        fields = dict(data or {})
        if csrf:
            fields.setdefault("csrf_token", self.csrf_token())
        headers = {"Origin": self.base_url} if headers is None else headers
        return self._checked(self.client.post(path, data=fields, headers=headers, base_url=self.base_url))

    def csrf_token(self) -> str:
        """The token of any page with a form: sign-in for strangers, settings for those who are in."""
        page = self.client.get("/sign-in", base_url=self.base_url)
        if page.status_code != 200:
            page = self.client.get("/settings", base_url=self.base_url)
        assert page.status_code == 200, page.text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        return found[1] if found else self._made_token()

    def _made_token(self) -> str:
        """A valid token where no page shows one, as on the demo's sign-in page, which has no form."""
        with self.client.session_transaction(base_url=self.base_url) as session:
            session["csrf_token"] = "0" * 40
        return str(URLSafeTimedSerializer(self.client.application.secret_key, salt="wtf-csrf-token").dumps("0" * 40))

    def sign_in(self, username: str, password: str, **fields: str) -> TestResponse:
        return self.post("/sign-in", {"username": username, "password": password, **fields})

    def continue_url(self, response: TestResponse) -> str:
        """Where a *Continue* page leads."""
        assert response.status_code == 200, response.text
        found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)">', response.text)
        assert found, response.text
        return unescape(found[1])

    def _checked(self, response: TestResponse) -> TestResponse:
        assert response.status_code < 500 or response.status_code == 503, response.text
        assert b"CANARY" not in response.data, "a secret is in a page"
        assert "CANARY" not in str(response.headers), "a secret is in a header"
        return response


def text_of(response: TestResponse) -> str:
    """What a page says, without its tags, white space made one."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.text)).split())
