"""The OAuth 2.0 authorization server (RFC 6749) on oauthlib: pure protocol, no table.

Authorization code with PKCE S256 for every client, client credentials, refresh tokens that rotate, revocation (RFC 7009),
introspection (RFC 7662), metadata (RFC 8414), and our own name in every authorization response (RFC 9207). oauthlib
itself takes a missing challenge method for `plain` and offers both, so S256 is required by a check of our own.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from oauthlib.common import Request, add_params_to_uri
from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    ClientCredentialsGrant,
    IntrospectEndpoint,
    InvalidClientError,
    InvalidRequestError,
    InvalidRequestFatalError,
    MissingResponseTypeError,
    OAuth2Error,
    RefreshTokenGrant,
    RequestValidator,
    RevocationEndpoint,
    TokenEndpoint,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)

from applinks.oauth.scopes import SCOPES

GRANTS = ("authorization_code", "refresh_token", "client_credentials")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636 §4.2)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1
_NOT_ERROR_TEXT = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2
_MOST_PARAMETERS = 50
# What is sent without a value counts as left out (RFC 6749 §3.2).
_NEEDED = {"authorization_code": ("code", "redirect_uri", "code_verifier"), "refresh_token": ("refresh_token",)}
_LONGEST_QUERY = 8192
_TOKEN_LENGTH = 512

Answer = tuple[dict[str, str], str, int]
"""Headers, body and status."""


class AuthorizationServer(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, IntrospectEndpoint):  # type: ignore[misc]
    """`new_token`, `new_refresh_token` and `token_life` (seconds) give what a token answer holds, from oauthlib's request."""

    def __init__(
        self,
        validator: RequestValidator,
        issuer: str,
        *,
        new_code: Callable[[], str],
        new_token: Callable[[Any], str],
        new_refresh_token: Callable[[Any], str],
        token_life: Callable[[Any], int],
    ) -> None:
        self.issuer = issuer
        code = AuthorizationCodeGrant(validator)
        code.custom_validators.pre_auth.append(_require_s256)
        code.custom_validators.pre_token.append(_require_verifier)
        code.register_code_modifier(lambda grant, *_: {**grant, "code": new_code(), "iss": issuer})
        bearer = BearerToken(validator, new_token, token_life, new_refresh_token)
        grants = (code, RefreshTokenGrant(validator), ClientCredentialsGrant(validator))
        AuthorizationEndpoint.__init__(self, "code", bearer, {"code": code})
        TokenEndpoint.__init__(self, GRANTS[0], bearer, dict(zip(GRANTS, grants, strict=True)))
        RevocationEndpoint.__init__(self, validator)
        IntrospectEndpoint.__init__(self, validator)

    def metadata(self) -> dict[str, Any]:
        """What a client may learn of this server (RFC 8414 §2)."""
        methods = ["client_secret_basic", "client_secret_post"]
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/oauth/authorize",
            "token_endpoint": f"{self.issuer}/oauth/token",
            "revocation_endpoint": f"{self.issuer}/oauth/revoke",
            "introspection_endpoint": f"{self.issuer}/oauth/introspect",
            "userinfo_endpoint": f"{self.issuer}/oauth/userinfo",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANTS),
            "token_endpoint_auth_methods_supported": [*methods, "none"],
            "revocation_endpoint_auth_methods_supported": [*methods, "none"],
            "introspection_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def validate_authorization_request(self, uri: str, *args: Any, **kwargs: Any) -> tuple[list[str], dict[str, Any]]:
        """Scopes and details of an authorization request (RFC 6749 §3.1, §4.1.1).

        Raises FatalClientError where nobody may be sent anywhere, else OAuth2Error.
        """
        query = urlsplit(uri).query
        if len(query) > _LONGEST_QUERY:
            raise InvalidRequestFatalError(f"It is longer than {_LONGEST_QUERY} characters.")
        if wrong := _malformed(query):
            raise InvalidRequestFatalError(wrong)
        try:
            scopes, details = super().validate_authorization_request(uri, *args, **kwargs)
        except ValueError:  # oauthlib's parser, for characters that no query may hold
            raise InvalidRequestFatalError("The query isn't form-encoded.") from None
        return list(scopes), dict(details)

    def error_uri(self, error: OAuth2Error, redirect_uri: str) -> str:
        """The URL that takes an error back to a client, at a redirect URI that was verified (RFC 6749 §4.1.2.1)."""
        return str(add_params_to_uri(redirect_uri, [*error.twotuples, ("iss", self.issuer)]))

    def refuse(self, uri: str, body: str, headers: Mapping[str, str], *, token_request: bool = False) -> Answer | None:
        """The answer to what no client of ours asks, before anything is written for it (RFC 6749 §3.2, §5.2)."""
        if wrong := "The parameters belong in the body." if urlsplit(uri).query else _malformed(body):
            return _answer(InvalidRequestError(wrong))
        try:
            request = Request(uri, "POST", body, dict(headers))
        except ValueError:
            return _answer(InvalidRequestError("The body isn't form-encoded."))
        try:
            if token_request and not request.grant_type:
                raise InvalidRequestError("The grant_type is missing.")
            if token_request and request.grant_type not in GRANTS:
                raise UnsupportedGrantTypeError
            for name in _NEEDED.get(request.grant_type, ()) if token_request else ():
                if not getattr(request, name):
                    raise InvalidRequestError(f"The {name} is missing.")
            self._raise_on_invalid_client(request)
        except OAuth2Error as error:
            return _answer(error)
        return None

    def answer_token_request(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a token request (RFC 6749 §5)."""
        return _told(self.create_token_response(uri, "POST", body, dict(headers)))

    def answer_revocation(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a revocation request (RFC 7009 §2.2)."""
        return _told(self.create_revocation_response(uri, "POST", body, dict(headers)))

    def answer_introspection(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """The answer to an introspection request (RFC 7662 §2.2)."""
        return _told(self.create_introspect_response(uri, "POST", body, dict(headers)))

    def validate_introspect_request(self, request: Any) -> None:
        """A client that can't authenticate could ask for anybody (RFC 7662 §2.1)."""
        super().validate_introspect_request(request)
        if not self.request_validator.client_authentication_required(request):
            raise InvalidClientError(request=request)

    def _raise_on_missing_token(self, request: Any) -> None:
        super()._raise_on_missing_token(request)
        if len(request.token) > _TOKEN_LENGTH:
            raise InvalidRequestError("The token is longer than any of ours.", request=request)


def _answer(error: OAuth2Error) -> Answer:
    return {"Content-Type": "application/json", "Cache-Control": "no-store"}, error.json, error.status_code


def _told(answer: tuple[Mapping[str, str], str, int]) -> Answer:
    headers, body, status = answer
    return {"Cache-Control": "no-store", **headers}, body, status


def _malformed(form: str) -> str:
    """What is wrong with a request's parameters as such, empty for nothing."""
    try:
        names = Counter(name for name, _ in parse_qsl(form, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        return "There are too many parameters."
    twice = next((name for name, times in names.items() if times > 1), None)
    return f"{_NOT_ERROR_TEXT.sub('', twice)[:80]} is given twice." if twice is not None else ""


def _require_s256(request: Any) -> dict[str, object]:
    if request.response_type is None:
        raise MissingResponseTypeError(request=request)
    if request.response_type != "code":
        raise UnsupportedResponseTypeError(request=request)
    if request.response_mode not in (None, "query"):
        raise InvalidRequestError("The response_mode must be query.", request=request)
    if request.code_challenge_method != "S256" or not _CHALLENGE.fullmatch(request.code_challenge or ""):
        raise InvalidRequestError("A code_challenge with the method S256 is needed (RFC 7636).", request=request)
    return {}


def _require_verifier(request: Any) -> None:
    if not _VERIFIER.fullmatch(request.code_verifier or ""):
        raise InvalidRequestError("The code_verifier is missing or malformed (RFC 7636).", request=request)
