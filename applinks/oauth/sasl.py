"""An access token as mail servers take it: SASL's XOAUTH2 (Google's, Microsoft's) and OAUTHBEARER (RFC 7628 §3.1)."""

import base64

from applinks.errors import InvalidFieldError

USER_LENGTH = 320


def read_user(name: str, text: str) -> str:
    """The mailbox whose access is asked for. Raises InvalidFieldError."""
    if not 1 <= len(text) <= USER_LENGTH or not text.isprintable():
        raise InvalidFieldError(name, f"A user is 1 to {USER_LENGTH} visible characters, such as ada@example.com.")
    return text


def xoauth2(user: str, access_token: str) -> str:
    """The initial response in base64."""
    return _base64(f"user={user}\1auth=Bearer {access_token}\1\1")


def oauthbearer(user: str, access_token: str) -> str:
    """The initial response in base64; in a name, `=` and `,` have a meaning of their own (RFC 5801 §4)."""
    name = user.replace("=", "=3D").replace(",", "=2C")
    return _base64(f"n,a={name},\1auth=Bearer {access_token}\1\1")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
