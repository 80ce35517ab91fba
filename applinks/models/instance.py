"""One row that says which Applinks this database belongs to, and with which keys."""

from peewee import BigIntegerField, IntegerField, TextField

from applinks.models.base import Table


class Instance(Table):
    """`key_check` is a ciphertext known to open: it tells a wrong key from damaged data.

    `event_key_enc` is what events are chained with, and `events_end` says with which line the chain ends.
    """

    id = TextField(primary_key=True)
    schema = IntegerField()
    key_check = TextField()
    event_key_enc = TextField(default="")
    events_end = TextField(default="")
    created_at = BigIntegerField()
