"""The form of an incoming link."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, RadioField, SelectMultipleField, StringField, TextAreaField

from applinks.errors import InvalidFieldError
from applinks.forms.link import tell
from applinks.oauth import incoming as rules
from applinks.oauth.registration import read_name
from applinks.oauth.scopes import SCOPES


class IncomingForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", description="What your team calls the application that will act on Applinks.")
    client_type = RadioField("Client type", choices=rules.CLIENT_TYPES, validate_choice=False)
    grant_types = SelectMultipleField("Grant types", choices=rules.GRANT_TYPES, validate_choice=False)
    redirect_uris = TextAreaField(
        "Redirect URL",
        description="Where people are sent back to, as the application names it, one a line. https, or http at 127.0.0.1.",
    )
    scopes = SelectMultipleField("Scopes", choices=SCOPES, validate_choice=False)
    token_links = StringField(
        "Links whose tokens it may read", description="Their slugs, split by spaces; for the scope tokens:read."
    )
    access_token_life = IntegerField("Access tokens live, in minutes", description="1 to 1440; 60 is usual.")
    refresh_idle_life = IntegerField("Refresh tokens live unused, in days", description="1 to 90; 30 is usual.")
    refresh_life = IntegerField("Asked for consent anew after, in days", description="1 to 365; 90 is usual.")
    version = HiddenField()
    card = TextAreaField("Paste link card", description="What Copy link card holds at the other Applinks.")


def usual() -> dict[str, Any]:
    """What the form of a new link begins with."""
    lives = {name: usual for name, (_, _, usual, _) in rules.LIVES.items()}
    return {"client_type": rules.CONFIDENTIAL, "grant_types": [rules.CODE], "scopes": [], **lives}


def read(form: IncomingForm) -> rules.IncomingRegistration | None:
    """Every field as one value, or None with an error at each field that is wrong."""
    slugs = tuple(dict.fromkeys((form.token_links.data or "").replace(",", " ").split()))
    readers: dict[str, Callable[[], Any]] = {
        "name": lambda: read_name(form.name.data or ""),
        "redirect_uris": lambda: rules.read_redirect_uris(form.redirect_uris.data or ""),
        "scopes": lambda: rules.read_scope_choice(form.scopes.data or [], slugs),
        "grant_types": lambda: rules.read_choices(
            "grant_types", form.grant_types.data or [], list(rules.GRANT_TYPES), "Choose at least one."
        ),
        "client_type": lambda: rules.read_choices(
            "client_type", [form.client_type.data or ""], list(rules.CLIENT_TYPES), ""
        ),
        **{name: partial(rules.read_life, name, form[name].data) for name in rules.LIVES},
    }
    values: dict[str, Any] = {}
    for name, reader in readers.items():
        form[name].errors = []
        try:
            values[name] = reader()
        except InvalidFieldError as error:
            tell(form, error)
    if form.errors:
        return None
    registration = rules.IncomingRegistration(
        token_links=slugs, is_public=values.pop("client_type") == (rules.PUBLIC,), **values
    )
    try:
        rules.check(registration)
    except InvalidFieldError as error:
        tell(form, error)
        return None
    return registration
