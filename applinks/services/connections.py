"""Connections: what an administrator does with one that is there. Making one is the dance's, refreshing the refresher's."""

from collections.abc import Callable

from applinks.crypto import UnreadableError
from applinks.errors import NotFoundError
from applinks.models import Connection, database, emptied
from applinks.oauth.answers import Away, Refused, Revoked
from applinks.services import history
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing


class Connections:
    def __init__(self, links: Links, link_client: LinkClient, clock: Callable[[], float]) -> None:
        self._links = links
        self._link_client = link_client
        self._clock = clock

    def find(self, link_id: str, label: str) -> Connection:
        """Raises NotFoundError."""
        connection = Connection.get_or_none(Connection.link == link_id, Connection.label == label)
        if connection is None:
            raise NotFoundError("There is no such connection. It may have been removed.")
        return connection

    def disconnect(self, outgoing: Outgoing, connection: Connection, actor: str) -> str:
        """Wipe a connection's tokens; the row and its history stay. Returns what the provider says, in a sentence."""
        with database.atomic():
            Connection.update(emptied("")).where(Connection.id == connection.id).execute()
            self._record(connection, "disconnected", actor)
        return self._end_grants(outgoing, [connection])

    def remove(self, outgoing: Outgoing, connection: Connection, actor: str) -> str:
        """Delete a connection's row. Returns what the provider says, in a sentence."""
        with database.atomic():
            Connection.delete().where(Connection.id == connection.id).execute()
            self._record(connection, "removed", actor)
        return self._end_grants(outgoing, [connection])

    def delete_link(self, outgoing: Outgoing) -> str:
        """Delete an outgoing link with all that is stored for it. Returns what the provider says, in a sentence."""
        self._links.delete(outgoing.link)
        return self._end_grants(outgoing, outgoing.connections)

    def _record(self, connection: Connection, what: str, actor: str) -> None:
        history.record(connection.link_id, what, at=int(self._clock()), label=connection.label, actor=actor)

    def _end_grants(self, outgoing: Outgoing, ended: list[Connection]) -> str:
        """Tell the provider that grants which aren't stored here any more have ended (RFC 7009).

        Nothing here waits for its consent: a provider that is away is asked once, not once for each grant.
        """
        told = False
        for connection in ended:
            try:
                answer = self._link_client.revoke(outgoing, connection)
            except UnreadableError:
                continue
            if answer is None:
                continue
            if not isinstance(answer, Revoked):
                why = answer.code if isinstance(answer, Refused) else answer.words
                still = "may" if isinstance(answer, Away) else "seems to"
                return f"The provider didn't end the grant ({why.rstrip('.')}): it {still} live on there. End it there, too."
            told = True
        return "The provider has ended the grant, too." if told else ""
