"""An outgoing link as a program writes it down: flat names and texts, the same as the form's fields.

What a link is made of is read by the rules of `oauth/registration` and `oauth/options`, as a form's fields are.
"""

from collections.abc import Callable, Mapping
from functools import partial

from applinks.errors import InvalidFieldError, InvalidFieldsError
from applinks.oauth import options
from applinks.oauth import registration as rules
from applinks.oauth.guard import Guard
from applinks.providers import Catalogue, GrantType
from applinks.services.links import Outgoing

FIELDS = (
    *("name", "provider", "grant_type", *rules.ENDPOINT_FIELDS),
    *("client_id", "client_secret", "client_secret_ends", "scopes", *options.OPTIONS),
)
_PUBLIC = "A public client has none."


def read_registration(
    guard: Guard, catalogue: Catalogue, values: Mapping[str, str], *, secret_needed: bool
) -> rules.ClientRegistration:
    """All fields as one value. Raises InvalidFieldsError with what is wrong at each."""
    wrong: dict[str, str] = {name: "There is no such field." for name in values if name not in FIELDS}

    def read(name: str, reader: Callable[[str], str | None]) -> str:
        try:
            return reader(values.get(name, "")) or ""
        except InvalidFieldError as error:
            wrong[error.field] = str(error)
            return ""

    name = read("name", rules.read_name)
    key = read("provider", lambda text: rules.read_provider(catalogue, text).key)
    if not key:
        raise InvalidFieldsError(wrong)
    provider = catalogue[key]
    grant_type: GrantType = provider.grant_types[0]
    try:
        grant_type = options.read_grant_type(provider, values.get("grant_type", ""))
    except InvalidFieldError as error:
        wrong[error.field] = str(error)
    differences: dict[str, str] = {"grant_type": grant_type} if grant_type != "authorization_code" else {}
    endpoints, folded = rules.endpoint_fields(provider, grant_type), options.option_fields(provider, grant_type)
    for field in endpoints:
        differences[field] = read(field, partial(rules.read_endpoint_field, guard, provider, field))
    for field in folded:
        differences[field] = read(field, partial(options.read_option, guard, field))
    for field in (*rules.ENDPOINT_FIELDS, *options.OPTIONS):
        if values.get(field) and field not in (*endpoints, *folded):
            wrong[field] = f"{provider.name} has no such field with this grant type."
    differences = {field: text for field, text in differences.items() if text}
    public = differences.get("client_authentication") == "none"
    client_id = read("client_id", rules.read_client_id)
    secret = None
    ends_at: int | None = None
    if public:
        wrong |= {field: _PUBLIC for field in ("client_secret", "client_secret_ends") if values.get(field)}
    elif not public:
        secret = read("client_secret", lambda text: rules.read_client_secret(text, needed=secret_needed)) or None
        try:
            ends_at = rules.read_day(values.get("client_secret_ends", ""))
        except InvalidFieldError as error:
            wrong[error.field] = str(error)
    scopes = values.get("scopes", provider.default(grant_type))
    scopes = read("scopes", lambda _: rules.read_scopes(scopes))
    if wrong:
        raise InvalidFieldsError(wrong)
    profile = provider.profile(differences)
    try:
        rules.check_places(guard, provider, profile)
        options.check(profile, differences.get("tenant", ""))
    except InvalidFieldError as error:
        raise InvalidFieldsError({error.field: str(error)}) from None
    return rules.ClientRegistration(name, provider, profile, differences, client_id, secret, scopes, ends_at)


def values_of(outgoing: Outgoing) -> dict[str, str]:
    """A stored link as it would be written down; the secret never leaves the vault."""
    return {
        "name": outgoing.link.name,
        "provider": outgoing.stored.provider,
        "client_id": outgoing.stored.client_id,
        "client_secret_ends": rules.day_written(outgoing.stored.client_secret_ends_at),
        "scopes": outgoing.stored.scopes,
        **outgoing.differences,
    }


def changed(outgoing: Outgoing, changes: Mapping[str, str]) -> dict[str, str]:
    """A stored link with changes; an empty text takes a field back to its default.

    Another provider or grant type leaves behind what was chosen for the one before.
    """
    before = values_of(outgoing)
    for kind in ("provider", "grant_type"):
        if changes.get(kind, before.get(kind, "")) != before.get(kind, ""):
            before = {name: before[name] for name in ("name", "provider", "client_id")}
    return {name: text for name, text in (before | dict(changes)).items() if text or name == "scopes"}
