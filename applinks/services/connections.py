"""Connections: what an administrator does with one that is there. Making one is the dance's, refreshing the refresher's."""

from collections.abc import Callable

from applinks.errors import NotFoundError
from applinks.models import Connection, State, database
from applinks.services import history


class Connections:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def find(self, link_id: str, label: str) -> Connection:
        """Raises NotFoundError."""
        connection = Connection.get_or_none(Connection.link == link_id, Connection.label == label)
        if connection is None:
            raise NotFoundError("There is no such connection. It may have been removed.")
        return connection

    def disconnect(self, connection: Connection, actor: str) -> None:
        """Wipe a connection's tokens; the row and its history stay."""
        with database.atomic():
            Connection.update(emptied("")).where(Connection.id == connection.id).execute()
            history.record(
                connection.link_id, "disconnected", at=int(self._clock()), label=connection.label, actor=actor
            )

    def remove(self, connection: Connection, actor: str) -> None:
        """Delete a connection's row."""
        with database.atomic():
            Connection.delete().where(Connection.id == connection.id).execute()
            history.record(connection.link_id, "removed", at=int(self._clock()), label=connection.label, actor=actor)


def emptied(words: str) -> dict[object, object]:
    """The columns of a connection without tokens. The new generation makes a refresh under way come to nothing."""
    return {
        Connection.state: State.DISCONNECTED,
        Connection.words: words,
        Connection.access_token_enc: "",
        Connection.refresh_token_enc: "",
        Connection.scopes_granted: "",
        Connection.expires_at: None,
        Connection.next_attempt_at: None,
        Connection.failures: 0,
        Connection.lease_owner: "",
        Connection.lease_until: 0,
        Connection.generation: Connection.generation + 1,
    }
