"""What our own authorization server gave out, as digests only."""

from peewee import BigIntegerField, ForeignKeyField, TextField

from applinks.models.administrators import Administrator
from applinks.models.base import Table
from applinks.models.links import ApplicationLink


class AuthorizationCode(Table):
    """A code (RFC 6749 §4.1.2), spent once. `family` names all tokens that come of it."""

    link_id: str
    administrator_id: str
    code_digest = TextField(primary_key=True)
    family = TextField(unique=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE")
    redirect_uri = TextField()
    code_challenge = TextField()
    scopes = TextField()
    expires_at = BigIntegerField()
    spent_at = BigIntegerField(null=True)


class IssuedToken(Table):
    """An access token and the refresh token that came with it. `spent_at`: the refresh token was used."""

    link_id: str
    administrator_id: str
    access_digest = TextField(primary_key=True)
    refresh_digest = TextField(unique=True)
    family = TextField(index=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE")
    scopes = TextField()
    access_expires_at = BigIntegerField()
    refresh_expires_at = BigIntegerField()
    spent_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
