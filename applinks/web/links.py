"""Application links: the list, and making, showing, editing and deleting one."""

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from applinks.crypto import new_id
from applinks.errors import BusyError, ConflictError, InvalidFieldError
from applinks.forms.link import OutgoingForm, Steps, draft_fields, fill, read, steps, tell
from applinks.models import INCOMING, OUTGOING, ApplicationLink, State
from applinks.oauth.cards import outgoing_card, outgoing_fields, read_card
from applinks.oauth.registration import NAME_LENGTH, ClientRegistration
from applinks.oauth.scopes import PROFILE, SEE_LINKS
from applinks.services.discovery import Found
from applinks.services.links import NEEDS_YOU, Outgoing, connections_of, is_link_id
from applinks.services.registrations import values_of
from applinks.web import incoming
from applinks.web.address import asked_host
from applinks.web.advice import redirect_warnings
from applinks.web.compression import compressed
from applinks.web.connections import tell_provider
from applinks.web.current import actor, by_htmx, services, signed_in
from applinks.web.dance import connect_without_account
from applinks.web.gate import only_helps
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("links", __name__)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("links.index"), 303)


@blueprint.get("/links")
def index() -> ResponseReturnValue:
    """The list, page by page; for htmx, the rows alone, which hold no secret and so may be compressed."""
    search = request.args.get("q", "")[:NAME_LENGTH]
    state = request.args.get("state", "")
    state = state if state in (NEEDS_YOU, *State) else ""
    page = services().links.page(search, request.args.get("after", "")[: 2 * NAME_LENGTH], state=state)
    if by_htmx():
        return compressed(make_response(render_template("links/_rows.html", page=page, search=search, state=state)))
    return render_template("links/index.html", page=page, search=search, state=state)


@blueprint.get("/links/new")
def choose_direction() -> ResponseReturnValue:
    direction = request.args.get("direction", "outgoing")
    if "direction" in request.args and direction in (OUTGOING, INCOMING):
        return redirect(url_for("links.new_outgoing" if direction == OUTGOING else "incoming.new"), 303)
    return render_template("links/direction.html", direction=direction)


@blueprint.get("/links/new/outgoing")
def new_outgoing() -> ResponseReturnValue:
    return redirect(url_for("links.new_outgoing_form", link_id=new_id()), 303)


@blueprint.get("/links/new/outgoing/<link_id>")
def new_outgoing_form(link_id: str) -> ResponseReturnValue:
    if existing := _stored(link_id):
        return redirect(url_for("links.show", slug=existing.slug), 303)
    form = OutgoingForm(formdata=_draft())
    shown = steps(form, services().catalogue, services().guard, quiet=True)
    return _form_page(form, shown, link_id=link_id)


@blueprint.post("/links/new/outgoing/<link_id>")
def new_outgoing_submitted(link_id: str) -> ResponseReturnValue:
    if existing := _stored(link_id):
        return _go_to(existing)
    form = OutgoingForm()
    shown, complete = _submitted(form)
    if not complete:
        return _form_page(form, shown, link_id=link_id)
    registration = read(form, shown, secret_needed=True)
    if registration:
        try:
            link = services().links.create(link_id, registration, actor())
            if registration.profile.without_account:
                flash("The link was saved.")
                connect_without_account(link.slug)
            else:
                flash("The link was saved. Connect an account now.")
            return _go_to(link)
        except InvalidFieldError as error:
            tell(form, error)
    return _form_page(form, shown, link_id=link_id, status=422)


@blueprint.post("/links/new/outgoing/<link_id>/fields")
@only_helps
def new_outgoing_fields(link_id: str) -> ResponseReturnValue:
    """The fields that provider and endpoints reveal."""
    _stored(link_id)
    return _fields(link_id, None)


@blueprint.post("/links/new/outgoing/<link_id>/discovery")
@only_helps
def new_outgoing_discovery(link_id: str) -> ResponseReturnValue:
    """The form, filled in with what a custom provider's issuer says of itself."""
    _stored(link_id)
    return _discovered(link_id, None)


@blueprint.post("/links/new/outgoing/<link_id>/card")
@only_helps
def new_outgoing_card(link_id: str) -> ResponseReturnValue:
    """The form, filled in with what another Applinks says of itself."""
    _stored(link_id)
    form, wrong = OutgoingForm(), ""
    try:
        fields = outgoing_fields(read_card(form.card.data or ""))
        fill(form, fields | {"name": form.name.data or services().links.free_name(fields.get("name", ""))})
    except InvalidFieldError as error:
        wrong = str(error)
    shown = steps(form, services().catalogue, services().guard, quiet=True)
    if wrong:
        form.card.errors = [wrong]
    return _form_page(form, shown, link_id=link_id, taken=not wrong, status=422 if wrong else 200)


@blueprint.get("/links/<slug>")
def show(slug: str) -> ResponseReturnValue:
    links = services().links
    link = links.find(slug)
    if link.direction == INCOMING:
        return incoming.show_page(slug)
    outgoing, events = links.outgoing(slug), services().events.recent(link.id)
    return render_template("links/outgoing.html", outgoing=outgoing, ends=links.deadlines(outgoing), events=events)


@blueprint.get("/links/<slug>/edit")
def edit(slug: str) -> ResponseReturnValue:
    if services().links.find(slug).direction == INCOMING:
        return incoming.edit_page(slug)
    outgoing = services().links.outgoing(slug)
    form = OutgoingForm(formdata=_draft() or _as_sent(outgoing))
    form.version.data = form.version.data or str(outgoing.link.version)
    shown = steps(form, services().catalogue, services().guard, quiet=True)
    return _form_page(form, shown, link_id=outgoing.link.id, outgoing=outgoing)


@blueprint.post("/links/<slug>/edit")
def edit_submitted(slug: str) -> ResponseReturnValue:
    links = services().links
    if links.find(slug).direction == INCOMING:
        return incoming.edit_submitted(slug)
    outgoing, form = links.outgoing(slug), OutgoingForm()
    shown, complete = _submitted(form)
    if not complete:
        return _form_page(form, shown, link_id=outgoing.link.id, outgoing=outgoing)
    registration = read(form, shown, secret_needed=False)
    if registration:
        try:
            disconnected = links.update(outgoing, registration, version=_number(form.version.data), actor=actor())
            idle = not any(connection.access_token_enc for connection in outgoing.connections)
            if registration.profile.without_account and (disconnected or idle):
                flash("The link was saved.")
                connect_without_account(slug)
            else:
                flash(f"The link was saved.{_consequence(outgoing, registration, disconnected=disconnected)}")
            return _go_to(outgoing.link)
        except InvalidFieldError as error:
            tell(form, error)
        except ConflictError as error:
            form.name.errors = [str(error)]
            return _form_page(form, shown, link_id=outgoing.link.id, outgoing=outgoing, status=409)
    return _form_page(form, shown, link_id=outgoing.link.id, outgoing=outgoing, status=422)


@blueprint.post("/links/<slug>/edit/fields")
@only_helps
def edit_fields(slug: str) -> ResponseReturnValue:
    outgoing = services().links.outgoing(slug)
    return _fields(outgoing.link.id, outgoing)


@blueprint.post("/links/<slug>/edit/discovery")
@only_helps
def edit_discovery(slug: str) -> ResponseReturnValue:
    outgoing = services().links.outgoing(slug)
    return _discovered(outgoing.link.id, outgoing)


@blueprint.get("/links/<slug>/delete")
def confirm_delete(slug: str) -> ResponseReturnValue:
    link = services().links.find(slug)
    outgoing = services().links.outgoing_or_none(slug)
    connections = connections_of(link.id)
    return render_template("links/delete.html", link=link, outgoing=outgoing, connections=connections)


@blueprint.post("/links/<slug>/delete")
def delete(slug: str) -> ResponseReturnValue:
    link = services().links.find(slug)
    outgoing, connections = services().links.outgoing_or_none(slug), connections_of(link.id)
    services().links.delete(link, actor())
    flash(f"{link.name} was deleted.")
    if outgoing:
        tell_provider(outgoing, connections)
    return redirect(url_for("links.index"), 303)


def _consequence(outgoing: Outgoing, registration: ClientRegistration, *, disconnected: bool) -> str:
    """What an edit means for the accounts that are connected."""
    if disconnected:
        return " Its accounts were disconnected."
    if outgoing.connections and registration.scopes != outgoing.stored.scopes:
        return " Reconnect the accounts to ask for the new scopes."
    return ""


def _stored(link_id: str) -> ApplicationLink | None:
    if not is_link_id(link_id):
        abort(404)
    return services().links.find_by_id(link_id)


def _submitted(form: OutgoingForm) -> tuple[Steps, bool]:
    """The steps of a sent form, and whether it holds every field that they show: else it only reveals more."""
    shown = steps(form, services().catalogue, services().guard)
    other_grant = form.revealed_grant.data and form.revealed_grant.data != shown.grant_type
    just_revealed = shown.provider and shown.credentials and (form.revealed.data != shown.provider.key or other_grant)
    # A group of radio buttons without a choice isn't sent at all.
    unsent = [name for name in shown.fields if name not in request.form and name != "provider"]
    sent_all = not (unsent or just_revealed)
    for name in unsent:
        form[name].errors = []
    return shown, sent_all


def _fields(link_id: str, outgoing: Outgoing | None) -> ResponseReturnValue:
    form = OutgoingForm()
    shown = steps(form, services().catalogue, services().guard, quiet=True)
    same_provider = form.revealed.data == form.provider.data
    if not by_htmx():
        return _form_page(form, shown, link_id=link_id, outgoing=outgoing)
    return _render("links/_fields.html", form, shown, link_id, outgoing, same_provider=same_provider, partial=True)


def _discovered(link_id: str, outgoing: Outgoing | None) -> ResponseReturnValue:
    form, found = OutgoingForm(), None
    wrong = ""
    try:
        with a_place_to_wait():
            found = services().discovery.find(form.issuer.data or "")
        fill(form, found.fields)
    except (InvalidFieldError, BusyError) as error:
        wrong = str(error)
    shown = steps(form, services().catalogue, services().guard, quiet=True)
    if wrong:
        form.issuer.errors = [wrong]
    if not by_htmx():
        return _form_page(form, shown, link_id=link_id, outgoing=outgoing, found=found, status=422 if wrong else 200)
    return _render("links/_fields.html", form, shown, link_id, outgoing, found=found, partial=True)


def _form_page(
    form: OutgoingForm,
    shown: Steps,
    *,
    link_id: str,
    outgoing: Outgoing | None = None,
    found: Found | None = None,
    taken: bool = False,
    status: int = 200,
) -> ResponseReturnValue:
    template = "links/_form.html" if by_htmx() else "links/form.html"
    return make_response(_render(template, form, shown, link_id, outgoing, found=found, taken=taken), status)


def _render(
    template: str,
    form: OutgoingForm,
    shown: Steps,
    link_id: str,
    outgoing: Outgoing | None,
    *,
    found: Found | None = None,
    taken: bool = False,
    same_provider: bool = False,
    partial: bool = False,
) -> str:
    same_grant = (form.revealed_grant.data or shown.grant_type) == shown.grant_type
    if shown.provider and not (same_grant and form.revealed.data == shown.provider.key):
        before = services().catalogue.get(form.revealed.data or shown.provider.key)
        typed = " ".join((form.scopes.data or "").split())
        if not typed or (
            before and typed in (before.default("authorization_code"), before.default("client_credentials"))
        ):
            form.scopes.data = shown.provider.default(shown.grant_type)
    path = url_for("links.edit", slug=outgoing.link.slug) if outgoing else f"/links/new/outgoing/{link_id}"
    return render_template(
        template,
        form=form,
        shown=shown,
        outgoing=outgoing,
        found=found,
        taken=taken,
        path=path,
        providers=services().catalogue.values(),
        redirect_uri=services().links.redirect_uri(link_id),
        card=outgoing_card(
            f"Applinks at {services().settings.authority}",
            services().links.redirect_uri(link_id),
            form.scopes.data or " ".join((PROFILE, SEE_LINKS)),
        ),
        warnings=redirect_warnings(services().settings, shown.provider, asked_host()) if shown.provider else [],
        same_provider=same_provider,
        # Scopes aren't sent along with what reveals: they stay as they are, unless others are to be offered.
        same_scopes=same_provider and (same_grant or not shown.provider or not shown.provider.default_scopes),
        partial=partial,
    )


def _go_to(link: ApplicationLink) -> ResponseReturnValue:
    to = url_for("links.show", slug=link.slug)
    if by_htmx():
        return "", 200, {"HX-Redirect": to}
    return redirect(to, 303)


def _draft() -> MultiDict[str, str] | None:
    """What was typed into this page before its session ended."""
    fields = draft_fields(services().sign_in.take_draft(signed_in()), request.path)
    return MultiDict(fields) if fields else None


def _as_sent(outgoing: Outgoing) -> MultiDict[str, str]:
    """A stored link as its form would send it; the secret never leaves the vault."""
    return MultiDict(values_of(outgoing) | {"revealed": outgoing.stored.provider})


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
