"""Everything that ends some day, of all links: for the page, the calendar, and alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from applinks.crypto import digest, new_token, same
from applinks.models import Administrator, ApplicationLink, Connection, OutgoingLink, State, database
from applinks.providers import Catalogue
from applinks.services.deadlines import Deadline, deadlines_of
from applinks.services.events import Actor, Events

MOST = 500


@dataclass(frozen=True)
class Upcoming:
    """A deadline and whose it is."""

    link: ApplicationLink
    deadline: Deadline


class Calendar:
    def __init__(self, catalogue: Catalogue, events: Events, base_url: str, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._events = events
        self._base_url = base_url
        self._clock = clock

    def upcoming(self, until: int | None = None) -> list[Upcoming]:
        """The first deadlines of all links, up to a moment where one is given."""
        found = [*self._of_links(until), *self._of_consents(until)]
        return sorted(found, key=lambda each: (each.deadline.at, each.link.name_key))[:MOST]

    def _of_links(self, until: int | None) -> list[Upcoming]:
        now, found = self._clock(), []
        for column in (OutgoingLink.client_secret_ends_at, OutgoingLink.certificate_ends_at):
            rows = OutgoingLink.select(OutgoingLink, ApplicationLink).join(ApplicationLink).where(column.is_null(False))
            rows = rows.where(column <= until) if until is not None else rows
            for row in rows.order_by(column).limit(MOST):
                secret = row.client_secret_ends_at if column is OutgoingLink.client_secret_ends_at else None
                certificate = row.certificate_ends_at if column is OutgoingLink.certificate_ends_at else None
                provider = self._catalogue.get(row.provider)
                found += [Upcoming(row.link, end) for end in deadlines_of(secret, certificate, provider, [], now)]
        return found

    def _of_consents(self, until: int | None) -> list[Upcoming]:
        now, found = self._clock(), []
        for provider in self._catalogue.values():
            if not provider.consent_life:
                continue
            rows = Connection.select(Connection, ApplicationLink).join(ApplicationLink).join(OutgoingLink)
            rows = rows.where((OutgoingLink.provider == provider.key) & (Connection.state != State.DISCONNECTED))
            if until is not None:
                rows = rows.where(Connection.connected_at <= until - provider.consent_life)
            for row in rows.order_by(Connection.connected_at).limit(MOST):
                found += [Upcoming(row.link, end) for end in deadlines_of(None, None, provider, [row], now)]
        return found

    def make_address(self, administrator: Administrator, actor: Actor) -> str:
        """A private address of the calendar, in place of the one before; only a digest of it is kept."""
        token = new_token()
        with database.atomic():
            changed = Administrator.update(calendar_digest=digest(token)).where(Administrator.id == administrator.id)
            changed.execute()
            self._events.record(actor, "calendar address made")
        return f"{self._base_url}/deadlines/{token}.ics"

    def is_known(self, token: str) -> bool:
        """Whether it is the address of somebody who may sign in."""
        kept = digest(token)
        found = Administrator.get_or_none((Administrator.calendar_digest == kept) & Administrator.disabled_at.is_null())
        return found is not None and same(found.calendar_digest, kept)

    def text(self) -> str:
        """All of it as iCalendar (RFC 5545): a whole day for each."""
        stamp = _moment(int(self._clock()))
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Applinks//Deadlines//EN", "X-WR-CALNAME:Applinks"]
        for each in self.upcoming():
            end, url = each.deadline, f"{self._base_url}/links/{each.link.slug}"
            day = datetime.fromtimestamp(end.at, UTC)
            lines += [
                "BEGIN:VEVENT",
                f"UID:{each.link.id}-{end.key}-{end.label or 'link'}@applinks",
                f"DTSTAMP:{stamp}",
                f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
                f"SUMMARY:{_escaped(f'{each.link.name}: {end.what} ends')}",
                f"DESCRIPTION:{_escaped(f'{end.mend} {url}')}",
                f"URL:{url}",
                "TRANSP:TRANSPARENT",
                "END:VEVENT",
            ]
        return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    """RFC 5545 §3.3.11."""
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n").replace("\r", "")


def _folded(line: str) -> str:
    """At most 75 octets a line, never within a character (RFC 5545 §3.1)."""
    parts, part = [], ""
    for char in line:
        if len((part + char).encode()) > 74:
            parts.append(part)
            part = ""
        part += char
    return "\r\n ".join([*parts, part])
