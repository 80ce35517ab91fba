"""What ends some day: a page, and a calendar that other programs subscribe to."""

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from applinks.web.current import actor, services, signed_in
from applinks.web.gate import public

blueprint = Blueprint("deadlines", __name__)


@blueprint.get("/deadlines")
def index() -> ResponseReturnValue:
    return _page()


@blueprint.get("/deadlines.ics")
def download() -> ResponseReturnValue:
    return _calendar()


@blueprint.post("/deadlines")
def make_address() -> ResponseReturnValue:
    """Show a calendar's private address in this one answer."""
    address = services().calendar.make_address(signed_in().administrator, actor())
    return _page(address), 201


@blueprint.get("/deadlines/<token>.ics")
@public
def feed(token: str) -> ResponseReturnValue:
    """For calendar programs, which can't sign in: whoever has the address may read it."""
    if not services().calendar.is_known(token):
        abort(404)
    return _calendar()


def _page(address: str = "") -> str:
    upcoming = services().calendar.upcoming()
    has_address = bool(signed_in().administrator.calendar_digest)
    return render_template("deadlines/index.html", upcoming=upcoming, address=address, has_address=has_address)


def _calendar() -> ResponseReturnValue:
    headers = {"Content-Type": "text/calendar; charset=utf-8", "Cache-Control": "private, no-store"}
    return services().calendar.text(), 200, headers | {"Referrer-Policy": "no-referrer"}
