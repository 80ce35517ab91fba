"""Application links: listing, reading, making, changing and deleting."""

import re
from contextlib import suppress
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from applinks.crypto import new_id
from applinks.errors import AppError, BusyError, InvalidFieldError
from applinks.models import ApplicationLink, State
from applinks.oauth.registration import NAME_LENGTH
from applinks.services.access import Access
from applinks.services.connections import NOT_ASKED
from applinks.services.links import NEEDS_YOU, connections_of
from applinks.services.registrations import FIELDS, changed, read_registration
from applinks.services.written import link_written, row_written
from applinks.web.api.asking import access, body, one_of, query, route, text
from applinks.web.api.connections import seen
from applinks.web.current import services
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("links", __name__)

_VERSION = re.compile(r'"([0-9]{1,9})"')


@route(blueprint, "GET", "/links")
def index() -> dict[str, Any]:
    """The links that a key is for, by name; `after` of an answer asks for the next page."""
    who = access()
    who.must_see()
    sent = query(search=text(NAME_LENGTH), state=one_of(NEEDS_YOU, *State), after=text(2 * NAME_LENGTH + 1))
    search, after, state = (sent[name] or "" for name in ("search", "after", "state"))
    page = services().links.page(search, after, state=state, only=who.link_ids)
    return {"links": [row_written(row, services().settings.base_url) for row in page.rows], "after": page.after or None}


@route(blueprint, "POST", "/links")
def create() -> ResponseReturnValue:
    who = access()
    who.must_manage()
    who.must_see_all()
    house, values = services(), body(*FIELDS)
    registration = read_registration(house.guard, house.catalogue, values, secret_needed=True)
    link = house.links.create(new_id(), registration, who.actor)
    if registration.profile.without_account:
        _connect_without_account(link.slug, who)
    return _written(link), 201, {"Location": f"/api/v1/links/{link.slug}"}


@route(blueprint, "GET", "/links/<slug:slug>")
def show(slug: str) -> ResponseReturnValue:
    link = seen(slug, access())
    return _written(link), 200, {"ETag": f'"{link.version}"'}


@route(blueprint, "PATCH", "/links/<slug:slug>")
def change(slug: str) -> ResponseReturnValue:
    """Change what is sent; with `If-Match`, only the version that was read. Another endpoint needs the secret anew."""
    who = access()
    who.must_manage()
    seen(slug, who)
    house = services()
    outgoing, changes = house.links.outgoing(slug), body(*FIELDS)
    registration = read_registration(house.guard, house.catalogue, changed(outgoing, changes), secret_needed=False)
    read = _version()
    version = int(outgoing.link.version) if read is None else read
    disconnected = house.links.update(outgoing, registration, version=version, actor=who.actor)
    idle = not any(connection.access_token_enc for connection in outgoing.connections)
    if registration.profile.without_account and (disconnected or idle):
        _connect_without_account(slug, who)
    link = house.links.find(slug)
    return _written(link), 200, {"ETag": f'"{link.version}"'}


@route(blueprint, "DELETE", "/links/<slug:slug>")
def delete(slug: str) -> dict[str, Any]:
    """Delete a link, and tell its provider; `provider` says how that went."""
    who = access()
    who.must_manage()
    link = seen(slug, who)
    outgoing, ended = services().links.outgoing_or_none(slug), connections_of(link.id)
    services().links.delete(link, who.actor)
    if outgoing is None:
        return {"provider": ""}
    try:
        with a_place_to_wait():
            return {"provider": services().connections.end_grants(outgoing, ended).words}
    except BusyError:
        return {"provider": NOT_ASKED.words}


def _connect_without_account(slug: str, who: Access) -> None:
    """As saving in the browser does; where it comes to nothing, the link's history says why."""
    with suppress(AppError), a_place_to_wait():
        services().dance.connect_without_account(slug, "default", who.actor)


def _version() -> int | None:
    sent = request.headers.get("If-Match")
    found = _VERSION.fullmatch(sent or "")
    if sent is not None and not found:
        raise InvalidFieldError("If-Match", "Send the ETag of an earlier answer.")
    return int(found[1]) if found else None


def _written(link: ApplicationLink) -> dict[str, Any]:
    try:
        return link_written(services().links, link, services().settings.base_url)
    except AppError as error:  # this release doesn't know its provider
        raise InvalidFieldError("provider", str(error)) from None
