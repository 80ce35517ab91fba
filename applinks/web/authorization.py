"""The endpoints of our own authorization server; they aren't there while no incoming link is."""

from collections.abc import Callable, Mapping

from flask import Blueprint, abort, make_response, render_template, request
from flask.typing import ResponseReturnValue

from applinks.services.authorization import Answer, ConsentRequest
from applinks.web.current import actor, services, signed_in
from applinks.web.dance import continue_page
from applinks.web.gate import from_applications

blueprint = Blueprint("authorization", __name__)


@blueprint.before_app_request
def only_with_incoming_links() -> None:
    """Before the gate, which would lead strangers to sign-in for a page that isn't there."""
    if request.blueprint == blueprint.name and not services().authorization.offered():
        abort(404)


@blueprint.route("/.well-known/oauth-authorization-server", methods=["GET"], provide_automatic_options=False)
@from_applications
def metadata() -> ResponseReturnValue:
    """What a client may learn of this server (RFC 8414 §3)."""
    return services().authorization.metadata()


@blueprint.get("/oauth/authorize")
def authorize() -> ResponseReturnValue:
    """The authorization endpoint (RFC 6749 §3.1): asks the administrator for consent, every time."""
    asked = services().authorization.consent_request(_own_url(), signed_in())
    if isinstance(asked, ConsentRequest):
        return render_template("authorization/consent.html", asked=asked)
    # Not a redirect: after a sign-in, CSP's form-action would forbid the browser to follow it.
    return continue_page(asked)


@blueprint.post("/oauth/authorize")
def decided() -> ResponseReturnValue:
    ticket, allow = request.form.get("ticket", ""), request.form.get("decision") == "allow"
    return continue_page(services().authorization.decide(ticket, signed_in(), actor(), allow=allow))


@blueprint.route("/oauth/token", methods=["POST"], provide_automatic_options=False)
@from_applications
def token() -> ResponseReturnValue:
    """The token endpoint (RFC 6749 §3.2)."""
    return _answered(services().authorization.token)


@blueprint.route("/oauth/revoke", methods=["POST"], provide_automatic_options=False)
@from_applications
def revoke() -> ResponseReturnValue:
    """The revocation endpoint (RFC 7009)."""
    return _answered(services().authorization.revoke)


@blueprint.route("/oauth/introspect", methods=["POST"], provide_automatic_options=False)
@from_applications
def introspect() -> ResponseReturnValue:
    """The introspection endpoint (RFC 7662)."""
    return _answered(services().authorization.introspect)


@blueprint.route("/oauth/userinfo", methods=["GET"], provide_automatic_options=False)
@from_applications
def userinfo() -> ResponseReturnValue:
    """Who gave an access token (RFC 6750 §2.1: only in the Authorization header)."""
    scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
    return services().issued.userinfo(access_token if scheme.lower() == "bearer" else "")


def _answered(answer: Callable[[str, str, Mapping[str, str]], Answer]) -> ResponseReturnValue:
    """Let the server answer a request of an application, which authenticates itself."""
    body = request.get_data(as_text=True)
    headers = {"Authorization": request.headers.get("Authorization", ""), "Content-Type": request.content_type or ""}
    answer_headers, text, status = answer(_own_url(), body, headers)
    return make_response(text, status, dict(answer_headers))


def _own_url() -> str:
    """This request's URL under the base URL, whatever `Host` says."""
    query = request.query_string.decode("ascii", "replace")
    return services().settings.base_url + request.path + (f"?{query}" if query else "")
