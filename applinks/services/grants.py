"""Keeping a new grant: under its label, in place of what an earlier consent left there."""

from applinks.crypto import new_id
from applinks.models import Connection
from applinks.oauth.answers import Granted
from applinks.services.links import Outgoing
from applinks.services.vault import Vault


def keep(
    vault: Vault, outgoing: Outgoing, label: str, granted: Granted, *, scopes: str, sent_at: int
) -> tuple[Connection, str]:
    """Store a grant that answers a request for `scopes`, sent at `sent_at`; in the caller's transaction.

    Returns the connection, and whether it was connected or reconnected.
    """
    link = outgoing.link
    connection = Connection.get_or_none(Connection.link == link.id, Connection.label == label)
    if connection is None:
        connection = Connection.create(id=new_id(), link=link.id, label=label, created_at=sent_at)
    what = "reconnected" if connection.connected_at else "connected"
    # A new consent brings a new grant: what the old one left behind must not be refreshed with it.
    connection.refresh_token_enc = ""
    connection.connected_at = sent_at
    connection.scopes_asked = scopes
    connection.scopes_granted = scopes
    connection.save()
    vault.store(connection, granted, sent_at=sent_at, without_account=outgoing.profile.without_account)
    return Connection.get_by_id(connection.id), what
