"""One row that says which Applinks this database belongs to, and with which keys."""

from peewee import BigIntegerField, IntegerField, TextField

from applinks.models.base import Table


class Instance(Table):
    """`key_check` is a ciphertext known to open: it tells a wrong key from damaged data."""

    id = TextField(primary_key=True)
    schema = IntegerField()
    key_check = TextField()
    created_at = BigIntegerField()
