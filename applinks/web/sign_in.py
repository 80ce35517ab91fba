"""Signing in and out, and the setup address of a first start."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from applinks.errors import InvalidFieldError, NotFoundError, ThrottledError
from applinks.forms.link import read_draft, tell, write_draft
from applinks.forms.sign_in import SetupForm, SignInForm
from applinks.models import Administrator
from applinks.web.current import actor, administrator_at, browser_session, by_htmx, client_address, services, signed_in
from applinks.web.gate import local_path, public

blueprint = Blueprint("sign_in", __name__)


@blueprint.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    if browser_session():
        return redirect(local_path(request.args.get("next")), 303)
    form = SignInForm(formdata=None, next=local_path(request.args.get("next")))
    return render_template("sign_in/sign_in.html", form=form, interrupted=False)


@blueprint.post("/sign-in")
@public
def sign_in_submitted() -> ResponseReturnValue:
    form, sign_in = SignInForm(), services().sign_in
    try:
        administrator = sign_in.check_password(form.username.data or "", form.password.data or "", client_address())
    except ThrottledError as error:
        form.password.errors = [str(error)]
        page = render_template("sign_in/sign_in.html", form=form, interrupted=False)
        return page, 429, {"Retry-After": str(error.retry_after)}
    if administrator is None:
        form.password.errors = ["User name or password is wrong."]
        return render_template("sign_in/sign_in.html", form=form, interrupted=False), 422
    _begin_session(administrator, read_draft(form.draft.data or ""))
    return redirect(local_path(form.next.data), 303)


def sign_in_page(back: str) -> ResponseReturnValue:
    """Answer a form whose session has ended: what was typed, but no secret, goes through signing in."""
    form = SignInForm(formdata=None, next=back, draft=write_draft(back.partition("?")[0], request.form))
    response = make_response(render_template("sign_in/sign_in.html", form=form, interrupted=True), 401)
    if by_htmx():
        response.headers.update({"HX-Retarget": "body", "HX-Reswap": "innerHTML"})
    return response


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    services().sign_in.end_session(signed_in(), actor())
    session.clear()
    flash("You are signed out.")
    response = redirect(url_for("sign_in.sign_in"), 303)
    # Not "cookies": that would clear those of every neighbour under the domain.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@blueprint.get("/setup/<code>")
@public
def setup(code: str) -> ResponseReturnValue:
    sign_in = services().sign_in
    if services().settings.demo:
        if request.method != "GET":
            raise MethodNotAllowed(["GET"])  # a look at the address, as mail programs take, doesn't spend it
        if browser_session():
            return redirect("/", 303)
        _begin_session(sign_in.spend_setup_code(code))
        return redirect("/", 303)
    sign_in.check_setup_code(code)
    return _private(render_template("sign_in/setup.html", form=SetupForm()))


@blueprint.post("/setup/<code>")
@public
def setup_submitted(code: str) -> ResponseReturnValue:
    if services().settings.demo:
        raise NotFoundError("The demo needs no setting up.")
    form = SetupForm()
    try:
        administrator = services().sign_in.set_up(
            code, form.username.data or "", form.password.data or "", client_address()
        )
    except InvalidFieldError as error:
        tell(form, error)
        return _private(render_template("sign_in/setup.html", form=form), 422)
    _begin_session(administrator)
    return redirect("/", 303)


def _begin_session(administrator: Administrator, draft: str = "") -> None:
    """A new session ID and a new CSRF token: nothing from before signing in counts after it."""
    if old := browser_session():
        services().sign_in.end_session(old, administrator_at(old))
    session.clear()
    session["id"] = services().sign_in.begin_session(administrator, draft, client_address())


def _private(page: str, status: int = 200) -> ResponseReturnValue:
    """The setup address is a secret: its origin may be told, its path never (and no-referrer would break the form)."""
    return page, status, {"Referrer-Policy": "strict-origin"}
