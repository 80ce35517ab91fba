"""Changes of the schema, numbered: each brings a database one schema further, in one transaction.

peewee's own migrator writes what SQLite and PostgreSQL say differently. Its runner isn't used: it reads what is to be done
before it begins a transaction, and several processes may start at once.
"""

from collections.abc import Callable

from peewee import SQL, BigIntegerField, Field, IntegerField, Model, Node, TextField
from playhouse.migrate import SchemaMigrator

from applinks.models import Instance, database

SCHEMA = 3

_EMPTY: list[Node] = [SQL("DEFAULT ''")]


def _add(table: str, **columns: Field) -> None:
    """Columns that take a null, or say their default in the database: no row is rewritten for them."""
    migrator = SchemaMigrator.from_database(database.obj)
    for name, column in columns.items():
        migrator.add_column(table, name, column, allow_not_null=True).run()


def _drop(table: str, *names: str) -> None:
    migrator = SchemaMigrator.from_database(database.obj)
    for name in names:
        migrator.drop_column(table, name).run()


def _to_2() -> None:
    """Client authentication that was found by trying; flows pinned to a digest."""
    _add("outgoing_link", found_authentication=TextField(constraints=_EMPTY))
    database.execute_sql("DELETE FROM authorization_flow")  # whoever is at a provider just then connects once more
    _drop("authorization_flow", "authorization_endpoint", "token_endpoint", "client_id")
    _add("authorization_flow", pins=TextField(constraints=_EMPTY))


def _to_3() -> None:
    """What a refresh needs to be interrupted anywhere. Tables stand here as they were then, whatever became of them."""

    class Then(Model):
        class Meta:
            database = database.obj
            legacy_table_names = False

    class Heartbeat(Then):
        process = TextField(primary_key=True)
        place = TextField()
        at = BigIntegerField()

    class Reserve(Then):
        id = IntegerField(primary_key=True)
        block = TextField()

    _add(
        "connection",
        previous_refresh_token_enc=TextField(constraints=_EMPTY),
        failed_since=BigIntegerField(null=True),
        intent_generation=IntegerField(null=True),
    )
    database.create_tables([Heartbeat, Reserve])
    Reserve.create(id=1, block="")


_STEPS: dict[int, Callable[[], None]] = {2: _to_2, 3: _to_3}


def migrate() -> None:
    """Bring the open database to this release's schema; several processes may start at once."""
    for schema in range(2, SCHEMA + 1):
        with database.atomic():
            if Instance.select().get().schema >= schema:
                continue
            _STEPS[schema]()
            Instance.update(schema=schema).execute()
