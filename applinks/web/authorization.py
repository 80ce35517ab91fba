"""The endpoints of our own authorization server; they aren't there while no incoming link is."""

from flask import Blueprint, abort, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from applinks.services.authorization import ConsentRequest
from applinks.web.current import services, signed_in
from applinks.web.dance import continue_page
from applinks.web.gate import from_applications

blueprint = Blueprint("authorization", __name__, url_prefix="/oauth")


@blueprint.before_app_request
def only_with_incoming_links() -> None:
    """Before the gate, which would lead strangers to sign-in for a page that isn't there."""
    if request.blueprint == blueprint.name and not services().authorization.offered():
        abort(404)


@blueprint.get("/authorize")
def authorize() -> ResponseReturnValue:
    """The authorization endpoint (RFC 6749 §3.1): asks the administrator for consent."""
    asked = services().authorization.consent_request(_own_url(), signed_in())
    if isinstance(asked, ConsentRequest):
        return render_template("authorization/consent.html", asked=asked)
    return redirect(asked, 303)


@blueprint.post("/authorize")
def decided() -> ResponseReturnValue:
    ticket, allow = request.form.get("ticket", ""), request.form.get("decision") == "allow"
    return continue_page(services().authorization.decide(ticket, signed_in(), allow=allow))


@blueprint.post("/token")
@from_applications
def token() -> ResponseReturnValue:
    """The token endpoint (RFC 6749 §3.2), for applications that authenticate themselves."""
    body = request.get_data(as_text=True)
    headers = {"Authorization": request.headers.get("Authorization", ""), "Content-Type": request.content_type or ""}
    answer_headers, answer, status = services().authorization.token(_own_url(), body, headers)
    return make_response(answer, status, dict(answer_headers))


@blueprint.get("/userinfo")
@from_applications
def userinfo() -> ResponseReturnValue:
    """Who gave an access token (RFC 6750 §2.1: only in the Authorization header)."""
    scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
    account = services().authorization.userinfo(access_token) if scheme.lower() == "bearer" else None
    if account is None:
        return {"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer realm="Applinks", error="invalid_token"'}
    return account


def _own_url() -> str:
    """This request's URL under the base URL, whatever `Host` says."""
    query = request.query_string.decode("ascii", "replace")
    return services().settings.base_url + request.path + (f"?{query}" if query else "")
