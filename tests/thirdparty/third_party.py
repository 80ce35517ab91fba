"""What the tests know of an authorization server that nobody here wrote, whichever it is: all of it over HTTP."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

from tests.thirdparty.browser import PASSWORD, SECONDS, USERNAME
from tests.visitor import BASE_URL

LIFE = 600
LINK_ID = "0123456789abcdef" * 2  # fixed, since a server is told the Redirect URL before it starts
REDIRECT_URI = f"{BASE_URL}/oauth/callback/{LINK_ID}"
# Characters that Basic carries only when both sides encode them as a form does (RFC 6749 §2.3.1). No space: Authlib
# reads the plus sign that encodes one as a plus sign.
SECRET = "CANARY:50%+more/=&"

# The clients that every server knows, by the way in which they authenticate.
CLIENTS = {
    "client_secret_basic": "basic-client",
    "client_secret_post": "post-client",
    "none": "public-client",
}
MACHINE = "machine-client"  # client credentials alone, by Basic

CONFIGURATION = {
    "redirect_uri": REDIRECT_URI,
    "secret": SECRET,
    "life": LIFE,
    "clients": CLIENTS,
    "machine": MACHINE,
    "username": USERNAME,
    "password": PASSWORD,
}


@dataclass(frozen=True)
class ThirdParty:
    """A running server. `extra` are the fields that a link to it needs besides endpoints and client.

    Beside its own endpoints, each has `introspection`, which answers `active` for tokens of both kinds, and
    `/asked`: how the client authenticated in each request to its token endpoint so far.
    """

    name: str
    base_url: str
    account: str
    scopes: str
    authorization: str = "/authorize"
    token: str = "/token"
    userinfo: str = "/userinfo"
    revocation: str = "/revoke"
    introspection: str = "/introspect"
    extra: dict[str, str] = field(default_factory=dict)

    def link(self, authentication: str = "client_secret_basic", **changed: str) -> dict[str, str]:
        """The form of a link to this server, with every field that it shows."""
        return {
            "name": "Third",
            "provider": "custom",
            "revealed": "custom",
            "grant_type": "authorization_code",
            "authorization_endpoint": self.base_url + self.authorization,
            "token_endpoint": self.base_url + self.token,
            "userinfo_endpoint": self.base_url + self.userinfo,
            "revocation_endpoint": self.base_url + self.revocation,
            "issuer": self.base_url,
            "iss_required": "yes",
            "client_id": CLIENTS[authentication],
            "client_secret": "" if authentication == "none" else SECRET,
            "client_authentication": authentication,
            "refresh_client_authentication": "",
            "scopes": self.scopes,
            "scope_separator": "",
            "scope_on_refresh": "",
            "redirect_uri_on_refresh": "",
            "form_encoded_answers": "",
            "default_life": "",
            "authorization_parameters": "",
            "token_parameters": "",
            "refresh_parameters": "",
            **self.extra,
            **changed,
        }

    def machine_link(self, **changed: str) -> dict[str, str]:
        """The form of a link that connects with the client's own credentials."""
        form = self.link(grant_type="client_credentials", client_id=MACHINE, scopes="read", **changed)
        return {name: text for name, text in form.items() if not name.startswith("authorization_")}

    def asked(self) -> list[str]:
        return self._get("/asked")  # type: ignore[no-any-return]

    def active(self, token: str) -> bool:
        """What the server itself says of a token."""
        return bool(self._post(self.introspection, token).json()["active"])

    def revoke(self, token: str) -> None:
        """Take a grant back without Applinks knowing, as a person or the server might."""
        self._post(self.revocation, token)

    def _post(self, path: str, token: str) -> requests.Response:
        credentials = CLIENTS["client_secret_basic"], quote(SECRET, safe="")
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(self.base_url + path, {"token": token}, auth=credentials, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        return answer

    def _get(self, path: str) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.base_url + path, timeout=SECONDS).json()


@contextmanager
def served(*command: str, **options: Any) -> Iterator[str]:
    """Run a server as a process of its own that prints its base URL, and ends when its standard input does."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, json.dumps(CONFIGURATION)], stdin=pipe, stdout=pipe, text=True, **options
    ) as server:
        assert server.stdin
        assert server.stdout
        try:
            base_url = server.stdout.readline().strip()
            assert base_url, f"{command[0]} ended without a word"
            yield base_url
        finally:
            server.stdin.close()
            try:
                server.wait(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
