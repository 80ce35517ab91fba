"""A look at everything stored, for the console: what works, what needs a person, and what happened to it."""

from dataclasses import dataclass

from peewee import DatabaseError, SqliteDatabase

from applinks.crypto import UnreadableError
from applinks.models import ApplicationLink, Connection, Event, State, database
from applinks.services.events import Events
from applinks.services.links import NEEDS_A_PERSON
from applinks.services.vault import Vault

LINES = 5


@dataclass(frozen=True)
class Inspected:
    """A connection as it is; `state` is unreadable where its secrets can't be opened, whatever its row says."""

    link: ApplicationLink
    connection: Connection
    state: State
    events: list[Event]

    @property
    def needs_a_person(self) -> bool:
        return self.state in NEEDS_A_PERSON


class Inspection:
    def __init__(self, vault: Vault, events: Events) -> None:
        self._vault = vault
        self._events = events

    def damage(self) -> str:
        """What the database finds wrong with its own file, empty for nothing. PostgreSQL looks after that itself."""
        if not isinstance(database.obj, SqliteDatabase):
            return ""
        try:
            found = [str(row[0]) for row in database.execute_sql("PRAGMA integrity_check(3)").fetchall()]
        except DatabaseError as error:
            found = [str(error)]
        return "" if found == ["ok"] else "; ".join(found)

    def connections(self) -> list[Inspected]:
        """Every connection by link and label, with its newest events."""
        rows = Connection.select(Connection, ApplicationLink).join(ApplicationLink)
        ordered = rows.order_by(ApplicationLink.name_key, Connection.created_at, Connection.label)
        return [
            Inspected(row.link, row, self._state(row), self._events.recent(row.link_id, LINES, label=row.label))
            for row in ordered
        ]

    def _state(self, connection: Connection) -> State:
        try:
            if connection.access_token_enc:
                self._vault.access_token(connection)
            if connection.refresh_token_enc:
                self._vault.refresh_token(connection)
        except UnreadableError:
            return State.UNREADABLE
        return State(connection.state)
