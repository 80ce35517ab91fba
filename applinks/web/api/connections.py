"""The connections of a link, with their states. Consent alone is for people: `connect` says where."""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from applinks.errors import BusyError, ConsentNeededError, NotFoundError
from applinks.models import ApplicationLink, Connection
from applinks.services.access import Access
from applinks.services.connections import NOT_ASKED
from applinks.services.links import connections_of
from applinks.services.written import connection_written
from applinks.web.api.asking import access, query, route
from applinks.web.current import services
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("connections", __name__, url_prefix="/links/<slug:slug>/connections")


@route(blueprint, "GET", "")
def index(slug: str) -> dict[str, Any]:
    link = seen(slug, access())
    query()
    return {"connections": [_written(slug, connection) for connection in connections_of(link.id)]}


@route(blueprint, "GET", "/<slug:label>")
def show(slug: str, label: str) -> dict[str, Any]:
    link = seen(slug, access())
    query()
    return _written(slug, services().connections.find(link.id, label))


@route(blueprint, "POST", "/<slug:label>/refresh")
def refresh(slug: str, label: str) -> dict[str, Any]:
    """Ask for a new token now; `outcome` says what came of it."""
    link, who = _managed(slug)
    with a_place_to_wait():
        outcome = services().renewal.renew(services().connections.find(link.id, label), who.actor)
    return {"outcome": outcome} | _written(slug, services().connections.find(link.id, label))


@route(blueprint, "POST", "/<slug:label>/connect")
def connect(slug: str, label: str) -> dict[str, Any]:
    """Connect a link that needs nobody's consent."""
    link, who = _managed(slug)
    if not services().links.outgoing(slug).profile.without_account:
        raise ConsentNeededError("An account's owner has to consent, in a browser: open the link's page.")
    with a_place_to_wait():
        services().dance.connect_without_account(slug, label, who.actor)
    return _written(slug, services().connections.find(link.id, label))


@route(blueprint, "POST", "/<slug:label>/disconnect")
def disconnect(slug: str, label: str) -> dict[str, Any]:
    """Wipe a connection's tokens, and tell the provider; `provider` says how that went."""
    link, who = _managed(slug)
    ended = services().connections.disconnect(link.id, label, who.actor)
    return _written(slug, services().connections.find(link.id, label)) | {"provider": _told(slug, ended)}


@route(blueprint, "DELETE", "/<slug:label>")
def remove(slug: str, label: str) -> ResponseReturnValue:
    link, who = _managed(slug)
    ended = services().connections.remove(link.id, label, who.actor)
    return {"provider": _told(slug, ended)}


def seen(slug: str, who: Access) -> ApplicationLink:
    """A link that whoever asks may see. Raises ForbiddenError, or NotFoundError also where there is one that it isn't for."""
    who.must_see()
    link = services().links.find(slug)
    if not who.may_see(link.id):
        raise NotFoundError("There is no application link here. It may have been deleted.")
    return link


def _managed(slug: str) -> tuple[ApplicationLink, Access]:
    who = access()
    who.must_manage()
    query()
    return seen(slug, who), who


def _told(slug: str, ended: Connection) -> str:
    outgoing = services().links.outgoing_or_none(slug)
    if outgoing is None:
        return ""
    try:
        with a_place_to_wait():
            return services().connections.end_grants(outgoing, [ended]).words
    except BusyError:
        return NOT_ASKED.words


def _written(slug: str, connection: Connection) -> dict[str, Any]:
    return connection_written(slug, connection, services().settings.base_url)
