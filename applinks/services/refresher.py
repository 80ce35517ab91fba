"""The refresher: looks for connections whose time has come and has them refreshed, some at a time.

Any number of processes may run one, in a server or as a worker. A few lanes lead to each host, so that one that hangs
delays no other; a process says in a row of its own that it lives.
"""

import logging
import os
import platform
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from peewee import DatabaseError, InterfaceError, OperationalError

from applinks.models import Connection, Heartbeat, State, database
from applinks.services.leases import Leases
from applinks.services.links import Links
from applinks.services.owner import Owner
from applinks.services.renewal import Renewal
from applinks.services.schedule import SKEW_SECONDS, Pace, is_from_the_future

log = logging.getLogger(__name__)

LANES_OF_ONE_HOST = 4  # as many calls as the guard lets go to one host at a time
LANES = 12  # of the guard's 16 calls in all: the rest is for people who wait for a page
LOOK_AT = 2_000  # rows at a time
FORGET_SECONDS = 86_400
STOP_SECONDS = 30.0
REST_SECONDS = 60.0


class Refresher:
    def __init__(
        self,
        links: Links,
        renewal: Renewal,
        leases: Leases,
        owner: Owner,
        clock: Callable[[], float],
        pace: Pace,
        sweeps: Sequence[Callable[[], None]],
    ) -> None:
        """`sweeps` are done at every look: what else has its time, and costs nothing where it hasn't come."""
        self._sweeps = sweeps
        self._links = links
        self._renewal = renewal
        self._leases = leases
        self._owner = owner
        self._clock = clock
        self._pace = pace
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[str]] = {}
        self._known: set[str] = set()
        self._resting: dict[str, float] = {}
        self._lanes: Counter[str] = Counter()
        self._looked_at = 0
        self._troubled_until = 0.0
        self._troubled = False

    def start(self) -> None:
        """Refresh in threads of this process until `stop`."""
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._thread.start()

    def begin_no_more(self) -> None:
        """Finish what is under way, and begin nothing."""
        self._stop.set()

    def stop(self) -> None:
        """Finish and store what is under way.

        Where that isn't possible, this process stays known as the one that was at it, so that its death shows.
        """
        self.begin_no_more()
        if self._thread and self._thread.is_alive():  # not where a signal came before it ran
            self._thread.join(STOP_SECONDS)
        if self.finish(STOP_SECONDS) and self._renewal.finish(STOP_SECONDS):
            self._owner.leave()
        else:
            log.critical("Applinks stops while something is under way: an account may have to be connected again.")

    def finish(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait until nothing is under way, for so many seconds; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lanes.total(), seconds)

    def _run(self) -> None:
        beat_at = 0.0
        while True:
            try:
                if time.monotonic() >= beat_at:
                    self.beat()
                    beat_at = time.monotonic() + self._pace.beat
                self.begin_due()
                for sweep in self._sweeps:
                    sweep()
            except (DatabaseError, InterfaceError) as error:
                self._wait_for_the_database(error)
            except Exception:
                log.exception("Looking for what to refresh failed; the next look follows.")
            if self._stop.wait(self._pace.round):
                break
        with suppress(DatabaseError, InterfaceError):  # else it is known to have stopped in a minute
            Heartbeat.delete().where(Heartbeat.process == self._owner.name).execute()
        database.close()

    def beat(self) -> None:
        """Say that this process refreshes."""
        self._owner.live()
        now = int(self._clock())
        place = f"{platform.node()}, process {os.getpid()}"
        with database.atomic():
            if Heartbeat.update(at=now).where(Heartbeat.process == self._owner.name).execute() != 1:
                Heartbeat.delete().where(Heartbeat.at < now - FORGET_SECONDS).execute()
                Heartbeat.create(process=self._owner.name, place=place, at=now)
        if self._troubled:
            self._troubled = False
            log.error("The database can be written to again: refreshing goes on.")

    def begin_due(self) -> int:
        """Begin to refresh every connection whose time has come; returns how many are new among them."""
        if time.monotonic() < self._troubled_until:
            return 0
        due = self._due()
        with self._changed:
            for host, connection_id in due:
                self._known.add(connection_id)
                self._waiting.setdefault(host, deque()).append(connection_id)
            self._open_lanes()
        return len(due)

    def _due(self) -> list[tuple[str, str]]:
        """Host and ID of each connection that is due and isn't waiting here already."""
        now = int(self._clock())
        self._believe_the_clock(now)
        with self._changed:
            self._resting = {name: until for name, until in self._resting.items() if until > time.monotonic()}
            left_alone = [*self._known, *self._resting]
        is_due = (Connection.next_attempt_at <= now) & Connection.id.not_in(left_alone)
        columns = Connection.id, Connection.link, Connection.lease_owner, Connection.lease_until
        rows = Connection.select(*columns).where(is_due).order_by(Connection.next_attempt_at).limit(LOOK_AT)
        free = [row for row in rows if self._leases.may_be_taken(row)]
        hosts = {link_id: self._host(link_id) for link_id in {row.link_id for row in free}}
        return [(hosts[row.link_id], row.id) for row in free]

    def _believe_the_clock(self, now: int) -> None:
        """After a clock has gone back, what was planned with the earlier one is due: far away it might be never."""
        if self._looked_at <= now < self._looked_at + self._pace.beat:
            return
        back, impossible = self._looked_at - now, is_from_the_future(now)
        if back > SKEW_SECONDS or Connection.select().where(impossible).exists():
            with database.atomic():
                if back > SKEW_SECONDS:
                    self._follow_back(now, back)
                Connection.update(next_attempt_at=now).where(impossible).execute()
        self._looked_at = now

    def _follow_back(self, now: int, back: int) -> None:
        """What was granted with the earlier clock expires earlier by this one, and is refreshed with it.

        Several processes may notice: whoever is second finds it due, refreshed since, or moved already.
        """
        expires_at = Connection.expires_at - back
        renewable = (
            (Connection.failures == 0) & (Connection.state != State.EXPIRING) & (Connection.next_attempt_at > now)
        )
        since = (Connection.refreshed_at <= now) & (Connection.refreshed_at > now - self._pace.beat)
        Connection.update({Connection.expires_at: expires_at, Connection.next_attempt_at: now}).where(
            renewable & ~since
        ).execute()
        moved: dict[object, object] = {
            Connection.expires_at: expires_at,
            Connection.next_attempt_at: Connection.next_attempt_at - back,
            Connection.refreshed_at: Connection.refreshed_at - back,
        }
        expiring = (Connection.state == State.EXPIRING) & (Connection.refreshed_at > now)
        Connection.update(moved).where(expiring).execute()

    def _host(self, link_id: str) -> str:
        """Where a link's tokens come from, empty where that can't be read: there it fails alone."""
        try:
            outgoing = self._links.outgoing_or_none_by_id(link_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            return ""
        return outgoing.host if outgoing else ""

    def _open_lanes(self) -> None:
        """Where there is room, first for those that have the fewest lanes."""
        for host in sorted(self._waiting, key=lambda host: self._lanes[host]):
            missing = min(len(self._waiting[host]), LANES_OF_ONE_HOST - self._lanes[host], LANES - self._lanes.total())
            for _ in range(missing):
                threading.Thread(target=self._lane, args=(host,), name=f"refresh at {host}", daemon=True).start()
                self._lanes[host] += 1

    def _lane(self, host: str) -> None:
        try:
            while connection_id := self._next(host):
                self._refresh(connection_id)
            database.close()
        finally:
            with self._changed:
                self._lanes -= Counter({host: 1})
                self._changed.notify_all()
                self._open_lanes()

    def _next(self, host: str) -> str:
        """Whose turn it is, empty when a lane ends: there is nothing left, or another host has no lane at all."""
        with self._changed:
            if self._stop.is_set():
                self._waiting.clear()
            crowded = self._lanes.total() >= LANES and any(not self._lanes[other] for other in self._waiting)
            queue = self._waiting.get(host)
            if not queue or (crowded and self._lanes[host] > 1):
                return ""
            connection_id = queue.popleft()
            if not queue:
                del self._waiting[host]
            return connection_id

    def _refresh(self, connection_id: str) -> None:
        """Refresh one, unless somebody has done so since it was found; its failure never stops the rest."""
        try:
            connection = Connection.get_or_none(Connection.id == connection_id)
            if connection and connection.next_attempt_at is not None and connection.next_attempt_at <= self._clock():
                self._renewal.renew(connection)
        except (OperationalError, InterfaceError) as error:
            self._wait_for_the_database(error)
        except Exception:
            log.exception("Refreshing connection %s failed; it is left alone for a minute.", connection_id)
            with self._changed:
                self._resting[connection_id] = time.monotonic() + REST_SECONDS
        finally:
            with self._changed:
                self._known.discard(connection_id)

    def _wait_for_the_database(self, error: Exception) -> None:
        """Where nothing can be stored, nobody is asked: what would be granted would be lost."""
        with self._changed:
            for queue in self._waiting.values():
                self._known.difference_update(queue)
            self._waiting.clear()
            self._troubled_until = time.monotonic() + self._pace.again
            if not self._troubled:
                self._troubled = True
                log.error("Nothing is refreshed, since the database can't be written to: %s.", error)
