"""One way in: every answer of a provider is read here before anything else sees it.

An answer becomes a small typed value: `Granted`, `Revoked`, `Metadata`, `Refused` (with its code of RFC 6749 §5.2),
`Away` (transient) or `Nonsense` (an answer that no OAuth 2.0 server gives).
"""

import json
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard
from urllib.parse import parse_qsl

import requests

TOKEN_LENGTH = 16_384
SHORTEST_LIFE = 30
LONGEST_LIFE = 366 * 86_400
ASSUMED_LIFE = 3_600
LONGEST_WAIT = 3_600
SCOPES_LENGTH = 4_096
# Far more than any answer needs, and little enough for a walk through it to end soon.
MOST_MEMBERS = 100
MOST_SCOPES = 100
DEEPEST = 20

_ACCOUNT_MEMBERS = (
    *("email", "emailAddress", "preferred_username", "name", "login", "username", "displayName", "display_name", "sub"),
)
_SHORTEST_SECRET = 6
_VSCHAR = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_NOT_ERROR_TEXT = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2
_AWAY = frozenset((408, 425, 429))
_LOST_BEHIND_A_GATEWAY = frozenset((502, 504))  # the server itself may have done what it was asked (RFC 9110 §15.6)
_TRANSIENT_CODES = frozenset(("temporarily_unavailable", "server_error", "slow_down"))


@dataclass(frozen=True)
class Granted:
    """Tokens (RFC 6749 §5.1). `life` is in seconds, None where the provider says nothing.

    `refresh_token` and `scope` are None where the answer holds none: the caller keeps what it has or asked for. An empty
    `scope` is one that can't be read.
    """

    access_token: str
    refresh_token: str | None
    life: int | None
    scope: str | None

    def __repr__(self) -> str:
        return f"Granted(life={self.life!r}, scope={self.scope!r})"


@dataclass(frozen=True)
class Refused:
    """The provider said no, with a code; `words` are the provider's own, made safe to show.

    `unauthenticated` is true where the status, too, says that the client wasn't recognised (RFC 6749 §5.2).
    """

    code: str
    words: str
    unauthenticated: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Away:
    """Nothing is decided: try again, after `retry_after` seconds where the provider says so.

    `ambiguous` is true when the request may have arrived, `answered` when these are the words of the provider itself.
    """

    words: str
    retry_after: int | None = None
    ambiguous: bool = False
    answered: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Nonsense:
    """An answer that can't be understood; `words` say in which way, never quoting it.

    `unauthenticated` is true where the status alone says that the client wasn't recognised, `redirect` where it leads
    elsewhere, `other_issuer` where metadata is somebody else's.
    """

    words: str
    unauthenticated: bool = field(default=False, compare=False)
    redirect: bool = field(default=False, compare=False)
    other_issuer: bool = field(default=False, compare=False)


TokenAnswer = Granted | Refused | Away | Nonsense


@dataclass(frozen=True)
class Revoked:
    """The provider has ended the grant, or knew nothing of it any more (RFC 7009 §2.2)."""


@dataclass(frozen=True)
class Metadata:
    """What an authorization server says of itself (RFC 8414 §2, RFC 9207 §3, OpenID Connect Discovery 1.0 §3).

    An endpoint that it doesn't name is empty. `code_challenge_methods` is None where it says nothing of PKCE; `scopes` may
    be some of those that there are.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    client_authentications: tuple[str, ...]
    userinfo_endpoint: str = ""
    introspection_endpoint: str = ""
    scopes: tuple[str, ...] = ()
    code_challenge_methods: tuple[str, ...] | None = None
    promises_iss: bool = False


def read_token_answer(
    response: requests.Response,
    *,
    form_encoded: bool = False,
    separator: str = " ",
    token_types: tuple[str, ...] = ("bearer",),
    nested: str = "",
    secrets: tuple[str, ...] = (),
) -> TokenAnswer:
    """Read a token endpoint's answer (RFC 6749 §5), status first.

    `form_encoded` is for providers that answer in that form; `separator` is what they write between scopes;
    `token_types` what they call a bearer token, in small letters; `nested` the member that holds the token where the
    answer itself has none. `secrets` are what was sent, which no refusal may repeat.
    """
    if said := _by_status(response):
        return said
    status, members = response.status_code, _members(response, form_encoded)
    if members is None:
        words = f"The provider answered HTTP {status} with something that isn't {_expected(form_encoded)}."
        return Nonsense(words, unauthenticated=status == 401)
    if members.get("error") is not None:
        return _refused(members, response, secrets)
    if status != 200:
        words = f"The provider answered HTTP {status} without an OAuth 2.0 error."
        return Nonsense(words, unauthenticated=status == 401)
    inside = members.get(nested) if nested and members.get("access_token") is None else None
    return _granted(inside if isinstance(inside, dict) else members, separator, token_types)


def read_revocation_answer(
    response: requests.Response, *, secrets: tuple[str, ...] = ()
) -> Revoked | Refused | Away | Nonsense:
    """Read a revocation endpoint's answer (RFC 7009 §2.2): at 200 its content says nothing."""
    if said := _by_status(response):
        return said
    if response.status_code == 200:
        return Revoked()
    members = _members(response)
    if members is None or members.get("error") is None:
        return Nonsense(f"The provider answered HTTP {response.status_code} without an OAuth 2.0 error.")
    return _refused(members, response, secrets)


def read_metadata(response: requests.Response, issuer: str) -> Metadata | Away | Nonsense:
    """Read an authorization server's metadata, which must be the issuer's own to the byte (RFC 8414 §3.3)."""
    if said := _by_status(response):
        return said
    members = _members(response) if response.status_code == 200 else None
    if members is None:
        return Nonsense("There is no metadata in the form of a JSON object.")
    if members.get("issuer") != issuer:
        named = safe_text(members.get("issuer"), 200)
        return Nonsense(
            f"The metadata names another issuer than the one that was asked: {named or 'none'}. "
            "Both must be the same to the letter, with or without a slash at the end.",
            other_issuer=True,
        )
    authorization_endpoint, token_endpoint = members.get("authorization_endpoint"), members.get("token_endpoint")
    revocation_endpoint = members.get("revocation_endpoint", "")
    if not _is_text(authorization_endpoint) or not _is_text(token_endpoint) or not isinstance(revocation_endpoint, str):
        return Nonsense("The metadata doesn't name its endpoints.")
    methods = _texts(members.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]))  # RFC 8414 §2
    if methods is None:
        return Nonsense("The metadata's client authentication methods aren't a list of words.")
    scopes = [scope for scope in _texts(members.get("scopes_supported")) or () if _SCOPE_TOKEN.fullmatch(scope)]
    return Metadata(
        issuer=issuer,
        authorization_endpoint=authorization_endpoint,
        token_endpoint=token_endpoint,
        revocation_endpoint=revocation_endpoint,
        client_authentications=methods,
        userinfo_endpoint=_text(members.get("userinfo_endpoint")),
        introspection_endpoint=_text(members.get("introspection_endpoint")),
        scopes=tuple(scopes[:MOST_SCOPES]),
        code_challenge_methods=_texts(members.get("code_challenge_methods_supported")),
        promises_iss=members.get("authorization_response_iss_parameter_supported") is True,
    )


def read_account(response: requests.Response, path: str = "") -> str | None:
    """The name of an account out of a userinfo answer, or None where it tells none.

    `path` is where it stands, with dots between members, where that isn't one of the usual ones.
    """
    members = _members(response) if response.status_code == 200 else None
    for name in (path,) if path else _ACCOUNT_MEMBERS:
        value: Any = members
        for member in name.split("."):
            value = value.get(member) if isinstance(value, dict) else None
        if path and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and 0 < len(value.strip()) <= 255 and value.isprintable():
            return value.strip()
    return None


def safe_text(value: object, limit: int = 300, secrets: tuple[str, ...] = ()) -> str:
    """A provider's text with everything outside RFC 6749's error grammar dropped, cut at `limit` characters.

    Some providers quote what they were sent: `secrets` are blotted out, but for those too short to be one.
    """
    text = _NOT_ERROR_TEXT.sub("", value if isinstance(value, str) else "")
    for secret in secrets:
        quoted = _NOT_ERROR_TEXT.sub("", secret)
        text = text.replace(quoted, "***") if len(quoted) >= _SHORTEST_SECRET else text
    return text[:limit].strip()


def _by_status(response: requests.Response) -> Away | Nonsense | None:
    """What a status says by itself, whatever comes with it."""
    status = response.status_code
    if status in _AWAY or status >= 500:
        ambiguous = status in _LOST_BEHIND_A_GATEWAY
        return Away(f"The provider answered HTTP {status}.", _retry_after(response), ambiguous, answered=True)
    if 300 <= status < 400:
        words = f"The endpoint answered with a redirect (HTTP {status}), which is never followed."
        return Nonsense(f"{words} Use the address that the documentation names.", redirect=True)
    if status < 200:
        return Nonsense(f"The provider answered HTTP {status}, which is no answer.")
    return None


def _refused(members: dict[str, Any], response: requests.Response, secrets: tuple[str, ...]) -> Refused | Away:
    code = safe_text(members["error"], 64, secrets) or "unknown_error"
    words = safe_text(members.get("error_description"), secrets=secrets)
    if code in _TRANSIENT_CODES:
        return Away(f"The provider said {code}. {words}".strip(), _retry_after(response), answered=True)
    return Refused(code, words, unauthenticated=response.status_code == 401)


def _granted(members: dict[str, Any], separator: str, token_types: tuple[str, ...]) -> Granted | Nonsense:
    access_token, refresh_token = members.get("access_token"), members.get("refresh_token")
    if not _is_token(access_token):
        return Nonsense("The provider's answer holds no usable access token.")
    token_type = members.get("token_type")
    if not isinstance(token_type, str) or token_type.lower() not in token_types:
        return Nonsense("The provider's answer holds a token of a type other than Bearer.")
    if refresh_token in (None, ""):
        refresh_token = None  # absent, null and empty all mean: keep the one you have (RFC 6749 §6)
    elif not _is_token(refresh_token):
        return Nonsense("The provider's answer holds an unusable refresh token.")
    life = _life(members.get("expires_in"))
    return Granted(access_token, refresh_token, life, _scope(members.get("scope"), separator))


def _scope(value: object, separator: str) -> str | None:
    """What was granted, with one space between; None where that isn't told (RFC 6749 §5.1: then it is what was asked
    for), empty where it can't be read.

    Whatever stands here, a token is never thrown away for it: the refresh token that came with it may be the only one.
    """
    if value in (None, ""):
        return None
    parts = value.replace(separator, " ").split() if isinstance(value, str) else value
    if not isinstance(parts, list):
        return ""
    scope = " ".join(part for part in parts if isinstance(part, str) and _SCOPE_TOKEN.fullmatch(part))
    return scope if len(scope) <= SCOPES_LENGTH else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...] | None:
    """A list of words, None for anything else."""
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return tuple(value) if is_list and isinstance(value, list) else None


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TOKEN_LENGTH and bool(_VSCHAR.fullmatch(value))


def _life(value: object) -> int | None:
    """Seconds, held within sense: a life of nothing becomes the shortest one, so that a refresh follows at once.

    None where there is no number to read. That, too, is no reason to throw a token away.
    """
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return min(max(value, SHORTEST_LIFE), LONGEST_LIFE)


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


def _expected(form_encoded: bool) -> str:
    return "a form-encoded or JSON object" if form_encoded else "a JSON object"


def _members(response: requests.Response, form_encoded: bool = False) -> dict[str, Any] | None:
    """The members of an answer's object, None where there is none that can be read in one way only."""
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    try:
        text = response.content.decode()
        if content_type == "application/json":
            value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        elif form_encoded and content_type == "application/x-www-form-urlencoded":
            value = _no_duplicates(
                parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_MEMBERS)
            )
        else:
            return None
    except (ValueError, RecursionError):
        return None
    sound = isinstance(value, dict) and len(value) <= MOST_MEMBERS and _is_shallow(value, DEEPEST)
    return value if sound else None


def _is_shallow(value: object, levels: int) -> bool:
    """Whether lists and objects are nested no deeper than so many levels."""
    if not isinstance(value, dict | list):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inside)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
