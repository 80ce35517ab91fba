"""Events: the lines of the audit log. A link's history is those that are about it."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField, TextField, chunked

from applinks.models.base import Table, database, execute_many

_BATCH = 500


class ActorKind(StrEnum):
    """Through which door somebody came; empty for what Applinks does by itself."""

    APPLINKS = ""
    ADMINISTRATOR = "administrator"
    API_KEY = "API key"
    APPLICATION = "application"
    COMMAND_LINE = "command line"
    STRANGER = "stranger"


class Event(Table):
    """Who did what to what, when, from where, with what result. Never changed once it is written.

    `id` counts up without a gap. `mac` covers all columns and the `mac` of the line before. `link_id` and `slug` name a
    link that may be deleted by now. What may happen again and again is `counted`: a Tally says how often it did.
    """

    count: int  # this and the next two are the Tally's
    last_at: int
    tally_mac: str
    id = IntegerField(primary_key=True)
    at = BigIntegerField(index=True)
    actor = TextField(default="")
    actor_kind = TextField(default=ActorKind.APPLINKS)
    actor_id = TextField(default="")
    address = TextField(default="")
    what = TextField()
    link_id = TextField(default="")
    slug = TextField(default="")
    label = TextField(default="")
    words = TextField(default="")
    counted = BooleanField(default=False)
    mac = TextField()

    class Meta:
        indexes = (
            (("link_id", "id"), False),
            (("slug", "id"), False),
            (("actor", "id"), False),
            (("what", "id"), False),
        )


class Tally(Table):
    """How often an event has happened again, and when for the last time; `mac` covers the row."""

    event_id: int
    event = ForeignKeyField(Event, primary_key=True, on_delete="CASCADE")
    last_at = BigIntegerField()
    count = IntegerField()
    mac = TextField()


def counts_of(event_ids: list[int]) -> dict[int, int]:
    """How often these events have happened so far."""
    found: dict[int, int] = {}
    for batch in chunked(event_ids, _BATCH):
        rows: Any = Tally.select(Tally.event, Tally.count).where(Tally.event.in_(list(batch))).tuples()
        found.update(rows)
    return found


def write_tallies(rows: Sequence[tuple[int, int, int, str]]) -> None:
    """Write rows of event, last time, count and mac over those that are there."""
    if rows:
        execute_many(_upsert(type(database.obj).__name__), rows)


@cache
def _upsert(kind: str) -> str:
    """Written once for each class of databases: writing it takes longer than running it."""
    columns = [Tally.last_at, Tally.count, Tally.mac]
    one = Tally.insert_many([(0, 0, 0, "")], fields=[Tally.event, *columns])
    sql, _ = one.on_conflict(conflict_target=[Tally.event], preserve=columns).sql()
    return str(sql)
