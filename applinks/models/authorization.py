"""What our own authorization server gave out, as digests only: consents, and the grants, codes and tokens that came of them.

A grant is one run through the server. It owns its code and every token that came of it, and goes with all of them.
"""

from peewee import BigIntegerField, ForeignKeyField, TextField

from applinks.models.administrators import Administrator
from applinks.models.base import Table
from applinks.models.links import ApplicationLink


class Consent(Table):
    """What an administrator has allowed an application so far. `token_links` has one link's ID a line."""

    link_id: str
    administrator_id: str
    id = TextField(primary_key=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", backref="consents")
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE", index=True)
    scopes = TextField()
    token_links = TextField()
    given_at = BigIntegerField()

    class Meta:
        indexes = ((("link", "administrator"), True),)


class IssuedGrant(Table):
    """`consent` is missing where an application acts for itself. Nothing of it lives after `ends_at`."""

    link_id: str
    consent_id: str | None
    id = TextField(primary_key=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", index=True)
    consent = ForeignKeyField(Consent, null=True, on_delete="CASCADE", index=True)
    scopes = TextField()
    token_links = TextField()
    began_at = BigIntegerField()
    ends_at = BigIntegerField(index=True)
    last_used_at = BigIntegerField(null=True)


class AuthorizationCode(Table):
    """A code (RFC 6749 §4.1.2), spent once."""

    grant_id: str
    code_digest = TextField(primary_key=True)
    grant = ForeignKeyField(IssuedGrant, on_delete="CASCADE", index=True)
    redirect_uri = TextField()
    code_challenge = TextField()
    expires_at = BigIntegerField()
    spent_at = BigIntegerField(null=True)


class IssuedToken(Table):
    """An access token and the refresh token that came with it, if one did. `spent_at`: the refresh token was used.

    For a moment after that, `successor_enc` keeps the pair that came of it; nobody gets it after `successor_until`.
    """

    grant_id: str
    access_digest = TextField(primary_key=True)
    refresh_digest = TextField(unique=True, null=True)
    grant = ForeignKeyField(IssuedGrant, on_delete="CASCADE", index=True, backref="tokens")
    scopes = TextField()
    issued_at = BigIntegerField()
    access_expires_at = BigIntegerField()
    refresh_expires_at = BigIntegerField(null=True)
    spent_at = BigIntegerField(null=True)
    successor_enc = TextField(default="")
    successor_until = BigIntegerField(null=True, index=True)
