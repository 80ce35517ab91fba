"""An access token as mail servers take it: SASL's XOAUTH2 (Google's, Microsoft's) and OAUTHBEARER (RFC 7628 §3.1)."""

import base64
import re

from applinks.errors import InvalidFieldError

USER_LENGTH = 320
USER = r"[^\x00-\x1f\x7f]+"  # a control character would end the field that the name stands in


def read_user(name: str, text: str) -> str:
    """The mailbox whose access is asked for. Raises InvalidFieldError."""
    if len(text) > USER_LENGTH or not re.fullmatch(USER, text):
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
