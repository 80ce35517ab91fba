"""A link's next client secret: storing it, and forgetting it."""

from flask import Blueprint, flash, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from applinks.errors import InvalidFieldError
from applinks.forms.link import tell
from applinks.forms.next_secret import NextSecretForm, read
from applinks.services.links import Outgoing
from applinks.web.current import actor, services

blueprint = Blueprint("next_secret", __name__)


@blueprint.get("/links/<slug>/next-secret")
def show(slug: str) -> ResponseReturnValue:
    return _page(services().links.outgoing(slug), NextSecretForm())


@blueprint.post("/links/<slug>/next-secret")
def store(slug: str) -> ResponseReturnValue:
    outgoing, form = services().links.outgoing(slug), NextSecretForm()
    if form.version.data != str(outgoing.link.version):
        form.client_secret.errors = ["Somebody else has changed this link since you opened the form. Open it again."]
        return make_response(_page(outgoing, form), 409)
    if given := read(form):
        try:
            services().next_secrets.store(outgoing, *given, actor())
            flash("The next client secret was stored. You can end the current one at the provider.")
            return redirect(url_for("links.show", slug=slug), 303)
        except InvalidFieldError as error:
            tell(form, error)
    return make_response(_page(outgoing, form), 422)


@blueprint.post("/links/<slug>/next-secret/drop")
def drop(slug: str) -> ResponseReturnValue:
    services().next_secrets.drop(services().links.outgoing(slug), actor())
    flash("The next client secret was forgotten.")
    return redirect(url_for("links.show", slug=slug), 303)


def _page(outgoing: Outgoing, form: NextSecretForm) -> str:
    return render_template("links/next_secret.html", outgoing=outgoing, form=form)
