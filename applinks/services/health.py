"""Whether Applinks does its work: the database answers, somebody refreshes, and what was granted is stored."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peewee import DatabaseError, InterfaceError

from applinks.models import Connection, Heartbeat
from applinks.services.owner import Owner
from applinks.services.renewal import Renewal
from applinks.services.schedule import Pace

BEATS = 3
ROOM_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Report:
    """`seen_at` is when a refresher was last seen to, None for never. `places` are where one refreshes now."""

    database: bool
    seen_at: int | None
    places: tuple[str, ...]
    unstored: int
    read_only: bool
    anything_to_refresh: bool

    @property
    def refreshing(self) -> bool:
        return bool(self.places)

    @property
    def well(self) -> bool:
        idle = not self.refreshing and self.anything_to_refresh
        return self.database and not (idle or self.unstored or self.read_only)


class Health:
    def __init__(
        self,
        renewal: Renewal,
        owner: Owner,
        clock: Callable[[], float],
        pace: Pace,
        *,
        read_only: bool,
        keys_fit: Callable[[], bool],
        data_dir: Path,
    ) -> None:
        self._renewal = renewal
        self._owner = owner
        self._clock = clock
        self._pace = pace
        self.read_only = read_only
        self._keys_fit = keys_fit
        self._data_dir = data_dir

    def report(self) -> Report:
        """Look once; a database that doesn't answer is part of the report."""
        try:
            beats = list(Heartbeat.select().order_by(Heartbeat.at.desc()))
            anything = Connection.select().where(Connection.next_attempt_at.is_null(False)).exists()
        except (DatabaseError, InterfaceError):
            return Report(False, None, (), self._renewal.unstored, self.read_only, True)
        now = self._clock()
        recent = [beat for beat in beats if abs(now - beat.at) <= BEATS * self._pace.beat]
        alive = tuple(beat.place for beat in recent if not self._owner.has_died(beat.process))
        seen_at = beats[0].at if beats else None
        return Report(True, seen_at, alive, self._renewal.unstored, self.read_only, anything)

    def readiness(self) -> dict[str, str]:
        """What a server needs to do its work, each part with `ok` or what it is instead.

        What only the database knows is unknown while it is away: one trouble isn't three.
        """
        report = self.report()
        away = not report.database
        idle = report.anything_to_refresh and not report.refreshing
        return {
            "database": "away" if away else "read-only" if report.read_only else "ok",
            "keys": "unknown" if away else "ok" if self._keys_are_right() else "wrong",
            "refresher": "unknown" if away else "stopped" if idle else "ok",
            "disk": "ok" if self._has_room() else "full",
            "grants": "unstored" if report.unstored else "ok",
        }

    def _keys_are_right(self) -> bool:
        try:
            return self._keys_fit()
        except (DatabaseError, InterfaceError):
            return False

    def _has_room(self) -> bool:
        try:
            return shutil.disk_usage(self._data_dir).free >= ROOM_BYTES
        except OSError:
            return False
