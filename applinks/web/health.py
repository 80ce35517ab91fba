"""The health page: for load balancers and monitoring, so it names no account and no address."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from applinks.services.health import Report
from applinks.web.current import services
from applinks.web.gate import from_applications

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@from_applications
def show() -> ResponseReturnValue:
    found = report()
    said = {
        "status": "well" if found.well else "unwell",
        "database": "answers" if found.database else "doesn't answer",
        "read_only": found.read_only,
        "refresher": "refreshing" if found.refreshing else "stopped",
        "refreshers": len(found.places),
        "seen_at": found.seen_at,
        "unstored": found.unstored,
    }
    return said, 200 if found.well else 503, {"Cache-Control": "no-store"}


def report() -> Report:
    """The same for pages, which warn of it."""
    return services().health.report()
