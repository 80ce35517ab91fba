"""Who may refresh a connection: one at a time, over all threads and processes.

A lease is columns of the connection's own row, taken by one conditional UPDATE. It is committed before the provider can
see the refresh token, together with the intent to send it: whoever finds the lease over knows what was under way.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from peewee import Expression

from applinks.models import Connection, Reserve, database
from applinks.services.owner import Owner
from applinks.services.schedule import Pace

_RESERVE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Lease:
    """The right to refresh a connection that was read at some generation; `until` is in seconds of the monotonic clock."""

    name: str
    until: float

    def is_young(self, pace: Pace) -> bool:
        """Whether more than half of it is left: a process that stood still must not ask the provider any more."""
        return time.monotonic() < self.until - pace.lease / 2


class Leases:
    def __init__(self, owner: Owner, clock: Callable[[], float], pace: Pace) -> None:
        self._owner = owner
        self._clock = clock
        self._pace = pace

    def take(self, connection: Connection) -> Lease | None:
        """Take the lease of a connection as it was read, with the intent to use its refresh token.

        None where somebody else has it, or has changed the tokens or stored a failure since. Raises
        peewee.DatabaseError where nothing could be stored: then no provider may be asked.
        """
        name, now, until = self._owner.new_lease(), int(self._clock()), time.monotonic() + self._pace.lease
        free = self._is_free(now)
        if connection.lease_owner and self._owner.has_died(connection.lease_owner):
            free |= Connection.lease_owner == connection.lease_owner
        claim = Connection.update(
            lease_owner=name,
            lease_until=now + int(self._pace.lease),
            intent_generation=connection.generation,
            next_attempt_at=now,  # so that whoever comes after a crash finds it due
        )
        as_read = (Connection.id == connection.id) & (Connection.generation == connection.generation)
        with database.atomic():
            taken = claim.where(as_read & (Connection.failures == connection.failures) & free).execute() == 1
            if taken:
                self._write_reserve()
        return Lease(name, until) if taken else None

    def give_back(self, connection: Connection, lease: Lease) -> None:
        """Leave the row as it was read: nothing was sent."""
        as_read = Connection.update(
            lease_owner="",
            lease_until=0,
            intent_generation=connection.intent_generation,
            next_attempt_at=connection.next_attempt_at,
        )
        as_read.where(holds(lease, connection)).execute()

    def _write_reserve(self) -> None:
        block = secrets.token_hex(_RESERVE_BYTES // 2)  # never the same: SQLite doesn't write what is there already
        if Reserve.update(block=block).execute() != 1:
            Reserve.create(id=1, block=block)

    def may_be_taken(self, connection: Connection) -> bool:
        """Whether nobody who lives seems to have it."""
        if not connection.lease_owner or self._owner.has_died(connection.lease_owner):
            return True
        now = int(self._clock())
        return not now <= connection.lease_until <= now + 2 * self._pace.lease

    def _is_free(self, now: int) -> Expression:
        """Never taken, over, or from a clock that has gone back since."""
        return (
            (Connection.lease_owner == "")
            | (Connection.lease_until < now)
            | (Connection.lease_until > now + int(2 * self._pace.lease))
        )


def holds(lease: Lease, connection: Connection) -> Expression:
    """The row of a connection as it was read, while the lease is still one's own."""
    as_read = (Connection.id == connection.id) & (Connection.generation == connection.generation)
    return as_read & (Connection.lease_owner == lease.name)
