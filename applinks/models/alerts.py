"""What somebody has been told of, and what is on its way to them."""

from peewee import BigIntegerField, IntegerField, TextField

from applinks.models.base import Table


class Told(Table):
    """What was told once and isn't told again: a connection while it needs somebody, or a deadline at some distance."""

    subject = TextField(primary_key=True)
    at = BigIntegerField()


class Alert(Table):
    """A message for one channel. `next_attempt_at` is None once it was sent or given up; `failure` is the last one's words.

    `id` stays the same however often it is tried, so that whoever gets it twice can tell.
    """

    id = TextField(primary_key=True)
    channel = TextField()
    kind = TextField()
    subject = TextField()
    content = TextField()
    created_at = BigIntegerField()
    attempts = IntegerField(default=0)
    next_attempt_at = BigIntegerField(null=True, index=True)
    sent_at = BigIntegerField(null=True)
    failure = TextField(default="")
