"""The connections of an outgoing link: look, refresh, disconnect, remove."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from applinks.errors import BusyError
from applinks.models import Connection
from applinks.services.connections import NOT_ASKED
from applinks.services.links import Outgoing
from applinks.services.renewal import Outcome
from applinks.web.current import actor, by_htmx, services
from applinks.web.gate import unattended
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("connections", __name__, url_prefix="/links/<slug>/connections/<label>")

HISTORY_LINES = 100
_SAID = {
    Outcome.REFRESHED: "The token was refreshed.",
    Outcome.NOTHING: "There is no refresh token here to refresh with.",
    Outcome.CLAIMED: "A refresh was under way already.",
    Outcome.OVERTAKEN: "The connection was changed meanwhile, so the refresh was not used.",
    Outcome.UNSTORED: "The provider gave a new token, but it couldn't be stored yet. Applinks keeps the token in memory "
    "and stores it as soon as that is possible: don't stop it before.",
    Outcome.TOO_SLOW: "This machine took too long, so the provider wasn't asked. Try again.",
    Outcome.RETRYING: "The provider gave no token this time. Applinks keeps trying.",
    Outcome.REFUSED: "The token couldn't be refreshed. The connection says why.",
}


@blueprint.get("")
@unattended
def show(slug: str, label: str) -> ResponseReturnValue:
    """One connection with its history; for htmx, the part of the page that keeps itself up to date."""
    outgoing = services().links.outgoing(slug)
    connection = services().connections.find(outgoing.link.id, label)
    if by_htmx() and not _alone():
        return render_template("connections/_connection.html", outgoing=outgoing, connection=connection)
    events = services().events.recent(outgoing.link.id, HISTORY_LINES, label=label)
    template = "connections/_alone.html" if by_htmx() else "connections/show.html"
    return render_template(template, outgoing=outgoing, connection=connection, events=events, alone=True)


@blueprint.post("/refresh")
def refresh(slug: str, label: str) -> ResponseReturnValue:
    connection = services().connections.find(services().links.find(slug).id, label)
    with a_place_to_wait():
        outcome = services().renewal.renew(connection, actor())
    flash(_SAID[outcome], "good" if outcome is Outcome.REFRESHED else "warn")
    here = url_for("connections.show", slug=slug, label=label) if _alone() else url_for("links.show", slug=slug)
    return redirect(here, 303)


@blueprint.post("/disconnect")
def disconnect(slug: str, label: str) -> ResponseReturnValue:
    link = services().links.find(slug)
    outgoing = services().links.outgoing_or_none(slug)
    ended = services().connections.disconnect(link.id, label, actor())
    flash(f"{label} was disconnected. Its history stays.")
    if outgoing:
        tell_provider(outgoing, [ended])
    return redirect(url_for("links.show", slug=slug), 303)


@blueprint.get("/remove")
def confirm_remove(slug: str, label: str) -> ResponseReturnValue:
    outgoing = services().links.outgoing(slug)
    connection = services().connections.find(outgoing.link.id, label)
    return render_template("connections/remove.html", outgoing=outgoing, connection=connection)


@blueprint.post("/remove")
def remove(slug: str, label: str) -> ResponseReturnValue:
    link = services().links.find(slug)
    outgoing = services().links.outgoing_or_none(slug)
    ended = services().connections.remove(link.id, label, actor())
    flash(f"{label} was removed.")
    if outgoing:
        tell_provider(outgoing, [ended])
    return redirect(url_for("links.show", slug=slug), 303)


def _alone() -> bool:
    """Whether a connection was looked at on its own page, not on its link's."""
    return "alone" in request.args


def tell_provider(outgoing: Outgoing, ended: list[Connection]) -> None:
    """Tell the provider of grants that have ended here already, and say how that went."""
    try:
        with a_place_to_wait():
            ending = services().connections.end_grants(outgoing, ended)
    except BusyError:
        ending = NOT_ASKED
    if ending.words:
        flash(ending.words, "good" if ending.done else "warn")
