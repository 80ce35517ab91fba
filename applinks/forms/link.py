"""The form of an outgoing link, which reveals itself step by step.

`steps` alone says which fields there are for what was sent; the page shows those and `read` checks those.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import Field, HiddenField, PasswordField, RadioField, SelectField, StringField, TextAreaField

from applinks.errors import InvalidFieldError
from applinks.oauth import options
from applinks.oauth import registration as rules
from applinks.oauth.guard import Guard
from applinks.oauth.incoming import LIVES
from applinks.providers import Catalogue, GrantType, Provider, ProviderProfile

DRAFT_LENGTH = 16_384
SEVERAL = ("grant_types", "scopes", "token_links")
"""Fields of which more than one can be ticked: one text in a draft."""

_DRAFT = (
    "name",
    "provider",
    "grant_type",
    *rules.ENDPOINT_FIELDS,
    "client_id",
    "client_secret_ends",
    *options.OPTIONS,
    "version",
    "revealed",
    # Of an incoming link.
    *("client_type", "redirect_uris", "other_links", "link_id", *LIVES),
    *SEVERAL,
)
_YES_NO = {"": "Default", "yes": "Yes", "no": "No"}
_METHODS = {
    "client_secret_basic": "client_secret_basic: in the header",
    "client_secret_post": "client_secret_post: in the body",
    "none": "none: a public client",
}


class OutgoingForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", description="What your team calls the application at the other end.")
    provider = RadioField("Provider", validate_choice=False)
    grant_type = SelectField(
        "Grant type",
        choices={
            "authorization_code": "Authorization code: for accounts",
            "client_credentials": "Client credentials: no account",
        },
        validate_choice=False,
    )
    cloud = SelectField("Cloud", choices={}, validate_choice=False)
    tenant = StringField("Tenant")
    host = StringField("Host")
    path = StringField("Path (optional)")
    realm = StringField("Realm")
    authorization_server = StringField("Authorization server (optional)")
    authorization_endpoint = StringField(
        "Authorization endpoint", description="Where people give consent; the provider's documentation names it."
    )
    token_endpoint = StringField("Token endpoint", description="Where Applinks gets tokens, and refreshes them.")
    userinfo_endpoint = StringField(
        "Userinfo endpoint (optional)", description="Tells which account was connected, to show it in the list."
    )
    card = TextAreaField("Paste link card", description="The whole card of the other Applinks.")
    client_id = StringField("Client ID")
    client_secret = PasswordField("Client secret")
    client_secret_ends = StringField(
        "Secret ends (optional)",
        description="The day on which the client secret does, if the provider lets it end: Applinks warns 30 days before.",
    )
    scopes = TextAreaField(
        "Scopes", description="What to ask access to, split by spaces. Empty: the provider's default."
    )
    client_authentication = SelectField(
        "Client authentication",
        choices={"": "Default", "detect": "Detect: try, and remember what works"} | _METHODS,
        validate_choice=False,
        description="Where client ID and client secret go. Default: as this provider is known to want them, else Detect.",
    )
    refresh_client_authentication = SelectField(
        "Client authentication on refresh", choices={"": "The same"} | _METHODS, validate_choice=False
    )
    issuer = StringField(
        "Issuer URL (optional)",
        description="The address that the provider's metadata is found by. An answer of another issuer is refused.",
    )
    iss_required = SelectField("Require iss in every answer", choices=_YES_NO, validate_choice=False)
    revocation_endpoint = StringField(
        "Revocation endpoint (optional)",
        description="Told when you disconnect, remove or delete, so that the grant ends there.",
    )
    authorization_parameters = TextAreaField(
        "Extra authorization parameters", description="One name=value a line, such as audience=api.example.com."
    )
    token_parameters = TextAreaField(
        "Extra token parameters", description="Sent with a code, or with client credentials."
    )
    refresh_parameters = TextAreaField("Extra refresh parameters", description="Sent with every refresh.")
    scope_on_refresh = SelectField("Send scope on refresh", choices=_YES_NO, validate_choice=False)
    redirect_uri_on_refresh = SelectField("Send redirect_uri on refresh", choices=_YES_NO, validate_choice=False)
    scope_separator = SelectField(
        "Scope separator",
        choices={"": "Default", "space": "A space", "comma": "A comma"},
        validate_choice=False,
        description="What stands between one scope and the next.",
    )
    form_encoded_answers = SelectField(
        "Token answers are form-encoded",
        choices=_YES_NO,
        validate_choice=False,
        description="application/x-www-form-urlencoded in place of JSON.",
    )
    default_life = StringField(
        "Default token lifetime in seconds", description="For a provider that doesn't say how long its tokens live."
    )
    version = HiddenField()
    revealed = HiddenField()
    revealed_grant = HiddenField()


@dataclass(frozen=True)
class Steps:
    """How far the form has revealed itself. `profile` is there while all endpoints are known.

    `credentials` are shown from then on, for as long as the provider stays the same. `options` are folded; one that
    isn't sent is left at its default.
    """

    provider: Provider | None
    grant_type: GrantType = "authorization_code"
    endpoint_fields: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    differences: Mapping[str, str] | None = None
    profile: ProviderProfile | None = None
    credentials: bool = False
    public_client: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that is shown unfolded and so must have been sent, but for places that may be left empty."""
        secret = () if self.public_client else ("client_secret",)
        credentials = ("client_id", *secret, "scopes") if self.credentials else ()
        free = (
            [place.name for place in self.provider.places if place.optional or place.default] if self.provider else []
        )
        endpoints = (name for name in self.endpoint_fields if name not in free)
        return ("name", "provider", *endpoints, *credentials)


def steps(form: OutgoingForm, catalogue: Catalogue, guard: Guard, *, quiet: bool = False) -> Steps:
    """Look at everything but the credentials; errors go to their fields, but not to empty ones when `quiet`."""
    try:
        provider = rules.read_provider(catalogue, form.provider.data or "")
    except InvalidFieldError as error:
        if not quiet:
            _tell(form.provider, error)
        return Steps(None)
    if form.revealed.data and form.revealed.data != provider.key:
        for name in options.OPTIONS:  # chosen for another provider
            form[name].data = ""
    grant_type: GrantType = provider.grant_types[0]
    try:
        grant_type = options.read_grant_type(provider, form.grant_type.data or "")
    except InvalidFieldError as error:
        _tell(form.grant_type, error)
    names = rules.endpoint_fields(provider, grant_type)
    differences: dict[str, str] = {"grant_type": grant_type} if grant_type != "authorization_code" else {}
    complete = _read_into(
        differences, form, names, lambda name, text: rules.read_endpoint_field(guard, provider, name, text), quiet=quiet
    )
    folded = options.option_fields(provider, grant_type)
    sound = _read_into(differences, form, folded, lambda name, text: options.read_option(guard, name, text))
    profile = provider.profile(differences) if complete else None
    for place in provider.places:
        if place.choices:
            form[place.name].choices = [(choice.key, choice.label) for choice in place.choices]
    if profile:
        try:
            rules.check_places(guard, provider, profile)
        except InvalidFieldError as error:
            _tell(form[error.field], error)
            profile, complete = None, False
    if profile and sound:
        try:
            options.check(profile, differences.get("tenant", ""))
        except InvalidFieldError as error:
            _tell(form[error.field], error)
    return Steps(
        provider,
        grant_type,
        names,
        folded,
        differences,
        profile,
        credentials=complete or form.revealed.data == provider.key,
        public_client=differences.get("client_authentication") == "none",
    )


def _read_into(
    values: dict[str, str],
    form: OutgoingForm,
    names: tuple[str, ...],
    reader: Callable[[str, str], str],
    *,
    quiet: bool = False,
) -> bool:
    """Read fields into `values`, empty ones left out; returns whether all are right."""
    right = True
    for name in names:
        text = form[name].data or ""
        try:
            if value := reader(name, text):
                values[name] = value
        except InvalidFieldError as error:
            right = False
            if not quiet or text.strip():
                _tell(form[name], error)
    return right


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
    ends_at: int | None = None
    if shown.credentials and not shown.public_client:
        try:
            ends_at = rules.read_day(form.client_secret_ends.data or "")
        except InvalidFieldError as error:
            _tell(form.client_secret_ends, error)
    if form.errors or shown.provider is None or shown.profile is None:
        return None
    return rules.ClientRegistration(
        name=values["name"] or "",
        provider=shown.provider,
        profile=shown.profile,
        differences=shown.differences or {},
        client_id=values["client_id"] or "",
        client_secret=values.get("client_secret"),
        scopes=values["scopes"] or "",
        client_secret_ends_at=ends_at,
    )


def fill(form: OutgoingForm, fields: Mapping[str, str]) -> None:
    """Put what was found into its fields."""
    for name, text in fields.items():
        form[name].data = text


def tell(form: FlaskForm, error: InvalidFieldError) -> None:
    """Put an error at its field."""
    _tell(form[error.field], error)


def _tell(field: Field, error: InvalidFieldError) -> None:
    field.errors = [*field.errors, str(error)]


def write_draft(path: str, form: MultiDict[str, str]) -> str:
    """What was typed into the form at `path`, but no secret, as one text; empty for another form."""
    fields = {name: " ".join(form.getlist(name)) if name in SEVERAL else form[name] for name in _DRAFT if name in form}
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
    return write_draft(path, MultiDict(draft_fields(text, path))) if isinstance(path, str) else ""
