"""Our authorization server with its tables: what incoming links' applications may ask, and what they were given.

Codes and tokens are stored as digests, spent by a conditional UPDATE, and belong to a family: a code or a refresh
token that comes a second time revokes the whole family (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from itsdangerous import BadSignature, URLSafeTimedSerializer
from oauthlib.oauth2 import AccessDeniedError, FatalClientError, OAuth2Error, RequestValidator
from oauthlib.oauth2.rfc6749.utils import scope_to_list

from applinks.crypto import KeyRing, digest, new_id, new_token, same
from applinks.errors import AppError
from applinks.models import (
    Administrator,
    AuthorizationCode,
    IncomingLink,
    IssuedToken,
    SignInSession,
    database,
)
from applinks.oauth.server import AuthorizationServer

CODE_SECONDS = 60
REFRESH_SECONDS = 30 * 86_400
CONSENT_SECONDS = 600

Clock = Callable[[], float]
Answer = tuple[Mapping[str, str], str, int]


@dataclass(frozen=True)
class ConsentRequest:
    """What a consent page shows; `ticket` brings the very same request back with the administrator's word."""

    application: str
    redirect_uri: str
    scopes: list[str]
    ticket: str


class Authorization:
    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._clock = clock
        self._server = AuthorizationServer(
            _Validator(clock), new_token, lambda request: request.client.access_token_life
        )
        self._tickets = URLSafeTimedSerializer(keys.derive("consent"), signer_kwargs={"digest_method": hashlib.sha256})

    def offered(self) -> bool:
        """Whether there is an incoming link; without one, the endpoints aren't there."""
        return IncomingLink.select().exists()

    def consent_request(self, uri: str, session: SignInSession) -> ConsentRequest | str:
        """Check an authorization request (RFC 6749 §4.1.1): what to ask, or the URL that takes an error back.

        Raises AppError where client or redirect URL can't be trusted: then nobody is sent anywhere.
        """
        try:
            scopes, details = self._server.validate_authorization_request(uri)
        except FatalClientError as error:
            raise AppError(f"The application's request can't be trusted: {_words(error)}") from None
        except OAuth2Error as error:
            return str(error.in_uri(error.redirect_uri))
        link = details["request"].client.link
        ticket = self._tickets.dumps([uri, session.id_digest])
        return ConsentRequest(link.name, details["redirect_uri"], scopes, ticket)

    def decide(self, ticket: str, session: SignInSession, *, allow: bool) -> str:
        """Carry out an administrator's word; returns the URL that takes it back to the application.

        Raises AppError where the page is too old, or belongs to another session.
        """
        try:
            uri, session_digest = self._tickets.loads(ticket, max_age=CONSENT_SECONDS)
        except BadSignature:
            raise AppError("This page is too old. Go back to the application and begin again.") from None
        if not same(session_digest, session.id_digest):
            raise AppError("This page belongs to another session. Go back to the application and begin again.")
        try:
            scopes, details = self._server.validate_authorization_request(uri)
            if not allow:
                denied = AccessDeniedError(state=details["state"])
                return str(denied.in_uri(details["redirect_uri"]))
            credentials = {"user": session.administrator}
            with database.atomic():
                headers, _, _ = self._server.create_authorization_response(uri, scopes=scopes, credentials=credentials)
        except OAuth2Error as error:
            raise AppError(f"The application's request can't be trusted any more: {_words(error)}") from None
        return str(headers["Location"])

    def token(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer a token request (RFC 6749 §3.2) in one transaction."""
        if refused := self._server.refuse_token_request(uri, body):
            return refused
        with database.atomic():
            answer_headers, answer, status = self._server.answer_token_request(uri, body, headers)
        if status == 401:
            answer_headers["WWW-Authenticate"] = 'Basic realm="Applinks"'
        return answer_headers, answer, status

    def userinfo(self, access_token: str) -> dict[str, str] | None:
        """Who the resource owner of a living access token is, or None for any other token."""
        now = int(self._clock())
        alive = (IssuedToken.access_expires_at > now) & IssuedToken.revoked_at.is_null()
        issued = IssuedToken.get_or_none((IssuedToken.access_digest == digest(access_token)) & alive)
        if issued is None:
            return None
        administrator = Administrator.get_by_id(issued.administrator_id)
        return {"sub": administrator.id, "name": administrator.username}


class _Validator(RequestValidator):  # type: ignore[misc]
    """What oauthlib asks about clients, codes and tokens."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def _now(self) -> int:
        return int(self._clock())

    # Clients

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        return True

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """RFC 6749 §2.3.1, by header or by body, never by both."""
        in_header = _basic(request.headers.get("Authorization", ""))
        if in_header and (request.client_secret or request.client_id not in (None, in_header[0])):
            return False
        client_id, secret = in_header or (request.client_id or "", request.client_secret or "")
        client = _client(client_id)
        if client is None or not same(client.client_secret_digest, digest(secret)):
            return False
        request.client, request.client_id = client, client_id
        return True

    def authenticate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return False

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = _client(client_id)
        return request.client is not None

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return redirect_uri in request.client.redirect_uris.split("\n")

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> str | None:
        return None

    def validate_response_type(self, client_id: str, response_type: str, client: Any, request: Any, *args: Any) -> bool:
        return response_type == "code"

    def validate_grant_type(self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any) -> bool:
        return grant_type in ("authorization_code", "refresh_token")

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.client.scopes.split())

    def validate_scopes(self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any) -> bool:
        return set(scopes) <= set(client.scopes.split())

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return True

    # Codes

    def save_authorization_code(self, client_id: str, code: Mapping[str, str], request: Any, *args: Any) -> None:
        AuthorizationCode.delete().where(AuthorizationCode.expires_at < self._now() - 86_400).execute()
        AuthorizationCode.create(
            code_digest=digest(code["code"]),
            family=new_id(),
            link=request.client.link_id,
            administrator=request.user.id,
            redirect_uri=request.redirect_uri,
            code_challenge=request.code_challenge,
            scopes=" ".join(request.scopes),
            expires_at=self._now() + CODE_SECONDS,
        )

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Spend the code, then judge it; one that was spent before revokes what came of it."""
        mine = (AuthorizationCode.code_digest == digest(code)) & (AuthorizationCode.link == client.link_id)
        unspent = AuthorizationCode.spent_at.is_null()
        won = AuthorizationCode.update(spent_at=self._now()).where(mine & unspent).execute() == 1
        found = AuthorizationCode.get_or_none(mine)
        if found is None:
            return False
        if not won:
            self._revoke(found.family)
            return False
        request.user, request.scopes, request.grant = found.administrator, found.scopes.split(), found
        return found.expires_at > self._now()

    def get_code_challenge(self, code: str, request: Any) -> str:
        return str(request.grant.code_challenge)

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return "S256"

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, client: Any, request: Any) -> bool:
        return bool(redirect_uri == request.grant.redirect_uri)

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any, *args: Any) -> None:
        """`validate_code` has done it."""

    # Tokens

    def save_bearer_token(self, token: Mapping[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        now = self._now()
        IssuedToken.delete().where(IssuedToken.refresh_expires_at < now).execute()
        IssuedToken.create(
            access_digest=digest(token["access_token"]),
            refresh_digest=digest(token["refresh_token"]),
            family=request.grant.family,
            link=request.client.link_id,
            administrator=request.user.id,
            scopes=" ".join(request.scopes),
            access_expires_at=now + token["expires_in"],
            refresh_expires_at=now + REFRESH_SECONDS,
        )

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Spend the refresh token; one that was spent before revokes its family."""
        mine = (IssuedToken.refresh_digest == digest(refresh_token)) & (IssuedToken.link == client.link_id)
        found = IssuedToken.get_or_none(mine)
        if found is None or found.revoked_at or found.refresh_expires_at <= self._now():
            return False
        # Cut as oauthlib cuts it: what it refuses as invalid_scope mustn't cost the client its token.
        asked = set(scope_to_list(request.scope)) if request.scope else set()
        if asked and not found.spent_at and not asked <= set(found.scopes.split()):
            request.grant = found
            return True
        unspent = IssuedToken.spent_at.is_null()
        if IssuedToken.update(spent_at=self._now()).where(mine & unspent).execute() != 1:
            self._revoke(found.family)
            return False
        request.user, request.grant = found.administrator, found
        return True

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.grant.scopes.split())

    def rotate_refresh_token(self, request: Any) -> bool:
        return True

    def _revoke(self, family: str) -> None:
        living = (IssuedToken.family == family) & IssuedToken.revoked_at.is_null()
        IssuedToken.update(revoked_at=self._now()).where(living).execute()


def _basic(header: str) -> tuple[str, str] | None:
    """Client ID and secret of HTTP Basic, form-decoded as RFC 6749 §2.3.1 wants; None for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:  # no base64, or no ASCII
        return "", ""
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else ("", "")


def _words(error: OAuth2Error) -> str:
    return str(error.description or error.error).rstrip(".") + "."


def _client(client_id: str) -> IncomingLink | None:
    if "\0" in client_id:
        return None  # PostgreSQL can't even be asked for it
    return IncomingLink.get_or_none(IncomingLink.client_id == client_id)
