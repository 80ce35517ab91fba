"""What the program notes for its own running."""

from peewee import BigIntegerField, IntegerField, TextField

from applinks.models.base import Table


class Heartbeat(Table):
    """A process that refreshes, and when it was last seen to. `place` is for people: host and process number."""

    process = TextField(primary_key=True)
    place = TextField()
    at = BigIntegerField()


class Reserve(Table):
    """One row that is written before a provider is asked: where it has no room, what would be granted has none."""

    id = IntegerField(primary_key=True)
    block = TextField(default="")
