"""The OAuth 2.0 client (RFC 6749) on requests-oauthlib; it knows no table.

The library never reads a provider's text: its compliance hook hands the raw answer to the strict reader, raises what
that refuses and passes on a canonical body. That body has no scope, since the library throws a token away whose scope
differs from the one asked for.
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import requests
from oauthlib.oauth2 import WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from applinks.oauth.answers import Away, Granted, Nonsense, TokenAnswer, read_account, read_token_answer
from applinks.oauth.guard import AddressRefusedError, Guard
from applinks.providers import ProviderProfile

# At DEBUG these write tokens, codes, client secrets and rows.
_TALKATIVE = ("requests_oauthlib", "oauthlib", "urllib3", "requests", "peewee")


@dataclass(frozen=True)
class ClientCredentials:
    """What the provider gave at registration (RFC 6749 §2)."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class AddressRefused:
    """The guard wouldn't call the endpoint; `words` say why and which setting allows it."""

    words: str


Answer = TokenAnswer | AddressRefused


class _AnsweredError(Exception):
    """Carries a refused answer out of the library's hook."""

    def __init__(self, answer: TokenAnswer) -> None:
        super().__init__(type(answer).__name__)
        self.answer = answer


def prepare_libraries(*, loopback: bool) -> None:
    """Silence the libraries that log secrets, and allow plain http while the base URL is loopback alone.

    The guard decides which http addresses may be called; oauthlib knows one switch for the whole process.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    if loopback:
        os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    else:
        os.environ.pop("OAUTHLIB_INSECURE_TRANSPORT", None)


class OAuthClient:
    """Makes authorization URLs, and asks token and userinfo endpoints through the guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def authorization_url(
        self,
        profile: ProviderProfile,
        client_id: str,
        *,
        redirect_uri: str,
        scopes: str,
        state: str,
        code_verifier: str,
    ) -> str:
        """Where the browser goes to ask for consent (RFC 6749 §4.1.1), always with PKCE S256 (RFC 7636).

        Raises AddressRefusedError: what was accepted when it was saved may not be so any more.
        """
        session = OAuth2Session(client_id, redirect_uri=redirect_uri, scope=scopes.split() or None)
        challenge = WebApplicationClient(client_id).create_code_challenge(code_verifier, "S256")
        url, _ = session.authorization_url(
            self._guard.endpoint(profile.authorization_endpoint),
            state=state,
            code_challenge=challenge,
            code_challenge_method="S256",
            **dict(profile.authorization_parameters),
        )
        return str(url)

    def exchange(
        self,
        profile: ProviderProfile,
        credentials: ClientCredentials,
        *,
        code: str,
        redirect_uri: str,
        code_verifier: str,
    ) -> Answer:
        """Exchange an authorization code for tokens (RFC 6749 §4.1.3)."""
        auth, in_body = _client_authentication(profile, credentials)

        def ask(session: OAuth2Session) -> None:
            session.redirect_uri = redirect_uri
            session.fetch_token(
                profile.token_endpoint,
                code=code,
                code_verifier=code_verifier,
                auth=auth,
                include_client_id=bool(in_body),
                client_secret=in_body.get("client_secret"),
            )

        return self._ask(profile, credentials, "access_token_response", ask)

    def refresh(
        self, profile: ProviderProfile, credentials: ClientCredentials, *, refresh_token: str, scopes: str
    ) -> Answer:
        """Ask for a new access token (RFC 6749 §6)."""
        auth, in_body = _client_authentication(profile, credentials)

        def ask(session: OAuth2Session) -> None:
            session.scope = scopes.split() if profile.send_scope_on_refresh else None
            session.refresh_token(profile.token_endpoint, refresh_token=refresh_token, auth=auth, **in_body)

        return self._ask(profile, credentials, "refresh_token_response", ask)

    def account(self, profile: ProviderProfile, access_token: str) -> str | None:
        """The name of the account behind a token, where a userinfo endpoint tells it; for display only."""
        if not profile.userinfo_endpoint:
            return None
        session = requests.Session()
        self._guard.protect(session)
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        try:
            with session, session.get(profile.userinfo_endpoint, headers=headers) as response:
                return read_account(response)
        except requests.RequestException:
            return None

    def _ask(
        self,
        profile: ProviderProfile,
        credentials: ClientCredentials,
        hook: str,
        ask: Callable[[OAuth2Session], None],
    ) -> Answer:
        accepted: list[Granted] = []

        def read(response: requests.Response) -> requests.Response:
            answer = read_token_answer(response)
            if not isinstance(answer, Granted):
                raise _AnsweredError(answer)
            accepted.append(answer)
            response._content = _canonical(answer)
            response.encoding = "utf-8"
            return response

        session = OAuth2Session(credentials.client_id)
        self._guard.protect(session)
        session.register_compliance_hook(hook, read)
        try:
            self._guard.endpoint(profile.token_endpoint)  # the library has a refusal of its own for plain http
            with session:
                ask(session)
        except _AnsweredError as refused:
            return refused.answer
        except AddressRefusedError as refused:
            return AddressRefused(str(refused))
        except requests.ConnectTimeout:
            return Away("The provider couldn't be reached in time.")
        except requests.exceptions.SSLError:
            return Away("No trustworthy TLS connection to the provider could be made.")
        except requests.Timeout:
            return Away("The provider didn't answer in time.", ambiguous=True)
        except requests.RequestException:
            return Away("The connection to the provider couldn't be made or was lost.", ambiguous=True)
        return accepted[0] if accepted else Nonsense("The provider gave no answer.")


def _canonical(answer: Granted) -> bytes:
    body = {"access_token": answer.access_token, "token_type": "Bearer"}
    if answer.refresh_token:
        body["refresh_token"] = answer.refresh_token
    return json.dumps(body).encode()


def _client_authentication(
    profile: ProviderProfile, credentials: ClientCredentials
) -> tuple[Callable[[requests.PreparedRequest], requests.PreparedRequest], dict[str, str]]:
    """One way of authenticating the client a request (RFC 6749 §2.3.1): the header, or members of the body."""
    if profile.client_authentication == "client_secret_post":
        return _no_authentication, {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    return HTTPBasicAuth(quote_plus(credentials.client_id), quote_plus(credentials.client_secret)), {}


def _no_authentication(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
