"""API keys: who may read tokens, made here and shown once."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from applinks.errors import InvalidFieldError, NotFoundError
from applinks.forms.api_key import MAY, ApiKeyForm, slugs_of
from applinks.forms.link import tell
from applinks.services.api_keys import USUAL_DAYS
from applinks.web.current import actor, services

blueprint = Blueprint("api_keys", __name__, url_prefix="/api-keys")


@blueprint.get("")
def index() -> ResponseReturnValue:
    return render_template("api_keys/index.html", keys=services().api_keys.list(), now=services().clock())


@blueprint.get("/new")
def new() -> ResponseReturnValue:
    link = request.args.get("link", "")
    form = ApiKeyForm(formdata=None, reach="some", links=link, may="read", days=USUAL_DAYS)
    return _form_page(form)


@blueprint.post("/new")
def make() -> ResponseReturnValue:
    """Make a key, and show it in this one answer: it stands in no URL, no session and no other page."""
    form = ApiKeyForm()
    try:
        slugs = slugs_of(form)
        if form.may.data not in MAY:
            raise InvalidFieldError("may", "Choose one of the two.")
        key, text = services().api_keys.make(
            form.name.data or "",
            None if slugs is None else [_link_id(slug) for slug in slugs],
            manages=form.may.data == "manage",
            days=form.days.data or 0,
            actor=actor(),
        )
    except InvalidFieldError as error:
        tell(form, error)
        return make_response(_form_page(form), 422)
    return render_template("api_keys/made.html", key=key, text=text, slugs=slugs), 201


@blueprint.get("/<key_id>/revoke")
def confirm_revoke(key_id: str) -> ResponseReturnValue:
    key = services().api_keys.find(key_id)
    return render_template("api_keys/revoke.html", key=key, slugs=services().api_keys.slugs_of(key))


@blueprint.post("/<key_id>/revoke")
def revoke(key_id: str) -> ResponseReturnValue:
    key = services().api_keys.revoke(key_id, actor())
    flash(f"{key.name} was revoked. It counts no more from now on.")
    return redirect(url_for("api_keys.index"), 303)


def _form_page(form: ApiKeyForm) -> str:
    return render_template("api_keys/new.html", form=form, links=services().links.page().rows)


def _link_id(slug: str) -> str:
    try:
        return services().links.find(slug).id
    except NotFoundError:
        raise InvalidFieldError("links", f"There is no link with the slug {slug[:60]}.") from None
