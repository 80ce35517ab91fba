"""Counting what happens often, off the hot path: in memory, and written down within a second.

A line of the audit log for each key, connection and hour, with a tally: writing one for every token that is read would
cost more than reading it. A process that is killed loses a second of counting.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from peewee import DatabaseError, InterfaceError

from applinks.models import ActorKind, ApiKey, Event, IssuedGrant, count_figures, database
from applinks.models.figures import TOKEN_READS
from applinks.services.events import READ, Actor, Events, Line

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.9
HOUR = 3600
MOST_PENDING = 10_000

Used = tuple[type[ApiKey | IssuedGrant], str]


class Counted(NamedTuple):
    """What is counted together, within an hour."""

    what: str
    actor_kind: ActorKind
    actor_id: str
    actor: str
    link_id: str = ""
    slug: str = ""
    label: str = ""
    words: str = ""


@dataclass
class _Pending:
    """How often since the last time it was written down; `address` is the first one's."""

    first_at: int
    last_at: int
    times: int
    address: str


class Counts:
    """A thread of its own begins with the first count and ends with `stop`."""

    def __init__(self, events: Events, clock: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: dict[Counted, _Pending] = {}
        self._used: dict[Used, int] = {}
        self._lines: dict[tuple[Counted, int], int] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._troubled = False

    def add(self, counted: Counted, address: str) -> None:
        """Count one more."""
        now = int(self._clock())
        with self._lock:
            pending = self._pending.get(counted)
            if pending:
                pending.times += 1
                pending.last_at = now
            elif len(self._pending) < MOST_PENDING:
                self._pending[counted] = _Pending(now, now, 1, address)
            if self._thread is None and not self._stopped.is_set():
                self._begin()

    def used(self, table: type[ApiKey | IssuedGrant], row_id: str) -> None:
        """Note that an API key, or a grant, was used just now."""
        with self._lock:
            self._used[table, row_id] = int(self._clock())
            if self._thread is None and not self._stopped.is_set():
                self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="counts", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self.flush()
        with suppress(DatabaseError, InterfaceError):
            database.close()

    def flush(self) -> None:
        """Write down what was counted; what can't be written now is counted on."""
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, {}
                used, self._used = self._used, {}
            if not (pending or used):
                return
            try:
                with database.atomic():
                    self._write(pending, used)
                self._troubled = False
            except (DatabaseError, InterfaceError) as error:
                self._lines.clear()
                self._take_back(pending, used)
                if not self._troubled:
                    self._troubled = True
                    log.error("What was counted for the audit log can't be written: %s.", error)

    def stop(self) -> None:
        """Write the rest, and end."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
        self.flush()

    def _write(self, pending: dict[Counted, _Pending], used: dict[Used, int]) -> None:
        happened: dict[int, tuple[int, int]] = {}
        new: list[tuple[Counted, int]] = []
        for counted, seen in pending.items():
            hour = seen.first_at // HOUR
            line = self._lines.get((counted, hour)) or self._line(counted, hour)
            if line:
                happened[line] = (seen.times, seen.last_at)
                self._lines[counted, hour] = line
            else:
                new.append((counted, hour))
        self._events.count_up(happened)
        if reads := sum(seen.times for counted, seen in pending.items() if counted.what == READ):
            count_figures({TOKEN_READS: reads})
        if new:
            added = self._events.add([_line_of(counted, pending[counted]) for counted, _ in new])
            self._lines |= dict(zip(new, added, strict=True))
        for (table, row_id), at in used.items():
            table.update(last_used_at=at).where(table.id == row_id).execute()
        this_hour = int(self._clock()) // HOUR
        self._lines = {what: line for what, line in self._lines.items() if what[1] >= this_hour}

    def _line(self, counted: Counted, hour: int) -> int | None:
        """The hour's line that another process, or this one before it was started anew, has written."""
        same = (Event.what == counted.what) & (Event.actor_id == counted.actor_id) & (Event.words == counted.words)
        same &= (Event.link_id == counted.link_id) & (Event.label == counted.label) & Event.counted
        newest = Event.select(Event.id).where(same & (Event.at >= hour * HOUR)).order_by(Event.id.desc()).first()
        return newest.id if newest else None

    def _take_back(self, pending: dict[Counted, _Pending], used: dict[Used, int]) -> None:
        with self._lock:
            for counted, seen in pending.items():
                newer = self._pending.get(counted)
                if newer:
                    newer.times += seen.times
                    newer.first_at = seen.first_at
                else:
                    self._pending[counted] = seen
            self._used = used | self._used


def _line_of(counted: Counted, seen: _Pending) -> Line:
    actor = Actor(counted.actor, counted.actor_kind, counted.actor_id, seen.address)
    about = counted.link_id, counted.slug, counted.label, counted.words
    return Line(actor, counted.what, *about, seen.first_at, counted=True, times=seen.times)
