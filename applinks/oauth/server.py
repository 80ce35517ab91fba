"""The OAuth 2.0 authorization server (RFC 6749) on oauthlib: pure protocol, no table.

Authorization code with PKCE S256 for every client, and refresh tokens that rotate. oauthlib itself takes a missing
challenge method for `plain` and offers both, so S256 is required by a check of our own.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    InvalidRequestError,
    RefreshTokenGrant,
    RequestValidator,
    TokenEndpoint,
)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # SHA-256 in base64url (RFC 7636 §4.2)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


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

    def answer_token_request(self, uri: str, body: str, headers: Mapping[str, str]) -> tuple[dict[str, str], str, int]:
        """Headers, body and status of the answer to a token request (RFC 6749 §3.2, §5)."""
        names = [name for name, _ in parse_qsl(body, keep_blank_values=True)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            error = InvalidRequestError(f"{twice[:80]} is given twice.")
            return {"Content-Type": "application/json", "Cache-Control": "no-store"}, error.json, error.status_code
        answer_headers, answer, status = self.create_token_response(uri, "POST", body, dict(headers))
        return dict(answer_headers), answer, status


def _require_s256(request: Any) -> dict[str, object]:
    if request.code_challenge_method != "S256" or not _CHALLENGE.fullmatch(request.code_challenge or ""):
        raise InvalidRequestError("A code_challenge with the method S256 is needed (RFC 7636).", request=request)
    if request.response_type != "code":
        raise InvalidRequestError("The response_type must be code.", request=request)
    return {}


def _require_verifier(request: Any) -> None:
    if not _VERIFIER.fullmatch(request.code_verifier or ""):
        raise InvalidRequestError("The code_verifier is missing or malformed (RFC 7636).", request=request)
