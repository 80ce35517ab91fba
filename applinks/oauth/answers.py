"""One way in: every answer of a provider is read here before anything else sees it.

An answer becomes a small typed value: `Granted`, `Refused` (with its code of RFC 6749 §5.2), `Away` (transient) or
`Nonsense` (an answer that no OAuth 2.0 server gives).
"""

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

import requests

TOKEN_LENGTH = 16_384
SHORTEST_LIFE = 30
LONGEST_LIFE = 366 * 86_400
ASSUMED_LIFE = 3_600
LONGEST_WAIT = 3_600

_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
_NOT_ERROR_TEXT = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2
_AWAY = frozenset((408, 425, 429))
_TRANSIENT_CODES = frozenset(("temporarily_unavailable", "server_error", "slow_down"))


@dataclass(frozen=True)
class Granted:
    """Tokens (RFC 6749 §5.1). `life` is in seconds, None where the provider says nothing.

    `refresh_token` and `scope` are None where the answer holds none: the caller keeps what it has or asked for.
    """

    access_token: str
    refresh_token: str | None
    life: int | None
    scope: str | None

    def __repr__(self) -> str:
        return f"Granted(life={self.life!r}, scope={self.scope!r})"


@dataclass(frozen=True)
class Refused:
    """The provider said no, with a code; `words` are the provider's own, made safe to show."""

    code: str
    words: str


@dataclass(frozen=True)
class Away:
    """Nothing is decided: try again, after `retry_after` seconds where the provider says so.

    `ambiguous` is true when the request may have arrived.
    """

    words: str
    retry_after: int | None = None
    ambiguous: bool = False


@dataclass(frozen=True)
class Nonsense:
    """An answer that can't be understood; `words` say in which way, never quoting it."""

    words: str


TokenAnswer = Granted | Refused | Away | Nonsense


def read_token_answer(response: requests.Response) -> TokenAnswer:
    """Read a token endpoint's answer (RFC 6749 §5), status first."""
    status = response.status_code
    if 300 <= status < 400:
        return Nonsense(f"The endpoint answered with a redirect (HTTP {status}), which is never followed.")
    if status in _AWAY or status >= 500:
        return Away(f"The provider answered HTTP {status}.", _retry_after(response))
    members = _json_object(response)
    if members is None:
        return Nonsense(f"The provider answered HTTP {status} with something that isn't a JSON object.")
    if members.get("error") is not None:
        return _refused(members)
    if status != 200:
        return Nonsense(f"The provider answered HTTP {status} without an OAuth 2.0 error.")
    return _granted(members)


def read_account(response: requests.Response) -> str | None:
    """The name of an account out of a userinfo answer, or None where it tells none."""
    members = _json_object(response) if response.status_code == 200 else None
    for name in ("email", "preferred_username", "name", "login", "sub"):
        value = (members or {}).get(name)
        if isinstance(value, str) and 0 < len(value.strip()) <= 255 and value.isprintable():
            return value.strip()
    return None


def safe_text(value: object, limit: int = 300) -> str:
    """A provider's text with everything outside RFC 6749's error grammar dropped, cut at `limit` characters."""
    return _NOT_ERROR_TEXT.sub("", value if isinstance(value, str) else "")[:limit].strip()


def _refused(members: dict[str, Any]) -> Refused | Away:
    code = safe_text(members["error"], 64) or "unknown_error"
    words = safe_text(members.get("error_description"))
    if code in _TRANSIENT_CODES:
        return Away(f"The provider said {code}. {words}".strip())
    return Refused(code, words)


def _granted(members: dict[str, Any]) -> Granted | Nonsense:
    access_token, refresh_token = members.get("access_token"), members.get("refresh_token")
    if not _is_token(access_token):
        return Nonsense("The provider's answer holds no usable access token.")
    token_type = members.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        return Nonsense("The provider's answer holds a token of a type other than Bearer.")
    if refresh_token in (None, ""):
        refresh_token = None  # absent, null and empty all mean: keep the one you have (RFC 6749 §6)
    elif not _is_token(refresh_token):
        return Nonsense("The provider's answer holds an unusable refresh token.")
    try:
        life = _life(members.get("expires_in"))
    except ValueError:
        return Nonsense("The provider's answer holds an expires_in that is no number of seconds.")
    scope = members.get("scope")
    if scope in (None, ""):
        scope = None
    elif not isinstance(scope, str) or len(scope) > 4096 or not _SCOPE.fullmatch(scope):
        return Nonsense("The provider's answer holds a scope that breaks RFC 6749's grammar.")
    return Granted(access_token, refresh_token, life, scope)


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TOKEN_LENGTH and bool(_VSCHAR.fullmatch(value))


def _life(value: object) -> int | None:
    """Seconds, held within sense: a life of nothing becomes the shortest one, so that a refresh follows at once.

    Raises ValueError.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no number")
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ValueError("no decimal number")
        value = int(value)
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("no whole number")
    return min(max(int(value), SHORTEST_LIFE), LONGEST_LIFE)


def _retry_after(response: requests.Response) -> int | None:
    """Seconds to wait (RFC 9110 §10.2.3), at most an hour."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(int(text), LONGEST_WAIT)
    try:
        when, now = parsedate_to_datetime(text), parsedate_to_datetime(response.headers["Date"])
        return min(max(int((when - now).total_seconds()), 0), LONGEST_WAIT)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _json_object(response: requests.Response) -> dict[str, Any] | None:
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return None
    try:
        value = json.loads(response.content.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
