"""Checking a link, as its page does."""

from typing import Any

from flask import Blueprint

from applinks.services.written import check_written
from applinks.web.api.asking import access, query, route
from applinks.web.api.connections import seen
from applinks.web.current import services
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("checks", __name__)


@route(blueprint, "POST", "/links/<slug:slug>/checks")
def run(slug: str) -> dict[str, Any]:
    """Every step with its result; none of them asks an account for consent."""
    who = access()
    who.must_manage()
    query()
    seen(slug, who)
    outgoing = services().links.outgoing(slug)
    with a_place_to_wait():
        return check_written(services().checks.everything(outgoing, who.actor))
