"""For load balancers and monitoring: whether Applinks lives, whether it is ready, and its figures. No names of anybody."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from applinks.services.health import Report
from applinks.web.api.asking import key, route
from applinks.web.current import client_address, services
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


@blueprint.get("/readyz")
@from_applications
def ready() -> ResponseReturnValue:
    parts = services().health.readiness()
    well = set(parts.values()) == {"ok"}
    return {"status": "ready" if well else "not ready"} | parts, 200 if well else 503, {"Cache-Control": "no-store"}


@route(blueprint, "GET", "/metrics")
def metrics() -> ResponseReturnValue:
    """For whoever shows an API key, of whatever links: behind a proxy, everybody comes from this machine."""
    services().api_keys.authenticate(key(), client_address())
    return services().metrics.text(), 200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


def report() -> Report:
    """The same for pages, which warn of it."""
    return services().health.report()
