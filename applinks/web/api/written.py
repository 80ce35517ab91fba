"""A token as RFC 6749 §5.1 describes an answer, but never a refresh token."""

import json
from typing import Any

from applinks.services.tokens import AccessToken


def token_written(found: AccessToken, now: int) -> bytes:
    answer = {"access_token": found.access_token, "token_type": "Bearer"} | life_of(found, now)
    if found.scope:
        answer["scope"] = found.scope
    return json.dumps(answer).encode()


def life_of(found: AccessToken, now: int) -> dict[str, Any]:
    """Whose token it is, and for how long; nothing about that where nobody knows."""
    life: dict[str, Any] = {"connection": found.connection}
    if found.expires_at is not None:
        life |= {"expires_in": max(0, found.expires_at - now), "expires_at": found.expires_at}
    return life
