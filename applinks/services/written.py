"""Links, connections and events as programs are told of them, over HTTP and at the console: JSON, and never a secret.

Times are in seconds since 1970, null where there is none.
"""

from typing import Any

from applinks.models import INCOMING, ApplicationLink, Connection, Event, IncomingLink
from applinks.oauth.incoming import CONFIDENTIAL, PUBLIC
from applinks.services.findings import Finding, worst
from applinks.services.links import LinkRow, Links
from applinks.services.registrations import values_of

_EVENT = ("id", "at", "actor", "actor_kind", "actor_id", "address", "what", "label", "words", "count", "last_at")


def row_written(row: LinkRow, base_url: str) -> dict[str, Any]:
    """A row of the list."""
    worst = row.connection
    return _summary(row.link, base_url) | {
        "provider": row.provider or None,
        "state": row.state,
        "connections": row.connections,
        "account": (worst.account or None) if worst else None,
        "expires_at": worst.expires_at if worst else None,
        "refreshed_at": worst.refreshed_at if worst else None,
        "deadline": {"of": row.deadline.key, "at": row.deadline.at} if row.deadline else None,
    }


def link_written(links: Links, link: ApplicationLink, base_url: str) -> dict[str, Any]:
    """A whole link. Raises AppError where this release doesn't know its provider."""
    times = {"version": link.version, "created_at": link.created_at, "updated_at": link.updated_at}
    whole = _summary(link, base_url) | times
    if link.direction == INCOMING:
        incoming = IncomingLink.get(IncomingLink.link == link.id)
        return whole | {
            "client_id": incoming.client_id,
            "client_type": PUBLIC if incoming.is_public else CONFIDENTIAL,
            "redirect_uris": incoming.redirect_uris.split(),
            "grant_types": incoming.grant_types.split(),
            "scopes": incoming.scopes,
            "disabled": incoming.disabled_at is not None,
        }
    outgoing = links.outgoing(link.slug)
    connections = [connection_written(link.slug, connection, base_url) for connection in outgoing.connections]
    return whole | values_of(outgoing) | {"redirect_uri": outgoing.redirect_uri, "connections": connections}


def connection_written(slug: str, connection: Connection, base_url: str) -> dict[str, Any]:
    return {
        "label": connection.label,
        "state": connection.state,
        "words": connection.words,
        "account": connection.account,
        "scopes_asked": connection.scopes_asked,
        "scopes_granted": connection.scopes_granted,
        "expires_at": connection.expires_at,
        "connected_at": connection.connected_at,
        "refreshed_at": connection.refreshed_at,
        "next_attempt_at": connection.next_attempt_at,
        "url": f"{base_url}/links/{slug}/connections/{connection.label}",
    }


def event_written(event: Event) -> dict[str, Any]:
    """A line of the audit log: it happened `count` times, the first time `at`, the last time `last_at`."""
    return {name: getattr(event, name) for name in _EVENT} | {"link": event.slug}


def _summary(link: ApplicationLink, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/links/{link.slug}"
    return {"slug": link.slug, "name": link.name, "direction": link.direction, "url": url}


def check_written(findings: list[Finding]) -> dict[str, Any]:
    """A check with its steps."""
    return {
        "result": worst(findings),
        "steps": [
            {name: getattr(finding, name) for name in ("key", "title", "result", "cause", "mend", "label")}
            | {"exchange": list(finding.exchange)}
            for finding in findings
        ],
    }
