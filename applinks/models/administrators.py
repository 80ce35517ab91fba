"""Administrators, how the first one is made, and where they are signed in."""

from peewee import BigIntegerField, ForeignKeyField, TextField

from applinks.models.base import Table


class Administrator(Table):
    """`password_hash` is a PHC string, empty for one who can't sign in with a password.

    One who is disabled can't sign in at all. `calendar_digest` is of a private address, empty for none.
    """

    id = TextField(primary_key=True)
    username = TextField(unique=True)
    password_hash = TextField()
    appearance = TextField(default="system")
    created_at = BigIntegerField()
    disabled_at = BigIntegerField(null=True)
    calendar_digest = TextField(default="")


class SetupCode(Table):
    """The one-time address of a first start; the code itself is on the console only."""

    code_digest = TextField(primary_key=True)
    expires_at = BigIntegerField()


class SignInSession(Table):
    """One browser that is signed in. `draft` is a form that a session's end interrupted, as JSON."""

    administrator_id: str
    id_digest = TextField(primary_key=True)
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE")
    started_at = BigIntegerField()
    last_active_at = BigIntegerField()
    draft = TextField(default="")
