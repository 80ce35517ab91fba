"""The OAuth 2.0 client (RFC 6749) on requests-oauthlib; it knows no table.

The library never reads a provider's text: its compliance hook hands the raw answer to the strict reader, raises what
that refuses and passes on a canonical body. That body has no scope, since the library throws a token away whose scope
differs from the one asked for.
"""

import json
import logging
import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import requests
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import BackendApplicationClient, WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from applinks.oauth.answers import (
    Away,
    Granted,
    Metadata,
    Nonsense,
    Refused,
    Revoked,
    TokenAnswer,
    read_account,
    read_metadata,
    read_revocation_answer,
    read_token_answer,
)
from applinks.oauth.guard import AddressRefusedError, AnswerRefusedError, CallFailedError, Guard
from applinks.providers import ClientAuthentication, ProviderProfile

# At DEBUG these write tokens, codes, client secrets and rows; urllib3 warns of headers in the provider's own words.
_TALKATIVE = ("requests_oauthlib", "oauthlib", "requests", "peewee")

# What only helps may take less time than what is asked for: each of the two places of metadata, and an account's name.
METADATA_SECONDS = 5.0
ACCOUNT_SECONDS = 5.0

Read = TypeVar("Read")
_Authenticate = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclass(frozen=True)
class ClientCredentials:
    """What the provider gave at registration (RFC 6749 §2). A public client's secret is empty."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class AddressRefused:
    """The guard wouldn't call the endpoint; `words` say why and which setting allows it."""

    words: str


Answer = TokenAnswer | AddressRefused
RevocationAnswer = Revoked | Refused | Away | Nonsense | AddressRefused


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
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if loopback:
        os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    else:
        os.environ.pop("OAUTHLIB_INSECURE_TRANSPORT", None)


class OAuthClient:
    """Makes authorization URLs, and asks a provider's endpoints through the guard, each time in fewer `seconds` where
    given."""

    def __init__(self, guard: Guard, seconds: float | None = None) -> None:
        self._guard = guard
        self._seconds = seconds

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
        session = OAuth2Session(client_id, redirect_uri=redirect_uri, scope=_sent(scopes, profile))
        challenge = WebApplicationClient(client_id).create_code_challenge(code_verifier, "S256")
        endpoint = self._guard.endpoint(profile.authorization_endpoint)
        url, _ = session.authorization_url(
            add_params_to_uri(endpoint, profile.authorization_parameters),
            state=state,
            code_challenge=challenge,
            code_challenge_method="S256",
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
        session = OAuth2Session(credentials.client_id, redirect_uri=redirect_uri)
        proof = {"code": code, "code_verifier": code_verifier}
        return self._fetch(profile, credentials, session, proof)

    def client_credentials(self, profile: ProviderProfile, credentials: ClientCredentials, *, scopes: str) -> Answer:
        """Ask for a token of the client's own, without anybody's account (RFC 6749 §4.4)."""
        client = BackendApplicationClient(credentials.client_id, scope=_sent(scopes, profile))
        return self._fetch(profile, credentials, OAuth2Session(client=client), {})

    def refresh(
        self,
        profile: ProviderProfile,
        credentials: ClientCredentials,
        *,
        refresh_token: str,
        scopes: str,
        redirect_uri: str = "",
    ) -> Answer:
        """Ask for a new access token (RFC 6749 §6), with scopes and redirect URL where the provider wants them."""
        method = profile.refresh_client_authentication or profile.client_authentication
        auth, in_body = _client_authentication(method, credentials)
        auth = _in_json(auth) if profile.json_body else auth
        if profile.redirect_uri_on_refresh:
            in_body["redirect_uri"] = redirect_uri
        session = OAuth2Session(
            credentials.client_id, scope=_sent(scopes, profile) if profile.scope_on_refresh else None
        )

        def ask() -> None:
            body = urlencode(profile.refresh_parameters)
            session.refresh_token(profile.token_endpoint, refresh_token, body=body, auth=auth, **in_body)

        secrets = (*_spellings(credentials), refresh_token)
        return self._ask(profile, session, "refresh_token_response", ask, secrets)

    def revoke(
        self, profile: ProviderProfile, credentials: ClientCredentials, *, token: str, hint: str
    ) -> RevocationAnswer:
        """Tell the provider that a token is needed no more (RFC 7009 §2.1); `hint` says which kind of token it is."""
        method = profile.refresh_client_authentication or profile.client_authentication
        auth, in_body = _client_authentication(method, credentials)
        form = {"token": token, "token_type_hint": hint, **in_body}

        def ask() -> Revoked | Refused | Away | Nonsense:
            with self._session() as session, session.post(profile.revocation_endpoint, form, auth=auth) as response:
                return read_revocation_answer(response, secrets=(*_spellings(credentials), token))

        return _answered(ask)

    def account(self, profile: ProviderProfile, access_token: str) -> str | None:
        """The name of the account behind a token, where a userinfo endpoint tells it; for display only.

        An answer that repeats the token is no name: it would be shown, and stored in the open.
        """
        if not profile.userinfo_endpoint:
            return None
        headers = {
            "Authorization": f"Bearer {access_token}",
            "Accept": "application/json",
            **dict(profile.userinfo_headers),
        }
        body = profile.userinfo_body
        if body:
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"

        def ask() -> str | None:
            with (
                self._session(ACCOUNT_SECONDS) as session,
                session.request(method, profile.userinfo_endpoint, headers=headers, data=body) as response,
            ):
                return read_account(response, profile.account)

        answer = _answered(ask)
        return answer if isinstance(answer, str) and access_token not in answer else None

    def metadata(self, issuer: str) -> Metadata | Away | Nonsense | AddressRefused:
        """An authorization server's metadata, looked for as RFC 8414 §3.1 and as OpenID Connect Discovery §4 say.

        It is held to the rules for what a person types, and so are its endpoints.
        """
        try:
            parts = urlsplit(self._guard.endpoint(issuer))
        except AddressRefusedError as refused:
            return AddressRefused(str(refused))
        path = parts.path.rstrip("/")
        origin = f"{parts.scheme}://{parts.netloc}"
        found = self._metadata_at(f"{origin}/.well-known/oauth-authorization-server{path}", issuer)
        if not isinstance(found, Nonsense):
            return found
        other = self._metadata_at(f"{origin}{path}/.well-known/openid-configuration", issuer)
        return found if found.other_issuer and isinstance(other, Nonsense) else other

    def _metadata_at(self, url: str, issuer: str) -> Metadata | Away | Nonsense | AddressRefused:
        def ask() -> Metadata | Away | Nonsense:
            with (
                self._session(METADATA_SECONDS) as session,
                session.get(url, headers={"Accept": "application/json"}) as response,
            ):
                return read_metadata(response, issuer)

        found = _answered(ask)
        if not isinstance(found, Metadata):
            return found
        try:
            return replace(
                found,
                authorization_endpoint=self._guard.endpoint(found.authorization_endpoint),
                token_endpoint=self._guard.endpoint(found.token_endpoint),
                revocation_endpoint=found.revocation_endpoint and self._guard.endpoint(found.revocation_endpoint),
                userinfo_endpoint=found.userinfo_endpoint and self._guard.endpoint(found.userinfo_endpoint),
                introspection_endpoint=found.introspection_endpoint
                and self._guard.endpoint(found.introspection_endpoint),
            )
        except AddressRefusedError as refused:
            return Nonsense(f"The metadata names an endpoint that can't be called. {refused}")

    def client_authentication_methods(self, profile: ProviderProfile) -> list[ClientAuthentication]:
        """The methods of client authentication to try, likeliest first: what the metadata says, then Basic, then post."""
        known: tuple[ClientAuthentication, ...] = ("client_secret_basic", "client_secret_post")
        metadata = self.metadata(profile.issuer) if profile.issuer else None
        if isinstance(metadata, Metadata) and metadata.token_endpoint == profile.token_endpoint:
            return sorted(known, key=lambda method: method not in metadata.client_authentications)
        return list(known)

    def _session(self, seconds: float | None = None) -> requests.Session:
        session = requests.Session()
        self._guard.protect(session, seconds)
        return session

    def _fetch(
        self, profile: ProviderProfile, credentials: ClientCredentials, session: OAuth2Session, proof: dict[str, str]
    ) -> Answer:
        auth, in_body = _client_authentication(profile.client_authentication, credentials)
        auth = _in_json(auth) if profile.json_body else auth

        def ask() -> None:
            session.fetch_token(
                profile.token_endpoint,
                body=urlencode(profile.token_parameters),
                auth=auth,
                include_client_id=bool(in_body),
                client_secret=in_body.get("client_secret"),
                **proof,
            )

        secrets = (*_spellings(credentials), *proof.values())
        return self._ask(profile, session, "access_token_response", ask, secrets)

    def _ask(
        self,
        profile: ProviderProfile,
        session: OAuth2Session,
        hook: str,
        ask: Callable[[], None],
        secrets: tuple[str, ...],
    ) -> Answer:
        accepted: list[Granted] = []

        def read(response: requests.Response) -> requests.Response:
            answer = read_token_answer(
                response,
                form_encoded=profile.form_encoded_answers,
                separator=profile.answer_separator,
                token_types=profile.token_types,
                nested=profile.nested,
                secrets=secrets,
            )
            if not isinstance(answer, Granted):
                raise _AnsweredError(answer)
            accepted.append(answer)
            response._content = _canonical(answer)
            response.encoding = "utf-8"
            return response

        def asked() -> Granted | Refused | Away | Nonsense:
            self._guard.endpoint(profile.token_endpoint)  # the library has a refusal of its own for plain http
            try:
                with session:
                    ask()
            except _AnsweredError as refused:
                return refused.answer
            answer = accepted[0]
            return answer if answer.life else replace(answer, life=profile.default_life)

        self._guard.protect(session, self._seconds)
        session.register_compliance_hook(hook, read)
        return _answered(asked)


def _answered(ask: Callable[[], Read]) -> Read | Away | Nonsense | AddressRefused:
    """Ask, and take what the guard has against it for an answer."""
    try:
        return ask()
    except AddressRefusedError as refused:
        return AddressRefused(str(refused))
    except AnswerRefusedError as refused:
        return Nonsense(str(refused))
    except CallFailedError as failed:
        return Away(str(failed), ambiguous=failed.ambiguous)


def _sent(scopes: str, profile: ProviderProfile) -> str | None:
    """Scopes as this provider wants them written, None for none."""
    return profile.scope_separator.join(scopes.split()) or None


def _canonical(answer: Granted) -> bytes:
    body = {"access_token": answer.access_token, "token_type": "Bearer"}
    if answer.refresh_token:
        body["refresh_token"] = answer.refresh_token
    return json.dumps(body).encode()


def _client_authentication(
    method: ClientAuthentication | None, credentials: ClientCredentials
) -> tuple[_Authenticate, dict[str, str]]:
    """One way of authenticating the client a request (RFC 6749 §2.3.1): the header, or members of the body."""
    if method == "none":
        return _no_authentication, {"client_id": credentials.client_id}
    if method == "client_secret_post":
        return _no_authentication, {"client_id": credentials.client_id, "client_secret": credentials.client_secret}
    return HTTPBasicAuth(quote_plus(credentials.client_id), quote_plus(credentials.client_secret)), {}


def _spellings(credentials: ClientCredentials) -> tuple[str, ...]:
    """A client secret in every way in which it is sent, since some providers quote what they got."""
    client_id, secret = quote_plus(credentials.client_id), quote_plus(credentials.client_secret)
    return credentials.client_secret, secret, b64encode(f"{client_id}:{secret}".encode()).decode()


def _no_authentication(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _in_json(authenticate: _Authenticate) -> _Authenticate:
    """The same, with the form that a request carries written as JSON, for providers that read nothing else."""

    def rewrite(request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        request.body = json.dumps(dict(parse_qsl(body, keep_blank_values=True))).encode()
        request.headers["Content-Type"] = "application/json"
        return authenticate(request)

    return rewrite
