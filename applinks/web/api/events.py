"""The audit log, for keys that may manage links."""

from typing import Any

from flask import Blueprint

from applinks.services.events import PAGE, Filter
from applinks.services.written import event_written
from applinks.web.api.asking import access, number, query, route, text
from applinks.web.api.connections import seen
from applinks.web.current import services

blueprint = Blueprint("events", __name__)

_MOST = 500
_EVER, _FAR = 2**31 - 1, 2**53
_PAGING = {"before": number(_EVER), "limit": number(_MOST, 1)}


@route(blueprint, "GET", "/events")
def index() -> dict[str, Any]:
    """Everything, newest first; `before` of an answer asks for what is older."""
    who = access()
    who.must_manage()
    who.must_see_all()
    times = {"since": number(_FAR), "until": number(_FAR)}
    sent = query(link=text(60), actor=text(100), what=text(60), **times, **_PAGING)
    texts = {"slug": sent["link"] or "", "actor": sent["actor"] or "", "what": sent["what"] or ""}
    found = Filter(**texts, since=sent["since"], until=sent["until"])
    return _page(found, sent)


@route(blueprint, "GET", "/links/<slug:slug>/events")
def of_link(slug: str) -> dict[str, Any]:
    """What happened to one link, and with it."""
    who = access()
    who.must_manage()
    link = seen(slug, who)
    return _page(Filter(link_id=link.id), query(**_PAGING))


def _page(found: Filter, sent: dict[str, Any]) -> dict[str, Any]:
    limit = sent["limit"] or PAGE
    events = services().events.page(found, sent["before"], limit + 1)
    more = len(events) > limit
    events = events[:limit]
    return {"events": [event_written(event) for event in events], "before": events[-1].id if more else None}
