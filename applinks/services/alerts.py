"""Alerts: what needs somebody is told once, by e-mail and by a webhook, and tried again until it was taken.

What there is to tell is found by looking at what is stored, not where it happens: so nothing is forgotten, whatever was
killed meanwhile, and what comes and goes within a look is no news. What is to be told is stored before it is sent.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from peewee import DatabaseError, InterfaceError

from applinks.crypto import new_id
from applinks.models import Alert, ApplicationLink, Connection, State, Told, database
from applinks.oauth.guard import Guard
from applinks.oauth.notices import Mail, NotSentError, Webhook
from applinks.services.deadlines import days
from applinks.services.events import APPLINKS, Events
from applinks.services.links import NEEDS_A_PERSON
from applinks.services.upcoming import Calendar, Upcoming
from applinks.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
DEADLINES_SECONDS = 600.0
LEASE_SECONDS = 120
MINUTE, HOUR, DAY = 60, 3600, 86_400
WAITS = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, *[6 * HOUR] * 11)
WARN_DAYS = (1, 7, 30)
KEEP_DAYS = 90
_CONNECTION = "connection:"


class Channel(Protocol):
    def __call__(self, message_id: str, now: int, subject: str, content: Mapping[str, Any]) -> None:
        """Raises NotSentError."""


class Alerts:
    def __init__(
        self, settings: Settings, guard: Guard, events: Events, calendar: Calendar, clock: Callable[[], float]
    ) -> None:
        self._base_url = settings.base_url
        self._events = events
        self._calendar = calendar
        self._clock = clock
        self._channels = _channels(settings, guard)
        self._look_at = 0.0
        self._deadlines_at = 0.0
        self._sending = threading.Lock()

    def sweep(self) -> None:
        """Look for news now and then, and have what is due sent in a thread of its own. Costs nothing in between."""
        if not self._channels or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        self.look()
        due = Alert.select().where(Alert.next_attempt_at <= int(self._clock())).exists()
        if due and self._sending.acquire(blocking=False):
            threading.Thread(target=self._send_all, name="alerts", daemon=True).start()

    def look(self) -> None:
        """Store what is new as alerts, one for each channel."""
        needing = Connection.select(Connection, ApplicationLink).join(ApplicationLink)
        needs = {f"{_CONNECTION}{row.id}": row for row in needing.where(Connection.state.in_(NEEDS_A_PERSON))}
        told = {str(row.subject) for row in Told.select().where(Told.subject.startswith(_CONNECTION))}
        soon: list[tuple[str, int, Upcoming]] = []
        if time.monotonic() >= self._deadlines_at:
            self._deadlines_at = time.monotonic() + DEADLINES_SECONDS
            soon = self._near()
        if needs.keys() == told and not soon:
            return
        with database.atomic():
            for subject in needs.keys() - told:
                self._tell(subject, partial(self._needs_you, needs[subject]))
            for subject in told - needs.keys():
                self._untell(subject)
            for subject, left, each in soon:
                self._tell(subject, partial(self._deadline, each, left))

    def test(self) -> int:
        """Store an alert that says it is a test; returns for how many channels."""
        with database.atomic():
            self._add("test", "Applinks: a test alert", {"words": "This is a test. Nothing needs you."})
        return len(self._channels)

    def unsent(self, limit: int = 5) -> list[Alert]:
        """What failed and wasn't sent since, the newest first."""
        failed = (Alert.failure != "") & Alert.sent_at.is_null()
        return list(Alert.select().where(failed).order_by(Alert.created_at.desc()).limit(limit))

    def _near(self) -> list[tuple[str, int, Upcoming]]:
        """Deadlines whose next distance hasn't been told yet; one that is near already isn't told of as far, too."""
        now = self._clock()
        found = []
        for each in self._calendar.upcoming(int(now) + (WARN_DAYS[-1] + 1) * DAY):
            end, left = each.deadline, days(each.deadline.at, now)
            distance = next((most for most in WARN_DAYS if left <= most), None)
            if distance is not None and left >= 0:
                subject = f"deadline:{each.link.id}:{end.key}:{end.label}:{end.at}:{distance}"
                if not Told.select().where(Told.subject == subject).exists():
                    found.append((subject, left, each))
        return found

    def _tell(self, subject: str, add: Callable[[], None]) -> None:
        """Add an alert, unless another process has done so meanwhile."""
        if Told.get_or_none(Told.subject == subject) is None:
            now = int(self._clock())
            Told.create(subject=subject, at=now)
            Told.delete().where(~Told.subject.startswith(_CONNECTION) & (Told.at < now - KEEP_DAYS * DAY)).execute()
            add()

    def _untell(self, subject: str) -> None:
        row = Connection.get_or_none(Connection.id == subject.removeprefix(_CONNECTION))
        if row is not None and row.state == State.RETRYING:
            return  # nobody knows yet
        if Told.delete().where(Told.subject == subject).execute() != 1:
            return
        if row is not None and row.state != State.DISCONNECTED:  # else a person did it, who needn't be told
            words = "Its tokens are fresh again. Nothing is left to do."
            self._add("connection.recovered", f"Applinks: {row.link.name} works again", self._about(row, words))

    def _needs_you(self, row: Connection) -> None:
        what = self._about(row, row.words or "Look at its page.")
        self._add("connection.needs_you", f"Applinks: {row.link.name} needs you", what)

    def _deadline(self, each: Upcoming, left: int) -> None:
        end, link = each.deadline, each.link
        content = {
            **self._link(link),
            "label": end.label,
            "deadline": end.key,
            "ends_on": f"{datetime.fromtimestamp(end.at, UTC):%Y-%m-%d}",
            "days": left,
            "words": f"{end.words(self._clock())} {end.mend}",
        }
        self._add("deadline.near", f"Applinks: {link.name}: {end.words(self._clock()).rstrip('.')}", content)

    def _about(self, row: Connection, words: str) -> dict[str, Any]:
        return {**self._link(row.link), "label": row.label, "state": row.state, "words": words}

    def _link(self, link: ApplicationLink) -> dict[str, Any]:
        return {"link": link.slug, "name": link.name, "url": f"{self._base_url}/links/{link.slug}"}

    def _add(self, kind: str, subject: str, content: Mapping[str, Any]) -> None:
        now = int(self._clock())
        Alert.delete().where(Alert.next_attempt_at.is_null() & (Alert.created_at < now - KEEP_DAYS * DAY)).execute()
        for channel in self._channels:
            columns = {"kind": kind, "subject": subject, "content": json.dumps(content)}
            Alert.create(id=new_id(), channel=channel, created_at=now, next_attempt_at=now, **columns)

    def _send_all(self) -> None:
        try:
            self.send_due()
        except (DatabaseError, InterfaceError) as error:
            log.error("Alerts wait, since the database can't be used: %s.", error)
        except Exception:
            log.exception("Sending alerts failed; it is tried again.")
        finally:
            self._sending.release()
            database.close()

    def send_due(self) -> int:
        """Send what is due, one after the other; returns how many were taken."""
        sent, now = 0, int(self._clock())
        for alert in Alert.select().where(Alert.next_attempt_at <= now).order_by(Alert.created_at, Alert.id).limit(100):
            if alert.channel in self._channels and self._claim(alert, int(self._clock())):
                sent += self._send(alert)
        return sent

    def _claim(self, alert: Alert, now: int) -> bool:
        """Whether this process may send it: another one, or a later one of a process that dies now, waits for a while."""
        as_read = (Alert.id == alert.id) & (Alert.next_attempt_at == alert.next_attempt_at)
        as_read &= Alert.attempts == alert.attempts
        claim = Alert.update(attempts=alert.attempts + 1, next_attempt_at=now + LEASE_SECONDS).where(as_read)
        return bool(claim.execute() == 1)

    def _send(self, alert: Alert) -> bool:
        now, mine = int(self._clock()), (Alert.id == alert.id) & (Alert.attempts == alert.attempts + 1)
        content = {"type": alert.kind, "timestamp": _iso(alert.created_at), "data": json.loads(alert.content)}
        try:
            self._channels[alert.channel](alert.id, now, alert.subject, content)
        except NotSentError as error:
            again = now + WAITS[alert.attempts] if alert.attempts < len(WAITS) else None
            Alert.update(next_attempt_at=again, failure=str(error)[:300]).where(mine).execute()
            if again is None:
                words = f"{alert.channel}, {alert.subject}: {str(error)[:200]}"
                self._events.record(APPLINKS, "alert given up", words=words)
            return False
        Alert.update(next_attempt_at=None, sent_at=now).where(mine).execute()
        return True


def _channels(settings: Settings, guard: Guard) -> dict[str, Channel]:
    found: dict[str, Channel] = {}
    if settings.smtp:
        host = settings.base_url.partition("://")[2].partition(":")[0].strip("[]")
        sender = settings.smtp.user if "@" in settings.smtp.user else f"applinks@{host}"
        mail = Mail(guard, settings.smtp, sender, settings.alert_mail)
        found["mail"] = lambda message_id, now, subject, content: mail.send(message_id, now, subject, _letter(content))
    if settings.alert_webhook:
        webhook = Webhook(guard, settings.alert_webhook, settings.alert_webhook_secret)
        found["webhook"] = lambda message_id, now, subject, content: webhook.send(message_id, now, content)
    return found


def _letter(content: Mapping[str, Any]) -> str:
    data = content["data"]
    about = [f"{data['name']} ({data['link']})", ""] if "link" in data else []
    connection = [f"Connection: {data['label']}", ""] if data.get("label") else []
    where = ["", data["url"]] if "url" in data else []
    return "\n".join([*about, *connection, data["words"], *where, ""])


def _iso(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
