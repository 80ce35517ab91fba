"""The form of an outgoing link, which reveals itself step by step.

`steps` alone says which fields there are for what was sent; the page shows those and `read` checks those.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, PasswordField, RadioField, StringField, TextAreaField

from applinks.errors import InvalidFieldError
from applinks.oauth import registration as rules
from applinks.oauth.guard import Guard
from applinks.providers import Catalogue, Provider, ProviderProfile

ENDPOINTS = ("tenant", "authorization_endpoint", "token_endpoint", "userinfo_endpoint")
CREDENTIALS = ("client_id", "client_secret", "scopes")
DRAFT_LENGTH = 16_384

_DRAFT = ("name", "provider", *ENDPOINTS, "client_id", "scopes", "version", "revealed")


class OutgoingForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", description="What your team calls the application at the other end.")
    provider = RadioField("Provider", validate_choice=False)
    tenant = StringField(
        "Tenant", description="common, organizations, consumers, the directory's GUID or one of its domains."
    )
    authorization_endpoint = StringField(
        "Authorization endpoint", description="Where people give consent; the provider's documentation names it."
    )
    token_endpoint = StringField("Token endpoint", description="Where Applinks exchanges codes and refreshes tokens.")
    userinfo_endpoint = StringField(
        "Userinfo endpoint (optional)", description="Tells which account was connected, to show it in the list."
    )
    client_id = StringField("Client ID")
    client_secret = PasswordField("Client secret")
    scopes = TextAreaField(
        "Scopes", description="What to ask access to, split by spaces. Empty: the provider's default."
    )
    version = HiddenField()
    revealed = HiddenField()


@dataclass(frozen=True)
class Steps:
    """How far the form has revealed itself. `profile` is there while all endpoints are known.

    `credentials` are shown from then on, for as long as the provider stays the same.
    """

    provider: Provider | None
    endpoint_fields: tuple[str, ...] = ()
    differences: Mapping[str, str] | None = None
    profile: ProviderProfile | None = None
    credentials: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that is shown, and so is checked."""
        return ("name", "provider", *self.endpoint_fields, *(CREDENTIALS if self.credentials else ()))


def steps(form: OutgoingForm, catalogue: Catalogue, guard: Guard, *, quiet: bool = False) -> Steps:
    """Look at provider and endpoints; errors go to their fields, but not to empty ones when `quiet`."""
    try:
        provider = rules.read_provider(catalogue, form.provider.data or "")
    except InvalidFieldError as error:
        if not quiet:
            _tell(form.provider, error)
        return Steps(None)
    names = rules.endpoint_fields(provider)
    differences: dict[str, str] = {}
    complete = True
    for name in names:
        try:
            differences[name] = rules.read_endpoint_field(guard, name, form[name].data or "")
        except InvalidFieldError as error:
            complete = False
            if not (quiet and not (form[name].data or "").strip()):
                _tell(form[name], error)
    known = {name: value for name, value in differences.items() if value}
    credentials = complete or form.revealed.data == provider.key
    return Steps(provider, names, known, provider.profile(known) if complete else None, credentials)


def read(form: OutgoingForm, shown: Steps, *, secret_needed: bool) -> rules.ClientRegistration | None:
    """Every shown field as one value, or None with an error at each field that is wrong."""
    values: dict[str, str | None] = {}
    readers: dict[str, Callable[[str], str | None]] = {
        "name": rules.read_name,
        "client_id": rules.read_client_id,
        "client_secret": lambda text: rules.read_client_secret(text, needed=secret_needed),
        "scopes": rules.read_scopes,
    }
    for name, reader in readers.items():
        if name in shown.fields:
            try:
                values[name] = reader(form[name].data or "")
            except InvalidFieldError as error:
                _tell(form[name], error)
    if form.errors or shown.provider is None or shown.profile is None:
        return None
    return rules.ClientRegistration(
        name=values["name"] or "",
        provider=shown.provider,
        profile=shown.profile,
        differences=shown.differences or {},
        client_id=values["client_id"] or "",
        client_secret=values["client_secret"],
        scopes=values["scopes"] or "",
    )


def tell(form: FlaskForm, error: InvalidFieldError) -> None:
    """Put an error at its field."""
    _tell(form[error.field], error)


def _tell(field: Field, error: InvalidFieldError) -> None:
    field.errors = [*field.errors, str(error)]


def write_draft(path: str, form: Mapping[str, str]) -> str:
    """What was typed into the form at `path`, but no secret, as one text; empty for another form."""
    fields = {name: form[name] for name in _DRAFT if name in form}
    return json.dumps({"path": path, "fields": fields}) if fields else ""


def draft_fields(draft: str, path: str) -> dict[str, str]:
    """The fields of a draft that was written at `path`; none where a visitor made something else of it."""
    try:
        content = json.loads(draft)
        found = content["fields"] if content["path"] == path else {}
        fields = {name: found[name] for name in _DRAFT if name in found}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: text for name, text in fields.items() if isinstance(text, str) and _is_typed(text)}


def _is_typed(text: str) -> bool:
    """Whether a person can have typed this; line breaks between scopes count as such."""
    return "".join(text.split()).isprintable()


def read_draft(text: str) -> str:
    """A draft as it may be stored, empty where it isn't one of ours."""
    if len(text) > DRAFT_LENGTH:
        return ""
    try:
        path = json.loads(text)["path"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return write_draft(path, draft_fields(text, path)) if isinstance(path, str) else ""
