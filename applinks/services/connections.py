"""Connections: what an administrator does with one that is there. Making one is the dance's, refreshing the refresher's."""

import time
from dataclasses import dataclass

from applinks.crypto import UnreadableError
from applinks.errors import NotFoundError
from applinks.models import Connection, database, emptied
from applinks.oauth.answers import Refused, Revoked
from applinks.services.events import Actor, Events
from applinks.services.link_client import LinkClient
from applinks.services.links import Outgoing

REVOKE_SECONDS = 15.0


@dataclass(frozen=True)
class Ending:
    """What became of a grant at the provider, in `words`, empty for nothing; `done` where nothing is left to do."""

    done: bool
    words: str


class Connections:
    def __init__(self, link_client: LinkClient, events: Events) -> None:
        self._link_client = link_client
        self._events = events

    def find(self, link_id: str, label: str) -> Connection:
        """Raises NotFoundError."""
        connection = Connection.get_or_none(Connection.link == link_id, Connection.label == label)
        if connection is None:
            raise NotFoundError("There is no such connection. It may have been removed.")
        return connection

    def disconnect(self, link_id: str, label: str, actor: Actor) -> Connection:
        """Wipe a connection's tokens; the row and its history stay. Returns the row with what it held.

        Raises NotFoundError.
        """
        with database.atomic():
            connection = self.find(link_id, label)
            Connection.update(emptied("")).where(Connection.id == connection.id).execute()
            self._record(connection, "disconnected", actor)
        return connection

    def remove(self, link_id: str, label: str, actor: Actor) -> Connection:
        """Delete a connection's row. Returns it with what it held. Raises NotFoundError."""
        with database.atomic():
            connection = self.find(link_id, label)
            Connection.delete().where(Connection.id == connection.id).execute()
            self._record(connection, "removed", actor)
        return connection

    def end_grants(self, outgoing: Outgoing, ended: list[Connection]) -> Ending:
        """Tell the provider that grants which aren't stored here any more have ended (RFC 7009).

        Nothing here waits for the provider's consent, and one that is away or slow isn't asked once for each grant.
        """
        told, began = False, time.monotonic()
        for connection in ended:
            if time.monotonic() - began > REVOKE_SECONDS:
                return _not_ended("it takes too long to answer")
            try:
                answer = self._link_client.revoke(outgoing, connection)
            except UnreadableError:
                continue
            if answer is None:
                continue
            if not isinstance(answer, Revoked):
                return _not_ended(answer.code if isinstance(answer, Refused) else answer.words)
            told = True
        if told:
            return Ending(done=True, words="The provider has ended the grant, too.")
        granted = any(connection.access_token_enc for connection in ended)
        if granted and not outgoing.profile.revocation_endpoint:
            return Ending(
                done=True, words="The provider was not told. If nobody should use the grant, end it there, too."
            )
        return Ending(done=True, words="")

    def _record(self, connection: Connection, what: str, actor: Actor) -> None:
        self._events.record(actor, what, connection.link_id, label=connection.label)


def _not_ended(why: str) -> Ending:
    words = f"The provider didn't end the grant ({why.rstrip('.')}): it may live on there. End it there, too."
    return Ending(done=False, words=words)


NOT_ASKED = _not_ended("too many providers are being asked at once")
