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
        description="Where people are sent back to, exactly as the application names it; several one a line. It is https, or "
        "http on the same machine (127.0.0.1), where the port of a public application may vary.",
    )
    scopes = SelectMultipleField("Scopes", choices=SCOPES, validate_choice=False)
    token_links = SelectMultipleField("Links whose tokens it may read", validate_choice=False)
    other_links = StringField("Other links, by their slugs", description="As their pages name them, split by spaces.")
    access_token_life = IntegerField("Access tokens, minutes", description="1 to 1440; 60 is usual.")
    refresh_idle_life = IntegerField("Refresh tokens unused, days", description="1 to 90; 30 is usual.")
    refresh_life = IntegerField("Consent asked anew after, days", description="1 to 365; 90 is usual.")
    version = HiddenField()
    link_id = HiddenField()
    card = TextAreaField("Paste link card", description="The whole card of the other Applinks.")


def usual() -> dict[str, Any]:
    """What the form of a new link begins with."""
    lives = {name: usual for name, (_, _, usual, _) in rules.LIVES.items()}
    return {"client_type": rules.CONFIDENTIAL, "grant_types": [rules.CODE], "scopes": [], **lives}


def read(form: IncomingForm) -> rules.IncomingRegistration | None:
    """Every field as one value, or None with an error at each field that is wrong."""
    typed = (form.other_links.data or "").replace(",", " ").split()
    slugs = tuple(dict.fromkeys([*(form.token_links.data or []), *typed]))
    grant_types, is_public = form.grant_types.data or [], form.client_type.data == rules.PUBLIC
    readers: dict[str, Callable[[], Any]] = {
        "name": lambda: read_name(form.name.data or ""),
        "redirect_uris": lambda: rules.read_redirect_uris(
            form.redirect_uris.data or "", needed=rules.CODE in grant_types
        ),
        "scopes": lambda: rules.read_scope_choice(form.scopes.data or [], slugs),
        "grant_types": lambda: rules.read_grant_types(grant_types, is_public=is_public),
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
    if values.get("refresh_idle_life", 0) > values.get("refresh_life", values.get("refresh_idle_life", 0)):
        tell(form, InvalidFieldError("refresh_idle_life", "It can't be longer than consent lasts."))
    if form.errors:
        return None
    del values["client_type"]
    return rules.IncomingRegistration(token_links=slugs, is_public=is_public, **values)
