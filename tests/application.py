"""An external application, as the other side of an incoming link: it asks in the browser of ada, and with its own credentials."""

import base64
import hashlib
import re
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

from werkzeug.test import TestResponse

from applinks.crypto import digest
from applinks.models import ApplicationLink
from applinks.wiring import Services
from tests.visitor import Visitor

SECRET = "CANARY-app-secret"
REDIRECT = "https://app.example/callback"
VERIFIER = "CANARY-verifier-" + "v" * 40
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REQUEST = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": REDIRECT,
    "scope": "profile",
    "state": "s t/ä",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def make_incoming(services: Services, name: str = "App", **changed: object) -> ApplicationLink:
    """An incoming link whose application shows SECRET, and the name in small letters as its client ID."""
    usual = {
        "client_id": name.lower(),
        "client_secret_digest": digest(SECRET),
        "redirect_uris": REDIRECT,
        "scopes": "profile",
        "life": 120,
    }
    return services.incoming.add(name, **usual | changed)  # type: ignore[arg-type]


class Application:
    """The external application's side, in the browser of ada."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def authorize(self, **changed: str | None) -> TestResponse:
        asked = {name: text for name, text in (REQUEST | changed).items() if text is not None}
        return self.visitor.get("/oauth/authorize?" + urlencode(asked))

    def decide(self, page: TestResponse, decision: str = "allow") -> dict[str, list[str]]:
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert ticket, page.text
        answer = self.visitor.post("/oauth/authorize", {"ticket": unescape(ticket[1]), "decision": decision})
        url = self.visitor.continue_url(answer)
        assert url.startswith(REDIRECT + "?")
        return parse_qs(urlsplit(url).query)

    def code(self) -> str:
        return self.decide(self.authorize())["code"][0]

    def token(self, client: str = "app", secret: str = SECRET, **form: str) -> TestResponse:
        return self.ask("/oauth/token", client, secret, **form)

    def ask(self, path: str, client: str = "app", secret: str = SECRET, **form: str) -> TestResponse:
        """Ask one of the endpoints for applications."""
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        return self.raw(path, urlencode(form), {"Authorization": f"Basic {basic}"})

    def raw(self, path: str, body: str | bytes, headers: dict[str, str] | None = None) -> TestResponse:
        """Not through the visitor's search for secrets: here the answer is one."""
        content_type = "application/x-www-form-urlencoded"
        return self.visitor.client.post(
            path, data=body, headers=headers, content_type=content_type, base_url=self.visitor.base_url
        )

    def raw_token(self, body: str | bytes, headers: dict[str, str] | None = None) -> TestResponse:
        return self.raw("/oauth/token", body, headers)

    def revoke(self, token: str, **changed: str) -> TestResponse:
        return self.ask("/oauth/revoke", **{"token": token} | changed)

    def introspect(self, token: str, **changed: str) -> dict[str, object]:
        answer = self.ask("/oauth/introspect", **{"token": token} | changed)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def alive(self, token: str) -> bool:
        return bool(self.introspect(token)["active"])

    def api(self, method: str, path: str, access_token: str, **kwargs: object) -> TestResponse:
        """Ask the HTTP API."""
        headers = {"Authorization": f"Bearer {access_token}"}
        url = f"/api/v1{path}"
        return self.visitor.client.open(url, method=method, headers=headers, base_url=self.visitor.base_url, **kwargs)

    def tokens(self, **changed: str | None) -> dict[str, str]:
        """What consent to a request gives."""
        code = self.decide(self.authorize(**changed))["code"][0]
        answer = self.exchange(code)
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def exchange(self, code: str, **changed: str) -> TestResponse:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        return self.token(**form | changed)

    def refresh(self, refresh_token: str, **changed: str) -> TestResponse:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": refresh_token} | changed)

    def userinfo(self, access_token: str) -> TestResponse:
        return self.visitor.get("/oauth/userinfo", headers={"Authorization": f"Bearer {access_token}"})
