"""The scopes (RFC 6749 §3.3) that an external application may be given at Applinks, and what each permits, in words."""

from collections.abc import Iterable

PROFILE = "profile"
SEE_LINKS = "links:read"
READ_TOKENS = "tokens:read"
MANAGE_LINKS = "links:manage"

SCOPES = {
    PROFILE: "see your user name",
    SEE_LINKS: "see all links, their accounts and their states",
    READ_TOKENS: "read access tokens of the links that are chosen for it",
    MANAGE_LINKS: "make, change and delete links, end their connections, and read the audit log",
}


def permits(scope: str) -> str:
    """What a scope permits, in words that follow "may"."""
    return SCOPES.get(scope, "use what this release doesn't know")


def ordered(scopes: Iterable[str]) -> list[str]:
    """Scopes in the order that people are shown them."""
    known = list(SCOPES)
    return sorted(scopes, key=lambda scope: (known.index(scope) if scope in known else len(known), scope))
