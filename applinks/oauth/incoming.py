"""What an administrator registers for an incoming link (RFC 6749 §2), as one validated value, and the rules for it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from applinks.errors import InvalidFieldError
from applinks.oauth.scopes import READ_TOKENS, SCOPES, ordered
from applinks.settings import is_loopback

CODE = "authorization_code"
OWN_CREDENTIALS = "client_credentials"
GRANT_TYPES = {
    CODE: "Authorization code: for people, who give their consent in a browser",
    OWN_CREDENTIALS: "Client credentials: for a service that acts by itself",
}
CONFIDENTIAL, PUBLIC = "confidential", "public"
CLIENT_TYPES = {CONFIDENTIAL: "Confidential", PUBLIC: "Public"}

MINUTE, DAY = 60, 86_400
# What a form counts in, and how many of it are the fewest, the usual and the most.
LIVES = {
    "access_token_life": (MINUTE, 1, 60, 24 * 60),
    "refresh_idle_life": (DAY, 1, 30, 90),
    "refresh_life": (DAY, 1, 90, 365),
}
REDIRECT_URIS = 20
REDIRECT_URI_LENGTH = 2048

_URI = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e%]+")  # RFC 3986: no quote, <, >, \, ^, `, {, |, }
_AUTHORITY = re.compile(r"([a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::([0-9]*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# A native application listens at whichever port is free (RFC 8252 §7.3), at an address that no resolver can move.
_ANY_PORT = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?(/.*)?", re.DOTALL)


@dataclass(frozen=True)
class IncomingRegistration:
    """All fields of an incoming link. Lives are in seconds, `token_links` are slugs."""

    name: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    token_links: tuple[str, ...]
    grant_types: tuple[str, ...]
    is_public: bool
    access_token_life: int
    refresh_idle_life: int
    refresh_life: int


def read_redirect_uris(text: str, *, needed: bool) -> tuple[str, ...]:
    """One a line, each once. Raises InvalidFieldError."""
    uris = tuple(dict.fromkeys(text.split()))
    if needed and not uris:
        raise InvalidFieldError("redirect_uris", "Fill in where people are sent back to: the application names it.")
    if len(uris) > REDIRECT_URIS:
        raise InvalidFieldError("redirect_uris", f"At most {REDIRECT_URIS} Redirect URLs.")
    for uri in uris:
        if wrong := _wrong_with(uri):
            raise InvalidFieldError("redirect_uris", f"{uri[:80]}: {wrong}")
    return uris


def _wrong_with(uri: str) -> str:
    """What is wrong with a redirection endpoint (RFC 6749 §3.1.2, RFC 9700 §2.1), empty for nothing."""
    if len(uri) > REDIRECT_URI_LENGTH:
        return f"a Redirect URL has at most {REDIRECT_URI_LENGTH} characters."
    if not _URI.fullmatch(uri):
        return (
            "only letters, digits and the signs of a URL can stand in it. Write others as %20, say, and a host in xn--."
        )
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        return "this isn't a URL."
    if parts.scheme not in ("http", "https", "") and ":" in uri:
        return "it must begin with https://. A scheme of an application's own can be taken over by another application."
    if not uri.startswith(("http://", "https://")) or not host:
        return "it must begin with https:// and a host."
    if "#" in uri:
        return "a fragment, from # on, can't be a part of it (RFC 6749 §3.1.2)."
    if "@" in parts.netloc:
        return "a user name can't stand in it."
    if "*" in uri:
        return "a wildcard can't stand in it: write down each Redirect URL."
    found = _AUTHORITY.fullmatch(parts.netloc)
    if found is None or ".." in host:
        return "its host must be written in small letters, without a dot at its end, and its port as a number."
    if found[2] is not None and not _is_port(found[2]):
        return "its port must be a number from 1 to 65535."
    if parts.scheme == "http" and not is_loopback(host):
        return "plain http is for an application on the same machine alone (http://127.0.0.1). Use https."
    if any(part in (".", "..") for part in parts.path.split("/")):
        return "its path can't go up."
    return ""


def _is_port(text: str) -> bool:
    return bool(_PORT.fullmatch(text)) and int(text) <= 65_535


def matches(asked: str, registered: Sequence[str], *, any_port: bool) -> bool:
    """Whether a redirect URI is a registered one: the same string (RFC 9700 §2.1).

    With `any_port`, for native applications, the port of a loopback address may differ.
    """
    if asked in registered:
        return True
    found = _ANY_PORT.fullmatch(asked) if any_port else None
    if found is None or (found[2] is not None and not _is_port(found[2])):
        return False
    host, _, path = found.groups()
    for uri in registered:
        other = _ANY_PORT.fullmatch(uri)
        if other and (other[1], other[3]) == (host, path):
            return True
    return False


def read_choices(name: str, chosen: Sequence[str], known: Sequence[str], missing: str) -> tuple[str, ...]:
    """What was ticked, at least one of what there is. Raises InvalidFieldError."""
    if any(choice not in known for choice in chosen):
        raise InvalidFieldError(name, "Choose from those that are shown.")
    if not chosen:
        raise InvalidFieldError(name, missing)
    return tuple(choice for choice in known if choice in chosen)


def read_grant_types(chosen: Sequence[str], *, is_public: bool) -> tuple[str, ...]:
    """Raises InvalidFieldError."""
    if is_public and OWN_CREDENTIALS in chosen:
        raise InvalidFieldError(
            "grant_types", "Client credentials need a client secret: make it confidential (RFC 6749 §4.4)."
        )
    return read_choices("grant_types", chosen, list(GRANT_TYPES), "Choose at least one.")


def read_life(name: str, count: int | None) -> int:
    """A life in seconds, from what a form counts in. Raises InvalidFieldError."""
    unit, least, _, most = LIVES[name]
    if count is None or not least <= count <= most:
        raise InvalidFieldError(name, f"Write a whole number from {least} to {most}.")
    return count * unit


def read_scope_choice(chosen: Sequence[str], slugs: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidFieldError, also where links are named but their tokens aren't read, or the other way round."""
    scopes = read_choices("scopes", chosen, list(SCOPES), "Choose at least one: without any, it may do nothing.")
    if READ_TOKENS in scopes and not slugs:
        raise InvalidFieldError("token_links", "Name the links whose tokens it may read.")
    if slugs and READ_TOKENS not in scopes:
        raise InvalidFieldError("token_links", f"Choose the scope {READ_TOKENS} as well, or leave this empty.")
    return tuple(ordered(scopes))


def host_of(redirect_uri: str) -> str:
    """The host, with its port, that a person is sent to."""
    return urlsplit(redirect_uri).netloc
