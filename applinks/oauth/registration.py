"""What an administrator registers for an outgoing link (RFC 6749 §2), as one validated value.

Forms, and later JSON and files, only build this value; every rule for its fields is here.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from applinks.errors import InvalidFieldError
from applinks.oauth.guard import AddressRefusedError, Guard
from applinks.providers import PLACES, Catalogue, GrantType, Provider, ProviderProfile

ENDPOINT_FIELDS = (*PLACES, "authorization_endpoint", "token_endpoint", "userinfo_endpoint")
NAME_LENGTH = 100
CLIENT_ID_LENGTH = 512
CLIENT_SECRET_LENGTH = 4096
SCOPES_LENGTH = 4096
SCOPES_COUNT = 100

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_CREDENTIAL = re.compile(r"[\x20-\x7e]+")  # RFC 6749 appendix A.1, A.2
# Letters, marks and a pattern of dots that show nothing. A variation selector stays where phones put it, behind an emoji.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]")
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")


@dataclass(frozen=True)
class ClientRegistration:
    """All fields of an outgoing link. `client_secret` is None where the stored one stays, `client_secret_ends_at` (seconds
    since 1970) where it isn't known to end."""

    name: str
    provider: Provider
    profile: ProviderProfile
    differences: Mapping[str, str]
    client_id: str
    client_secret: str | None = field(repr=False)
    scopes: str
    client_secret_ends_at: int | None = None


def endpoint_fields(provider: Provider, grant_type: GrantType) -> tuple[str, ...]:
    """The fields that an administrator fills in to say where this provider is; all but userinfo are needed.

    Without an account there is nobody to ask for consent, and nobody to tell about.
    """
    if provider.brings_endpoints:
        return tuple(place.name for place in provider.places)
    if grant_type == "client_credentials":
        return ("token_endpoint",)
    return ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")


def read_provider(catalogue: Catalogue, key: str) -> Provider:
    """Raises InvalidFieldError."""
    if key not in catalogue:
        raise InvalidFieldError("provider", "Choose one of the providers.")
    return catalogue[key]


def read_endpoint_field(guard: Guard, provider: Provider, name: str, text: str) -> str:
    """A place or an endpoint as it is stored; an empty userinfo endpoint is accepted.

    Raises InvalidFieldError.
    """
    text = text.strip()
    if place := provider.place(name):
        return place.read(text)
    if not text:
        if name == "userinfo_endpoint":
            return ""
        raise InvalidFieldError(name, f"Fill in the {name.replace('_', ' ')}: the provider's documentation names it.")
    try:
        return guard.endpoint(text)
    except AddressRefusedError as refused:
        raise InvalidFieldError(name, str(refused)) from None


def check_places(guard: Guard, provider: Provider, profile: ProviderProfile) -> None:
    """What a place makes of the endpoints must be what may be called. Raises InvalidFieldError, at the host."""
    if provider.place("host"):
        try:
            guard.endpoint(profile.token_endpoint)
        except AddressRefusedError as refused:
            raise InvalidFieldError("host", str(refused)) from None


def read_name(text: str) -> str:
    """A link's name: 1 to 100 visible characters, normalised (NFC).

    Raises InvalidFieldError.
    """
    name = " ".join(filter(None, unicodedata.normalize("NFC", text).split(" ")))
    if not any(unicodedata.category(char)[0] in "LNPS" for char in _BLANK.sub("", name)):
        raise InvalidFieldError("name", "Give the link a name, such as the application at its other end.")
    if len(name) > NAME_LENGTH:
        raise InvalidFieldError("name", f"The name is longer than {NAME_LENGTH} characters.")
    if _BLANK.search(name) or any(unicodedata.category(char) in _UNSEEN for char in name):
        raise InvalidFieldError("name", "The name holds a character that can't be seen. Type it instead of pasting it.")
    return name


def read_client_id(text: str) -> str:
    """Raises InvalidFieldError."""
    client_id = text.strip()
    if not client_id:
        raise InvalidFieldError("client_id", "Fill in the client ID that the provider gave you.")
    if len(client_id) > CLIENT_ID_LENGTH or not _CREDENTIAL.fullmatch(client_id):
        raise InvalidFieldError(
            "client_id", f"A client ID is at most {CLIENT_ID_LENGTH} printable characters without accents."
        )
    return client_id


def read_client_secret(text: str, *, needed: bool) -> str | None:
    """Raises InvalidFieldError."""
    secret = text.strip()
    if not secret:
        if needed:
            raise InvalidFieldError("client_secret", "Fill in the client secret that the provider gave you.")
        return None
    if len(secret) > CLIENT_SECRET_LENGTH or not _CREDENTIAL.fullmatch(secret):
        raise InvalidFieldError(
            "client_secret", f"A client secret is at most {CLIENT_SECRET_LENGTH} printable characters without accents."
        )
    return secret


def read_day(text: str) -> int | None:
    """The beginning of a day, UTC, in seconds since 1970; None for an empty text. Raises InvalidFieldError."""
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = datetime(1, 1, 1, tzinfo=UTC)
    if not 2000 <= day.year < 2100:
        raise InvalidFieldError("client_secret_ends", "Write a day as year-month-day, such as 2027-06-30.")
    return int(day.timestamp())


def day_written(at: int | None) -> str:
    """The same as it is typed."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def read_scopes(text: str) -> str:
    """Scopes, one space between them, each once, in the order given.

    Raises InvalidFieldError.
    """
    scopes = list(dict.fromkeys(text.split()))
    for scope in scopes:
        if not _SCOPE_TOKEN.fullmatch(scope):
            raise InvalidFieldError("scopes", f"{scope[:80]} can't be a scope: quotes, backslashes and accents can't.")
    joined = " ".join(scopes)
    if len(scopes) > SCOPES_COUNT or len(joined) > SCOPES_LENGTH:
        raise InvalidFieldError("scopes", f"At most {SCOPES_COUNT} scopes and {SCOPES_LENGTH} characters.")
    return joined


def read_label(text: str) -> str:
    """A connection's label, in a slug's grammar.

    Raises InvalidFieldError.
    """
    label = text.strip().lower()
    if not _SLUG.fullmatch(label):
        raise InvalidFieldError("label", "A label is 1 to 60 small letters, digits and hyphens, such as sales-team.")
    return label


def slug_of(name: str) -> str:
    """The slug that a name gives, `link` where it gives none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "link"


def name_key(name: str) -> str:
    """Two names are the same to a person when their keys are equal."""
    return " ".join(unicodedata.normalize("NFKC", name).replace("\ufe0f", "").casefold().split())


def search_words(name: str) -> list[str]:
    """The words by whose beginnings a link of this name is found, each once."""
    return list(dict.fromkeys(re.findall(r"\w+", name_key(name))))
