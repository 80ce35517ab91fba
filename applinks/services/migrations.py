"""Changes of the schema, numbered: each brings a database one schema further, in one transaction."""

from applinks.models import Instance, database

SCHEMA = 2

# What a schema needs on top of the one before it.
_STATEMENTS = {
    2: (
        "ALTER TABLE outgoing_link ADD COLUMN found_authentication TEXT NOT NULL DEFAULT ''",
        "DELETE FROM authorization_flow",  # whoever is at a provider just then connects once more
        "ALTER TABLE authorization_flow DROP COLUMN authorization_endpoint",
        "ALTER TABLE authorization_flow DROP COLUMN token_endpoint",
        "ALTER TABLE authorization_flow DROP COLUMN client_id",
        "ALTER TABLE authorization_flow ADD COLUMN pins TEXT NOT NULL DEFAULT ''",
    ),
}


def migrate() -> None:
    """Bring the open database to this release's schema; several processes may start at once."""
    for schema in range(2, SCHEMA + 1):
        with database.atomic():
            if Instance.select().get().schema >= schema:
                continue
            for statement in _STATEMENTS[schema]:
                database.execute_sql(statement)
            Instance.update(schema=schema).execute()
