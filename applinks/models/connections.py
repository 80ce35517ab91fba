"""Connections: one account's grant under an outgoing link, and the flow that makes one."""

from enum import StrEnum

from peewee import BigIntegerField, ForeignKeyField, IntegerField, TextField

from applinks.models.administrators import Administrator, SignInSession
from applinks.models.base import Table
from applinks.models.links import ApplicationLink


class State(StrEnum):
    """A connection's states, worst first."""

    UNREADABLE = "unreadable"
    CHECK_SETTINGS = "check_settings"
    RECONNECT_NEEDED = "reconnect_needed"
    RETRYING = "retrying"
    EXPIRING = "expiring"
    DISCONNECTED = "disconnected"
    CONNECTED = "connected"


class Connection(Table):
    """`generation` grows with every change of tokens. `next_attempt_at` is when the refresher acts, None for never.

    `words` explain the state: the provider's own, or ours. `intent_generation` is the generation whose refresh token was
    sent without its outcome being known. `previous_refresh_token_enc` is kept until its successor has worked once.
    """

    link_id: str
    id = TextField(primary_key=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", backref="connections")
    label = TextField()
    state = TextField(default=State.DISCONNECTED, index=True)
    words = TextField(default="")
    account = TextField(default="")
    scopes_asked = TextField(default="")
    scopes_granted = TextField(default="")
    access_token_enc = TextField(default="")
    refresh_token_enc = TextField(default="")
    previous_refresh_token_enc = TextField(default="")
    expires_at = BigIntegerField(null=True)
    connected_at = BigIntegerField(null=True)
    refreshed_at = BigIntegerField(null=True)
    next_attempt_at = BigIntegerField(null=True, index=True)
    failures = IntegerField(default=0)
    failed_since = BigIntegerField(null=True)
    generation = IntegerField(default=0)
    intent_generation = IntegerField(null=True)
    lease_owner = TextField(default="")
    lease_until = BigIntegerField(default=0)
    created_at = BigIntegerField()

    class Meta:
        indexes = ((("link", "label"), True),)


def emptied(words: str) -> dict[object, object]:
    """The columns of a connection without tokens. The new generation makes a refresh under way come to nothing."""
    return {
        Connection.state: State.DISCONNECTED,
        Connection.words: words,
        Connection.access_token_enc: "",
        Connection.refresh_token_enc: "",
        Connection.previous_refresh_token_enc: "",
        Connection.scopes_granted: "",
        Connection.expires_at: None,
        Connection.next_attempt_at: None,
        Connection.failures: 0,
        Connection.failed_since: None,
        Connection.intent_generation: None,
        Connection.lease_owner: "",
        Connection.lease_until: 0,
        Connection.generation: Connection.generation + 1,
    }


class AuthorizationFlow(Table):
    """One pending dance, found by the digest of its state and spent once.

    `pins` is a digest of what it was begun with: everybody whom its code and its tokens will be shown to. `held_grant_enc`
    is what it brought, while another account than before has to be confirmed, and `held_account` that account.
    """

    link_id: str
    administrator_id: str
    session_id: str
    state_digest = TextField(primary_key=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
    label = TextField()
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE")
    session = ForeignKeyField(SignInSession, on_delete="CASCADE")
    pins = TextField()
    redirect_uri = TextField()
    scopes = TextField()
    code_verifier_enc = TextField()
    created_at = BigIntegerField()
    expires_at = BigIntegerField()
    spent_at = BigIntegerField(null=True)
    held_grant_enc = TextField(default="")
    held_account = TextField(default="")
