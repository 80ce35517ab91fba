"""The database and what every table shares. Times are whole seconds since 1970, in UTC."""

from pathlib import Path

from peewee import DatabaseProxy, Model, SqliteDatabase

# Per connection, so they are given to every one that is opened. FULL: a commit survives a power cut.
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "trusted_schema": 0,
    "secure_delete": 1,
}

database = DatabaseProxy()


class Table(Model):
    class Meta:
        database = database
        legacy_table_names = False


def open_database(file: Path) -> None:
    """Bind every table to an SQLite file; every transaction begins as a writer (BEGIN IMMEDIATE).

    One connection a thread, opened with its pragmas when it is first needed.
    """
    database.initialize(SqliteDatabase(str(file), pragmas=PRAGMAS, lock_type="IMMEDIATE"))
