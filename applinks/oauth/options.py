"""What real providers need beyond RFC 6749's letter: a link's options, each the difference from its provider's drawer.

An empty text is no difference. What is stored is the text that a reader here returns.
"""

import re
from collections.abc import Callable

from applinks.errors import InvalidFieldError
from applinks.oauth.answers import LONGEST_LIFE, SHORTEST_LIFE
from applinks.oauth.endpoints import OWN_PARAMETERS
from applinks.oauth.guard import AddressRefusedError, Guard
from applinks.providers import ANYBODYS_TENANTS, DETECT, GrantType, Provider, ProviderProfile

OPTIONS = (
    "client_authentication",
    "refresh_client_authentication",
    "issuer",
    "iss_required",
    "revocation_endpoint",
    "authorization_parameters",
    "token_parameters",
    "refresh_parameters",
    "scope_separator",
    "scope_on_refresh",
    "redirect_uri_on_refresh",
    "form_encoded_answers",
    "default_life",
)
MOST_PARAMETERS = 20
PARAMETER_LENGTH = 1024

# Without an account nobody is sent to the provider, and nothing is refreshed: a new token is asked for.
_WITH_ACCOUNT = {"issuer", "iss_required", "authorization_parameters", "refresh_parameters"}
_WITH_ACCOUNT |= {"refresh_client_authentication", "scope_on_refresh", "redirect_uri_on_refresh"}
_BROUGHT = {"issuer", "iss_required", "revocation_endpoint"}
_METHODS = ("client_secret_basic", "client_secret_post", "none")
WORDS = {
    "client_authentication": (DETECT, *_METHODS),
    "refresh_client_authentication": _METHODS,
    "scope_separator": ("space", "comma"),
    "scope_on_refresh": ("yes", "no"),
    "redirect_uri_on_refresh": ("yes", "no"),
    "form_encoded_answers": ("yes", "no"),
    "iss_required": ("yes", "no"),
}
_PARAMETER = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})=(?P<value>[\x20-\x7e]*)")


def option_fields(provider: Provider, grant_type: GrantType) -> tuple[str, ...]:
    """The options that there are under a provider and a grant type, in the order of a form."""
    left_out: set[str] = set()
    if grant_type == "client_credentials":
        left_out |= _WITH_ACCOUNT
    if provider.brings_endpoints:
        left_out |= _BROUGHT
    return tuple(name for name in OPTIONS if name not in left_out)


def read_grant_type(provider: Provider, text: str) -> GrantType:
    """The grant type, the provider's first where nothing was chosen. Raises InvalidFieldError."""
    for grant_type in provider.grant_types:
        if text in ("", grant_type):
            return grant_type
    raise InvalidFieldError("grant_type", "Choose one of the grant types.")


def read_option(guard: Guard, name: str, text: str) -> str:
    """An option as it is stored, empty for the provider's default. Raises InvalidFieldError."""
    readers: dict[str, Callable[[], str]] = {
        "issuer": lambda: _address(guard, name, text.strip(), query=False),
        "revocation_endpoint": lambda: _address(guard, name, text.strip(), query=True),
        "default_life": lambda: _seconds(name, text.strip()),
    }
    if name.endswith("_parameters"):
        return _parameters(name, text)
    if name in readers:
        return readers[name]()
    if text and text not in WORDS[name]:
        raise InvalidFieldError(name, "Choose one of the answers.")
    return text


def check(profile: ProviderProfile, tenant: str) -> None:
    """What only shows when all fields are seen together; `tenant` is empty where there is none.

    Raises InvalidFieldError.
    """
    if profile.without_account and tenant in ANYBODYS_TENANTS:
        raise InvalidFieldError(
            "tenant", "Client credentials belong to one directory: write its GUID or one of its domains."
        )
    if not profile.has_client_secret and (profile.refresh_client_authentication or "none") != "none":
        raise InvalidFieldError("refresh_client_authentication", "A public client has no client secret to send.")
    if profile.without_account and not profile.has_client_secret:
        raise InvalidFieldError(
            "client_authentication", "Client credentials need a client secret: choose how it is sent."
        )
    if profile.iss_required and not profile.issuer:
        raise InvalidFieldError("iss_required", "Fill in the issuer that every answer is to name.")


def _address(guard: Guard, name: str, text: str, *, query: bool) -> str:
    if not text:
        return ""
    if "?" in text and not query:
        raise InvalidFieldError(name, "An issuer has no query: leave out the part from ? on (RFC 8414 §2).")
    try:
        return guard.endpoint(text)
    except AddressRefusedError as refused:
        raise InvalidFieldError(name, str(refused)) from None


def _seconds(name: str, text: str) -> str:
    if not text:
        return ""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not SHORTEST_LIFE <= int(text) <= LONGEST_LIFE:
        raise InvalidFieldError(name, f"Write a number of seconds from {SHORTEST_LIFE} to {LONGEST_LIFE}.")
    return str(int(text))


def _parameters(name: str, text: str) -> str:
    """Extra parameters of a request, one `name=value` a line."""
    found: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        parameter = _PARAMETER.fullmatch(line)
        if not parameter or len(parameter["value"]) > PARAMETER_LENGTH:
            raise InvalidFieldError(
                name, f"Write one name=value a line, in letters without accents: {line[:80]} isn't one."
            )
        key, value = parameter["name"], parameter["value"]
        if key.lower() in OWN_PARAMETERS:
            raise InvalidFieldError(name, f"Leave {key} out: Applinks sends it itself.")
        if key in found:
            raise InvalidFieldError(name, f"{key} is given twice.")
        found[key] = value
    if len(found) > MOST_PARAMETERS:
        raise InvalidFieldError(name, f"At most {MOST_PARAMETERS} parameters can be added.")
    return "\n".join(f"{key}={value}" for key, value in found.items())
