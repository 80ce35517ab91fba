"""The OAuth 2.0 authorization server (RFC 6749) on oauthlib: pure protocol, no table.

Authorization code with PKCE S256 for every client, and refresh tokens that rotate. oauthlib itself takes a missing
challenge method for `plain` and offers both, so S256 is required by a check of our own.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    InvalidRequestError,
    InvalidRequestFatalError,
    RefreshTokenGrant,
    RequestValidator,
    TokenEndpoint,
)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636 §4.2)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1
_NOT_ERROR_TEXT = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2
_MOST_PARAMETERS = 50

Answer = tuple[dict[str, str], str, int]
"""Headers, body and status."""


class AuthorizationServer(AuthorizationEndpoint, TokenEndpoint):  # type: ignore[misc]
    """`token_life` gives the seconds that an access token lives, from oauthlib's request."""

    def __init__(
        self, validator: RequestValidator, new_token: Callable[[], str], token_life: Callable[[Any], int]
    ) -> None:
        code = AuthorizationCodeGrant(validator)
        refresh = RefreshTokenGrant(validator)
        code.custom_validators.pre_auth.append(_require_s256)
        code.custom_validators.pre_token.append(_require_verifier)
        bearer = BearerToken(validator, lambda _: new_token(), token_life, lambda _: new_token())
        AuthorizationEndpoint.__init__(self, "code", bearer, {"code": code})
        TokenEndpoint.__init__(
            self, "authorization_code", bearer, {"authorization_code": code, "refresh_token": refresh}
        )

    def validate_authorization_request(self, uri: str, *args: Any, **kwargs: Any) -> tuple[list[str], dict[str, Any]]:
        """Scopes and details of an authorization request (RFC 6749 §3.1, §4.1.1).

        Raises FatalClientError where nobody may be sent anywhere, else OAuth2Error.
        """
        if wrong := _malformed(urlsplit(uri).query):
            raise InvalidRequestFatalError(wrong)
        try:
            scopes, details = super().validate_authorization_request(uri, *args, **kwargs)
        except ValueError:  # oauthlib's parser, for characters that no query may hold
            raise InvalidRequestFatalError("The query isn't form-encoded.") from None
        return list(scopes), dict(details)

    def refuse_token_request(self, uri: str, body: str) -> Answer | None:
        """The answer to a token request that can't be one, before anything is looked up for it (RFC 6749 §3.2)."""
        wrong = "The parameters belong in the body." if urlsplit(uri).query else _malformed(body)
        if not wrong:
            return None
        error = InvalidRequestError(wrong)
        return {"Content-Type": "application/json", "Cache-Control": "no-store"}, error.json, error.status_code

    def answer_token_request(self, uri: str, body: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a token request (RFC 6749 §5)."""
        answer_headers, answer, status = self.create_token_response(uri, "POST", body, dict(headers))
        return dict(answer_headers), answer, status


def _malformed(form: str) -> str:
    """What is wrong with a request's parameters as such, empty for nothing."""
    try:
        names = Counter(name for name, _ in parse_qsl(form, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        return "There are too many parameters."
    twice = next((name for name, times in names.items() if times > 1), None)
    return f"{_NOT_ERROR_TEXT.sub('', twice)[:80]} is given twice." if twice is not None else ""


def _require_s256(request: Any) -> dict[str, object]:
    if request.code_challenge_method != "S256" or not _CHALLENGE.fullmatch(request.code_challenge or ""):
        raise InvalidRequestError("A code_challenge with the method S256 is needed (RFC 7636).", request=request)
    if request.response_type != "code":
        raise InvalidRequestError("The response_type must be code.", request=request)
    return {}


def _require_verifier(request: Any) -> None:
    if not _VERIFIER.fullmatch(request.code_verifier or ""):
        raise InvalidRequestError("The code_verifier is missing or malformed (RFC 7636).", request=request)
