"""Our authorization server with its tables: what incoming links' applications may ask, and what they were given.

Codes and tokens are stored as digests and spent by a conditional UPDATE. They belong to a grant: a code or a refresh token
that comes a second time ends the whole of it (RFC 6749 §4.1.2, RFC 9700 §4.14.2). A client whose answer was lost may send
the refresh token again at once, and gets the same answer again.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from oauthlib.oauth2 import (
    AccessDeniedError,
    FatalClientError,
    InvalidClientIdError,
    InvalidRedirectURIError,
    InvalidScopeError,
    MismatchingRedirectURIError,
    MissingClientIdError,
    OAuth2Error,
    RequestValidator,
)
from oauthlib.oauth2.rfc6749.utils import scope_to_list

from applinks.crypto import KeyRing, UnreadableError, digest, new_id, new_token, same
from applinks.errors import AppError
from applinks.models import (
    ActorKind,
    ApplicationLink,
    AuthorizationCode,
    Consent,
    IncomingLink,
    IssuedGrant,
    IssuedToken,
    SignInSession,
    database,
)
from applinks.oauth import incoming as rules
from applinks.oauth.scopes import PROFILE, READ_TOKENS, ordered
from applinks.oauth.server import AuthorizationServer
from applinks.services.events import Actor, Events
from applinks.services.issued import Issued, issued_token, wipe_successors
from applinks.services.vault import Vault

CODE_SECONDS = 60
GRACE_SECONDS = 10
CONSENT_SECONDS = 600
# So that scanners for leaked secrets, and people, know them by sight.
ACCESS_PREFIX, REFRESH_PREFIX = "apa_", "apr_"

Clock = Callable[[], float]
Answer = tuple[Mapping[str, str], str, int]


class UntrustedRequestError(AppError):
    """An authorization request after which nobody may be sent anywhere (RFC 6749 §4.1.2.1)."""

    title = "This application's request can't be trusted"


@dataclass(frozen=True)
class ConsentRequest:
    """What a consent page shows; `ticket` brings the very same request back with the administrator's word.

    `new_scopes` and `new_links` are those that this administrator hasn't allowed yet. `life` is how long it may last, in
    seconds, and `access_token_life` how long one access token does.
    """

    application: str
    redirect_uri: str
    scopes: list[str]
    new_scopes: frozenset[str]
    links: list[ApplicationLink]
    new_links: frozenset[str]
    life: int
    access_token_life: int
    consented_at: int | None
    ticket: str


class Authorization:
    def __init__(self, keys: KeyRing, vault: Vault, events: Events, issuer: str, clock: Clock) -> None:
        self._clock = clock
        self._events = events
        validator = _Validator(vault, events, clock)
        self._server = AuthorizationServer(
            validator,
            issuer,
            new_code=new_token,
            new_token=validator.new_access_token,
            new_refresh_token=validator.new_refresh_token,
            token_life=validator.token_life,
        )
        self._tickets = URLSafeTimedSerializer(
            keys.derive("consent request"), signer_kwargs={"digest_method": hashlib.sha256}
        )

    def offered(self) -> bool:
        """Whether there is an incoming link; without one, the endpoints aren't there."""
        return IncomingLink.select().exists()

    def metadata(self) -> dict[str, Any]:
        """What a client may learn of this server (RFC 8414)."""
        return self._server.metadata()

    def consent_request(self, uri: str, session: SignInSession) -> ConsentRequest | str:
        """Check an authorization request (RFC 6749 §4.1.1): what to ask, or the URL that takes an error back.

        Raises UntrustedRequestError where client or redirect URL can't be trusted: then nobody is sent anywhere.
        """
        try:
            scopes, details = self._server.validate_authorization_request(uri)
        except FatalClientError as error:
            raise UntrustedRequestError(_why_untrusted(error, uri)) from None
        except OAuth2Error as error:
            return self._server.error_uri(error, error.redirect_uri)
        client: IncomingLink = details["request"].client
        links = _token_links(client) if READ_TOKENS in scopes else []
        before = _consent_of(client.link_id, session.administrator_id)
        ids = [link.id for link in links]
        return ConsentRequest(
            application=client.link.name,
            redirect_uri=details["redirect_uri"],
            scopes=ordered(scopes),
            new_scopes=frozenset(scopes) - frozenset(before.scopes.split() if before else ()),
            links=links,
            new_links=frozenset(ids) - frozenset(before.token_links.split() if before else ()),
            life=client.refresh_life,
            access_token_life=client.access_token_life,
            consented_at=before.given_at if before else None,
            ticket=self._tickets.dumps([uri, session.id_digest, scopes, ids]),
        )

    def decide(self, ticket: str, session: SignInSession, actor: Actor, *, allow: bool) -> str:
        """Carry out an administrator's word; returns the URL that takes it back to the application.

        What was shown is what is allowed, whatever was changed meanwhile. Raises UntrustedRequestError, or AppError where the
        page is too old, or belongs to another session or to one that has ended meanwhile.
        """
        try:
            uri, session_digest, scopes, shown = self._tickets.loads(ticket, max_age=CONSENT_SECONDS)
        except BadSignature:
            raise AppError("This page is too old. Go back to the application and begin again.") from None
        if not same(session_digest, session.id_digest):
            raise AppError("This page belongs to another session. Go back to the application and begin again.")
        try:
            with database.atomic():  # the request is judged once more, by what its link is now
                _still_signed_in(session)
                _, details = self._server.validate_authorization_request(uri)
                client: IncomingLink = details["request"].client
                if not allow:
                    raise AccessDeniedError(request=details["request"])
                if not set(scopes) <= set(client.scopes.split()):
                    raise InvalidScopeError(request=details["request"])
                links = [link.id for link in _token_links(client) if link.id in shown]
                consent = self._allowed(client, session, scopes, links, actor)
                credentials = {"consent": consent, "token_links": links}
                headers, _, _ = self._server.create_authorization_response(uri, scopes=scopes, credentials=credentials)
                return str(headers["Location"])
        except FatalClientError as error:
            raise UntrustedRequestError(_why_untrusted(error, uri)) from None
        except OAuth2Error as error:
            return self._server.error_uri(error, error.redirect_uri)

    def _allowed(
        self, client: IncomingLink, session: SignInSession, scopes: list[str], links: list[str], actor: Actor
    ) -> Consent:
        """The consent with what was allowed just now; what was allowed before stays."""
        link_id, administrator_id = client.link_id, session.administrator_id
        before = _consent_of(link_id, administrator_id)
        now = int(self._clock())
        all_scopes = ordered({*scopes, *(before.scopes.split() if before else ())})
        all_links = sorted({*links, *(before.token_links.split() if before else ())})
        columns = {"scopes": " ".join(all_scopes), "token_links": "\n".join(all_links), "given_at": now}
        self._events.record(actor, "consented", link_id, words=" ".join(ordered(scopes)))
        if before is None:
            return Consent.create(id=new_id(), link=link_id, administrator=administrator_id, **columns)
        Consent.update(columns).where(Consent.id == before.id).execute()
        return before

    def token(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer a token request (RFC 6749 §3.2)."""
        refused = self._server.refuse(uri, body, headers, token_request=True)
        return self._written(refused, self._server.answer_token_request, uri, body, headers)

    def revoke(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer a revocation request (RFC 7009)."""
        refused = self._server.refuse(uri, body, headers)
        return self._written(refused, self._server.answer_revocation, uri, body, headers)

    def introspect(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer an introspection request (RFC 7662); nothing is written."""
        refused = self._server.refuse(uri, body, headers)
        return _challenging(refused or self._server.answer_introspection(uri, body, headers))

    def _written(self, refused: Answer | None, answer: Callable[..., Answer], *request: Any) -> Answer:
        """An answer with what it writes in one transaction; for strangers, none is begun."""
        if refused:
            return _challenging(refused)
        with database.atomic():
            return _challenging(answer(*request))


class _Validator(RequestValidator):  # type: ignore[misc]
    """What oauthlib asks about clients, codes and tokens."""

    def __init__(self, vault: Vault, events: Events, clock: Clock) -> None:
        super().__init__()
        self._vault = vault
        self._events = events
        self._clock = clock

    def _now(self) -> int:
        return int(self._clock())

    # Clients

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        in_header = _basic(request.headers.get("Authorization", ""))
        client = _client(in_header[0] if in_header else request.client_id or "")
        return client is None or not client.is_public

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """RFC 6749 §2.3.1, by header or by body, never by both."""
        in_header = _basic(request.headers.get("Authorization", ""))
        if in_header and (request.client_secret or request.client_id not in (None, in_header[0])):
            return False
        client_id, secret = in_header or (request.client_id or "", request.client_secret or "")
        client = _client(client_id)
        if client is None or not self._is_secret(client, digest(secret)):
            return False
        _begin(request, client)
        return True

    def _is_secret(self, client: IncomingLink, shown: str) -> bool:
        if same(client.client_secret_digest, shown):
            return True
        until = client.previous_secret_until
        return until is not None and until > self._now() and same(client.previous_secret_digest, shown)

    def authenticate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        """A public client, which has no secret and so may not show one."""
        client = _client(client_id or "")
        if client is None or request.client_secret or request.headers.get("Authorization"):
            return False
        _begin(request, client)
        return client.is_public

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = _client(client_id)
        return request.client is not None

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        client = request.client
        return rules.matches(redirect_uri, client.redirect_uris.split("\n"), any_port=client.is_public)

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> str | None:
        return None

    def validate_response_type(self, client_id: str, response_type: str, client: Any, request: Any, *args: Any) -> bool:
        return rules.CODE in client.grant_types.split()

    def validate_grant_type(self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any) -> bool:
        return (rules.CODE if grant_type == "refresh_token" else grant_type) in client.grant_types.split()

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return _scopes_of(request.client, request.grant_type)

    def validate_scopes(self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any) -> bool:
        request.scopes = list(dict.fromkeys(scopes))
        return bool(scopes) and set(scopes) <= set(_scopes_of(client, request.grant_type))

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return True

    # Codes

    def save_authorization_code(self, client_id: str, code: Mapping[str, str], request: Any, *args: Any) -> None:
        ends_at = self._now() + CODE_SECONDS
        grant = self._begin_grant(request.client, request.scopes, request.token_links, request.consent, ends_at)
        AuthorizationCode.create(
            code_digest=digest(code["code"]),
            grant=grant.id,
            redirect_uri=request.redirect_uri,
            code_challenge=request.code_challenge,
            expires_at=ends_at,
        )

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Spend the code, then judge it; one that was spent before ends what came of it."""
        mine = (AuthorizationCode.code_digest == digest(code)) & (IssuedGrant.link == client.link_id)
        found = AuthorizationCode.select(AuthorizationCode, IssuedGrant).join(IssuedGrant).where(mine).first()
        if found is None:
            return False
        this = (AuthorizationCode.code_digest == found.code_digest) & AuthorizationCode.spent_at.is_null()
        if AuthorizationCode.update(spent_at=self._now()).where(this).execute() != 1:
            self._end(found.grant, client, "code used twice")
            return False
        if found.expires_at <= self._now() or request.redirect_uri not in (None, found.redirect_uri):
            return False
        request.code_found, request.grant, request.scopes = found, found.grant, found.grant.scopes.split()
        return True

    def get_code_challenge(self, code: str, request: Any) -> str:
        return str(request.code_found.code_challenge)

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return "S256"

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, client: Any, request: Any) -> bool:
        """The one that the code was sent to, if it is registered still."""
        return self.validate_redirect_uri(client_id, redirect_uri, request)

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any, *args: Any) -> None:
        """`validate_code` has done it."""

    # Tokens

    def new_access_token(self, request: Any) -> str:
        return request.successor["access_token"] if request.successor else ACCESS_PREFIX + new_token()

    def new_refresh_token(self, request: Any) -> str:
        return request.successor["refresh_token"] if request.successor else REFRESH_PREFIX + new_token()

    def token_life(self, request: Any) -> int:
        """Seconds that an access token lives: no longer than what it came of."""
        if request.successor:
            return int(request.successor["ends_at"]) - self._now()
        life = int(request.client.access_token_life)
        return min(life, self._refresh_ends_at(request) - self._now()) if request.grant else life

    def _refresh_ends_at(self, request: Any) -> int:
        idle, whole = request.client.refresh_idle_life, request.client.refresh_life
        return int(min(self._now() + idle, request.grant.began_at + whole))

    def save_bearer_token(self, token: Mapping[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        if request.successor:
            return  # it is there already
        now = self._now()
        access_ends_at = now + token["expires_in"]
        refresh_ends_at = self._refresh_ends_at(request) if "refresh_token" in token else None
        ends_at = max(access_ends_at, refresh_ends_at or 0)
        grant = request.grant or self._begin_grant(
            request.client, request.scopes, _own_token_links(request), None, ends_at
        )
        IssuedGrant.update(ends_at=ends_at, last_used_at=now).where(IssuedGrant.id == grant.id).execute()
        wipe_successors(now)
        over = (IssuedToken.refresh_expires_at <= now) & (IssuedToken.access_expires_at <= now)
        IssuedToken.delete().where((IssuedToken.grant == grant.id) & over).execute()
        IssuedToken.create(
            access_digest=digest(token["access_token"]),
            refresh_digest=digest(token["refresh_token"]) if "refresh_token" in token else None,
            grant=grant.id,
            scopes=" ".join(request.scopes),
            issued_at=now,
            access_expires_at=access_ends_at,
            refresh_expires_at=refresh_ends_at,
        )
        if request.spent:
            self._keep_successor(request.spent, token, access_ends_at)

    def _keep_successor(self, spent: IssuedToken, token: Mapping[str, Any], ends_at: int) -> None:
        pair = {name: token[name] for name in ("access_token", "refresh_token")} | {"ends_at": ends_at}
        IssuedToken.update(
            successor_enc=self._vault.seal_successor(spent.access_digest, pair),
            successor_until=self._now() + GRACE_SECONDS,
        ).where(IssuedToken.access_digest == spent.access_digest).execute()

    def _begin_grant(
        self, client: IncomingLink, scopes: list[str], token_links: list[str], consent: Consent | None, ends_at: int
    ) -> IssuedGrant:
        now = self._now()
        IssuedGrant.delete().where(IssuedGrant.ends_at <= now).execute()
        return IssuedGrant.create(
            id=new_id(),
            link=client.link_id,
            consent=consent,
            scopes=" ".join(scopes),
            token_links="\n".join(token_links),
            began_at=now,
            ends_at=ends_at,
        )

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Spend the refresh token; one that was spent before ends its grant, but for the moment of grace."""
        found = issued_token(IssuedToken.refresh_digest == digest(refresh_token))
        if found is None or found.link.id != client.link_id or not found.alive:
            return False
        if found.refresh_ends_at <= self._now():
            return False
        # Cut as oauthlib cuts it: what it refuses as invalid_scope mustn't cost the client its token.
        asked = set(scope_to_list(request.scope)) if request.scope else set()
        scopes = found.refreshable_scopes
        request.grant, request.original = found.grant, scopes
        if not scopes or (asked and not found.token.spent_at and not asked <= set(scopes)):
            return bool(scopes)
        if found.token.spent_at is not None:
            request.successor = self._successor(found.token)
            if request.successor is None:
                self._end(found.grant, client, "refresh token used twice")
                return False
            # The same answer again, for what that pair is for, whatever is asked this time.
            request.scope, request.original = None, request.successor["scopes"]
            return True
        unspent = (IssuedToken.access_digest == found.token.access_digest) & IssuedToken.spent_at.is_null()
        request.spent = found.token
        return bool(IssuedToken.update(spent_at=self._now()).where(unspent).execute() == 1)

    def _successor(self, spent: IssuedToken) -> dict[str, Any] | None:
        """The pair that came of a refresh token, while it may be asked for again and was not used itself.

        A clock that is set back by a moment is no theft.
        """
        if not spent.successor_enc or abs(self._now() - (spent.spent_at or 0)) >= GRACE_SECONDS:
            return None
        try:
            pair = self._vault.successor(spent.access_digest, spent.successor_enc)
        except UnreadableError:
            return None
        newest = IssuedToken.get_or_none(IssuedToken.access_digest == digest(pair["access_token"]))
        if newest is None or newest.spent_at is not None or pair["ends_at"] <= self._now():
            return None
        return pair | {"scopes": newest.scopes.split()}

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.original)

    def rotate_refresh_token(self, request: Any) -> bool:
        return True

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        """A refresh token takes all that came of the same grant with it, an access token only itself (RFC 7009 §2.1)."""
        found = _token_of(token, request.client)
        if found is None:
            return
        if found.token.refresh_digest == digest(token):
            IssuedGrant.delete().where(IssuedGrant.id == found.grant.id).execute()
            actor = Actor(found.name, ActorKind.APPLICATION, str(found.grant.consent_id or found.link.id))
            self._events.record(actor, "grant revoked", found.link.id)
        else:
            this = IssuedToken.access_digest == found.token.access_digest
            IssuedToken.update(access_expires_at=self._now()).where(this).execute()

    def introspect_token(
        self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        """What there is to say of a living token of the very client that asks (RFC 7662 §2.2)."""
        found = _token_of(token, request.client)
        if found is None or not found.alive:
            return None
        refreshing = found.token.refresh_digest == digest(token)
        ends_at = found.refresh_ends_at if refreshing else found.token.access_expires_at
        if ends_at <= self._now() or (refreshing and found.token.spent_at is not None):
            return None
        who = found.administrator
        said = {
            "scope": " ".join(found.refreshable_scopes if refreshing else found.scopes),
            "client_id": found.incoming.client_id,
            "exp": ends_at,
            "iat": found.token.issued_at,
            "sub": who.id if who else found.incoming.client_id,
        }
        return said | ({"username": who.username} if who else {}) | ({} if refreshing else {"token_type": "Bearer"})

    def _end(self, grant: IssuedGrant, client: IncomingLink, what: str) -> None:
        IssuedGrant.delete().where(IssuedGrant.id == grant.id).execute()
        actor = Actor(client.link.name, ActorKind.APPLICATION, client.link_id)
        self._events.record(actor, what, client.link_id, words="All tokens that came of the same grant were revoked.")


def _begin(request: Any, client: IncomingLink) -> None:
    """What comes to be known of a request, which oauthlib would else look for among the parameters that were sent."""
    request.client, request.client_id = client, client.client_id
    request.grant = request.spent = request.successor = request.code_found = request.original = None


def _challenging(answer: Answer) -> Answer:
    headers, body, status = answer
    return ({**headers, "WWW-Authenticate": 'Basic realm="Applinks"'} if status == 401 else headers), body, status


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


def _why_untrusted(error: OAuth2Error, uri: str) -> str:
    """What is wrong with a request, and what mends it, for whoever is signed in: an administrator."""
    if isinstance(error, InvalidClientIdError | MissingClientIdError):
        return "It names no client ID that is known here, or one whose link is disabled. A link's page shows its client ID."
    if isinstance(error, InvalidRedirectURIError | MismatchingRedirectURIError):
        named = parse_qs(urlsplit(uri).query).get("redirect_uri", [""])[0]
        shown = "".join(char for char in named[:200] if char.isprintable())
        return (
            f"The Redirect URL that it names isn't registered for it, to the letter: {shown} If that is the application's "
            "own, add it on the link's page with Edit. If you don't know it, somebody may be after a token of yours."
        )
    return str(error.description or error.error).rstrip(".") + "."


def _still_signed_in(session: SignInSession) -> None:
    """Raises AppError where a session was ended since its request began: its administrator may have been disabled."""
    if not SignInSession.select().where(SignInSession.id_digest == session.id_digest).exists():
        raise AppError("Your session has ended, so nothing was allowed. Sign in, and begin again at the application.")


def _client(client_id: str) -> IncomingLink | None:
    """A client that isn't disabled."""
    if "\0" in client_id:
        return None  # PostgreSQL can't even be asked for it
    return IncomingLink.get_or_none((IncomingLink.client_id == client_id) & IncomingLink.disabled_at.is_null())


def _consent_of(link_id: str, administrator_id: str) -> Consent | None:
    return Consent.get_or_none((Consent.link == link_id) & (Consent.administrator == administrator_id))


def _scopes_of(client: IncomingLink, grant_type: str | None) -> list[str]:
    """What a client may ask for; where it acts for itself, there is no user name to see."""
    scopes = client.scopes.split()
    return [scope for scope in scopes if scope != PROFILE] if grant_type == rules.OWN_CREDENTIALS else scopes


def _token_links(client: IncomingLink) -> list[ApplicationLink]:
    """The links whose tokens a client may read, by name."""
    chosen = ApplicationLink.id.in_(client.token_links.split())
    return list(ApplicationLink.select().where(chosen).order_by(ApplicationLink.name_key))


def _own_token_links(request: Any) -> list[str]:
    return request.client.token_links.split() if READ_TOKENS in request.scopes else []


def _token_of(token: str, client: IncomingLink) -> Issued | None:
    """A token of either kind that was given to this client."""
    shown = digest(token)
    found = issued_token((IssuedToken.access_digest == shown) | (IssuedToken.refresh_digest == shown))
    return found if found and found.link.id == client.link_id else None
