"""The audit log: who did what to what, when, from where, with what result."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from applinks.services.events import PAGE, WHAT, Filter
from applinks.services.written import event_written
from applinks.web.current import services

blueprint = Blueprint("audit", __name__, url_prefix="/audit")

_LENGTH = 100


@dataclass(frozen=True)
class _Asked:
    """What was filled in, what of it is wrong, and what it comes to."""

    typed: dict[str, str]
    wrong: dict[str, str]
    found: Filter


@blueprint.get("")
def index() -> ResponseReturnValue:
    asked = _asked()
    before = request.args.get("before", "")
    below = int(before) if before.isascii() and before.isdigit() and len(before) < 10 else None
    events = services().events.page(asked.found, below, PAGE + 1) if not asked.wrong else []
    older = events[PAGE - 1].id if len(events) > PAGE else None
    there = services().links.slugs_there({event.slug for event in events})
    page = render_template(
        "audit/index.html", events=events[:PAGE], older=older, below=below, asked=asked, what=WHAT, there=there
    )
    return page, 422 if asked.wrong else 200


@blueprint.get("/events.jsonl")
def download() -> ResponseReturnValue:
    """Every line that the filter finds, oldest first, one a line."""
    asked = _asked()
    if asked.wrong:
        return index()
    name = f"applinks-events-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(stream_with_context(_lines(asked.found)), mimetype="application/x-ndjson", headers=headers)


def _lines(found: Filter) -> Iterator[str]:
    for event in services().events.all(found):
        yield json.dumps(event_written(event)) + "\n"


def _asked() -> _Asked:
    names = ("link", "who", "what", "since", "until")
    typed = {name: request.args.get(name, "").strip()[:_LENGTH].replace("\0", "") for name in names}
    days: dict[str, int] = {}
    wrong: dict[str, str] = {}
    for name, later in (("since", 0), ("until", 1)):
        try:
            if typed[name]:
                day = datetime.strptime(typed[name], "%Y-%m-%d").replace(tzinfo=UTC)
                days[name] = int((day + timedelta(days=later)).timestamp())
        except (ValueError, OverflowError):
            wrong[name] = "Write a day as 2026-11-26."
    if not wrong and len(days) == 2 and days["until"] <= days["since"]:
        wrong["until"] = "This is before the first day."
    texts = {"slug": typed["link"], "actor": typed["who"], "what": typed["what"]}
    return _Asked(typed, wrong, Filter(**texts, since=days.get("since"), until=days.get("until")))
