"""Incoming links: making and editing one, its secret, its consents, and switching it off."""

from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from applinks.crypto import new_id
from applinks.errors import ConflictError, InvalidFieldError
from applinks.forms.incoming import IncomingForm, read, usual
from applinks.forms.link import SEVERAL, draft_fields, tell
from applinks.oauth.cards import incoming_card, incoming_fields, read_card
from applinks.oauth.incoming import CONFIDENTIAL, LIVES, PUBLIC
from applinks.services.incoming import OVERLAPS, Credentials, Incoming
from applinks.services.links import is_link_id
from applinks.web.current import actor, services, signed_in

blueprint = Blueprint("incoming", __name__)


@blueprint.get("/links/new/incoming")
def new() -> ResponseReturnValue:
    draft = draft_fields(services().sign_in.take_draft(signed_in()), request.path)
    form = IncomingForm(formdata=_typed(draft)) if draft else IncomingForm(formdata=None, **usual())
    return _form_page(form)


@blueprint.post("/links/new/incoming")
def create() -> ResponseReturnValue:
    """Make a link, and show its secret in this one answer: it stands in no URL, no session and no other page."""
    form = IncomingForm()
    if "paste" in request.form:
        return _take_card(form)
    if registration := read(form):
        try:
            incoming, credentials = services().incoming.create(_link_id(form), registration, actor())
        except InvalidFieldError as error:
            tell(form, error)
        else:
            return _credentials_page(incoming, credentials, 201) if credentials else _saved_already(incoming)
    return _form_page(form, status=422)


def _take_card(form: IncomingForm) -> ResponseReturnValue:
    """The form, filled in with what the other Applinks says of itself; what was chosen here stays."""
    try:
        card = incoming_fields(read_card(form.card.data or ""))
    except InvalidFieldError as error:
        tell(form, error)
        return _form_page(form, status=422)
    form.name.data = form.name.data or services().links.free_name(card["name"])
    form.redirect_uris.data = "\n".join(dict.fromkeys([*(form.redirect_uris.data or "").split(), card["redirect_uri"]]))
    form.scopes.data = [*(form.scopes.data or []), *card["scopes"].split()]
    return _form_page(form, filled=True)


def _saved_already(incoming: Incoming) -> ResponseReturnValue:
    secret = (
        "" if incoming.stored.is_public else " Its client secret was shown once; if it is lost, choose Rotate secret."
    )
    flash(f"The link was saved already.{secret}", "warn")
    return redirect(url_for("links.show", slug=incoming.link.slug), 303)


def _link_id(form: IncomingForm) -> str:
    """The ID that the form was opened with, so that it is saved once."""
    return form.link_id.data if is_link_id(form.link_id.data or "") else new_id()


def show_page(slug: str) -> ResponseReturnValue:
    """The page of an incoming link."""
    incoming = services().incoming.find(slug)
    return render_template(
        "incoming/show.html",
        incoming=incoming,
        metadata=services().authorization.metadata(),
        card=_card(incoming),
        consents=services().consents.of_link(incoming.link.id),
        own=services().consents.own_use(incoming.link.id),
        events=services().events.recent(incoming.link.id),
        now=services().clock(),
    )


def edit_page(slug: str) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    draft = draft_fields(services().sign_in.take_draft(signed_in()), request.path)
    form = IncomingForm(formdata=_typed(draft)) if draft else IncomingForm(formdata=None, **_as_stored(incoming))
    return _form_page(form, incoming)


def edit_submitted(slug: str) -> ResponseReturnValue:
    incoming, form = services().incoming.find(slug), IncomingForm()
    form.client_type.data = PUBLIC if incoming.stored.is_public else CONFIDENTIAL
    if registration := read(form):
        try:
            services().incoming.update(incoming, registration, version=_number(form.version.data), actor=actor())
            flash("The link was saved.")
            return redirect(url_for("links.show", slug=slug), 303)
        except InvalidFieldError as error:
            tell(form, error)
        except ConflictError as error:
            form.name.errors = [str(error)]
            return _form_page(form, incoming, status=409)
    return _form_page(form, incoming, status=422)


@blueprint.get("/links/<slug>/secret")
def ask_overlap(slug: str) -> ResponseReturnValue:
    return _rotate_page(services().incoming.find(slug))


@blueprint.post("/links/<slug>/secret")
def rotate_secret(slug: str) -> ResponseReturnValue:
    """Show a new secret in this one answer."""
    incoming, overlap = services().incoming.find(slug), request.form.get("overlap", "")
    try:
        seconds = int(overlap) if overlap in map(str, OVERLAPS) else -1
        since = _number(request.form.get("since"))
        credentials = services().incoming.rotate_secret(incoming, seconds, since, actor())
    except InvalidFieldError as error:
        return make_response(_rotate_page(incoming, str(error)), 422)
    return _credentials_page(incoming, credentials, 200, overlap=OVERLAPS[seconds] if seconds else "")


@blueprint.post("/links/<slug>/disable")
def disable(slug: str) -> ResponseReturnValue:
    return _switch(slug, on=False)


@blueprint.post("/links/<slug>/enable")
def enable(slug: str) -> ResponseReturnValue:
    return _switch(slug, on=True)


@blueprint.get("/links/<slug>/revoke")
def confirm_revoke_all(slug: str) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    consents = services().consents.of_link(incoming.link.id)
    return render_template("incoming/revoke_all.html", incoming=incoming, consents=consents)


@blueprint.post("/links/<slug>/revoke")
def revoke_all(slug: str) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    services().incoming.revoke_all(incoming, actor())
    flash("Every consent and every token was revoked.")
    return redirect(url_for("links.show", slug=slug), 303)


@blueprint.get("/links/<slug>/consents/<consent_id>/revoke")
def confirm_revoke(slug: str, consent_id: str) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    given = services().consents.find(consent_id, link_id=incoming.link.id)
    return render_template("consents/revoke.html", given=given, back=url_for("links.show", slug=slug))


@blueprint.post("/links/<slug>/consents/<consent_id>/revoke")
def revoke(slug: str, consent_id: str) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    given = services().consents.find(consent_id, link_id=incoming.link.id)
    services().consents.revoke(given, actor())
    flash(f"The consent of {given.consent.administrator.username} was revoked.")
    return redirect(url_for("links.show", slug=slug), 303)


def _switch(slug: str, *, on: bool) -> ResponseReturnValue:
    incoming = services().incoming.find(slug)
    services().incoming.switch(incoming, actor(), on=on)
    flash("The link is enabled." if on else "The link is disabled.")
    return redirect(url_for("links.show", slug=slug), 303)


def _rotate_page(incoming: Incoming, error: str = "") -> str:
    now = services().clock()
    return render_template("incoming/rotate.html", incoming=incoming, overlaps=OVERLAPS, error=error, now=now)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else 0


def _form_page(
    form: IncomingForm, incoming: Incoming | None = None, *, filled: bool = False, status: int = 200
) -> ResponseReturnValue:
    choices, more = services().incoming.choices()
    chosen = form.token_links.data or []
    unshown = [slug for slug in chosen if slug not in choices]
    form.token_links.choices = choices
    form.other_links.data = " ".join(dict.fromkeys([*unshown, *(form.other_links.data or "").split()]))
    form.link_id.data = _link_id(form)
    path = url_for("links.edit", slug=incoming.link.slug) if incoming else url_for("incoming.create")
    page = render_template(
        "incoming/form.html", form=form, incoming=incoming, filled=filled, path=path, more=more or form.other_links.data
    )
    return make_response(page, status)


def _credentials_page(
    incoming: Incoming, credentials: Credentials, status: int, *, overlap: str = ""
) -> ResponseReturnValue:
    page = render_template(
        "incoming/credentials.html",
        incoming=incoming,
        credentials=credentials,
        overlap=overlap,
        metadata=services().authorization.metadata(),
        card=_card(incoming),
    )
    return make_response(page, status)


def _card(incoming: Incoming) -> str:
    stored = incoming.stored
    return incoming_card(_own_name(), services().authorization.metadata(), stored.client_id, stored.scopes)


def _own_name() -> str:
    return f"Applinks at {services().settings.authority}"


def _as_stored(incoming: Incoming) -> dict[str, Any]:
    stored = incoming.stored
    return {
        "name": incoming.link.name,
        "client_type": PUBLIC if stored.is_public else CONFIDENTIAL,
        "grant_types": stored.grant_types.split(),
        "redirect_uris": stored.redirect_uris,
        "scopes": stored.scopes.split(),
        "token_links": [link.slug for link in incoming.token_links],
        "version": str(incoming.link.version),
        **{name: getattr(stored, name) // unit for name, (unit, *_) in LIVES.items()},
    }


def _typed(draft: dict[str, str]) -> MultiDict[str, str]:
    """A draft as its form sends it: what can be ticked more than once was written as one text."""
    found = MultiDict({name: text for name, text in draft.items() if name not in SEVERAL})
    for name in SEVERAL:
        found.setlist(name, draft.get(name, "").split())
    return found
