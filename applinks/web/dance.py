"""Connecting an account: away to the provider, and back at the redirection endpoint."""

from urllib.parse import urlsplit

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from applinks.errors import BusyError, InvalidFieldError
from applinks.oauth.registration import read_label
from applinks.services.dance import NotConnectedError, OtherAccountError
from applinks.web.current import actor, administrator_at, browser_session, services, signed_in, stranger
from applinks.web.gate import public
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("dance", __name__)

_ONCE = ("code", "state", "iss", "error", "error_description", "error_uri")


@blueprint.get("/links/<slug>/connect-another")
def another(slug: str) -> ResponseReturnValue:
    """Ask for the label of one more connection."""
    return render_template("connections/another.html", outgoing=services().links.outgoing(slug), label="", error="")


@blueprint.post("/links/<slug>/connect-another")
def another_submitted(slug: str) -> ResponseReturnValue:
    outgoing, text = services().links.outgoing(slug), request.form.get("label", "")
    error = ""
    try:
        label = read_label(text)
        if any(connection.label == label for connection in outgoing.connections):
            error = f"There is a connection labelled {label} already. Choose another label."
    except InvalidFieldError as invalid:
        error = str(invalid)
    if error:
        page = render_template("connections/another.html", outgoing=outgoing, label=text[:200], error=error)
        return page, 422
    return continue_page(services().dance.begin(outgoing, label, signed_in(), actor()))


@blueprint.post("/links/<slug>/connect")
def connect(slug: str) -> ResponseReturnValue:
    """Begin a dance for a connection that is there, or for the first one."""
    outgoing = services().links.outgoing(slug)
    label = read_label(request.form.get("label", "default"))
    if outgoing.profile.without_account:
        connect_without_account(slug, label)
        return redirect(url_for("links.show", slug=slug), 303)
    return continue_page(services().dance.begin(outgoing, label, signed_in(), actor()))


def connect_without_account(slug: str, label: str = "default") -> None:
    """Connect a link that needs nobody's consent, and say how that went."""
    try:
        with a_place_to_wait():
            services().dance.connect_without_account(slug, label, actor())
    except NotConnectedError as error:
        said = f' The provider said: "{error.words}".' if error.words else ""
        flash(f"The link is not connected. {error}{said}", "warn")
    except BusyError as busy:
        flash(f"The link is not connected yet. {busy}", "warn")
    else:
        flash("The link is connected.")


def continue_page(url: str) -> ResponseReturnValue:
    """Leave this site by a page of our own: CSP's form-action blocks a form whose answer redirects elsewhere."""
    host = urlsplit(url).netloc
    page = render_template("dance/continue.html", url=url, host=host, unicode_host=_readable(host))
    return page, 200, {"Referrer-Policy": "no-referrer"}


@blueprint.route("/oauth/callback/<link_id>", methods=["GET"], provide_automatic_options=False)
@public
def callback(link_id: str) -> ResponseReturnValue:
    """The redirection endpoint (RFC 6749 §3.1.2)."""
    link = services().links.find_by_id(link_id)
    if link is None:
        abort(404)
    if request.method != "GET":
        raise MethodNotAllowed(["GET"])
    session = browser_session()
    who = administrator_at(session) if session else stranger()
    try:
        if any(len(request.args.getlist(name)) > 1 for name in _ONCE):
            raise NotConnectedError("The provider's answer holds a parameter twice.", slug=link.slug)
        with a_place_to_wait():
            connection = services().dance.complete(link.slug, request.args, session, who)
    except OtherAccountError as other:
        where = url_for("dance.confirm_account", slug=other.slug, label=other.label, flow=other.flow)
        asking = redirect(where, 303)
        asking.headers["Referrer-Policy"] = "no-referrer"
        return asking
    except NotConnectedError as error:
        return _not_connected(error)
    flash(f"{connection.account or connection.label} is connected.")
    done = redirect(url_for("links.show", slug=link.slug), 303)
    done.headers["Referrer-Policy"] = "no-referrer"
    return done


@blueprint.get("/links/<slug>/connections/<label>/account")
def confirm_account(slug: str, label: str) -> ResponseReturnValue:
    """Ask whether another account than before is meant."""
    outgoing = services().links.outgoing(slug)
    try:
        held = services().dance.held(outgoing, label, request.args.get("flow", ""), signed_in())
    except NotConnectedError as error:
        return _not_connected(error)
    return render_template("dance/other_account.html", outgoing=outgoing, held=held)


@blueprint.post("/links/<slug>/connections/<label>/account")
def account_confirmed(slug: str, label: str) -> ResponseReturnValue:
    outgoing, flow = services().links.outgoing(slug), request.form.get("flow", "")
    try:
        if request.form.get("meant") == "yes":
            connection = services().dance.keep_held(outgoing, label, flow, signed_in(), actor())
            flash(f"{connection.account} is connected.")
        else:
            with a_place_to_wait():
                services().dance.drop_held(outgoing, label, flow, signed_in(), actor())
            flash(f"Nothing was changed: {label} is what it was.")
    except NotConnectedError as error:
        return _not_connected(error)
    return redirect(url_for("links.show", slug=slug), 303)


def _not_connected(error: NotConnectedError) -> ResponseReturnValue:
    response = make_response(render_template("dance/not_connected.html", error=error), error.status)
    # Not no-referrer, with which browsers send `Origin: null` and the form to connect again would be refused.
    # strict-origin hides the code in this URL as well: no path or query leaves the page.
    response.headers["Referrer-Policy"] = "strict-origin"
    return response


def _readable(host: str) -> str:
    """The Unicode form of a host, empty where it is the same."""
    name, colon, port = host.partition(":")
    if "xn--" not in name:
        return ""
    try:
        return name.encode("ascii").decode("idna") + colon + port
    except UnicodeError:
        return ""
