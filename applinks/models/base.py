"""The database and what every table shares. Times are whole seconds since 1970, in UTC.

Both databases behave alike: statements commit by themselves or in a transaction that begins as the only writer, and a
commit that was answered survives a power cut.
"""

import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
from peewee import (
    DatabaseProxy,
    InterfaceError,
    Model,
    OperationalError,
    PostgresqlDatabase,
    SqliteDatabase,
)

BUSY_SECONDS = 5

# Per connection, so they are given to every one that is opened. FULL: a commit survives a power cut.
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": 1,
    "busy_timeout": BUSY_SECONDS * 1000,
    "trusted_schema": 0,
    "secure_delete": 1,
}
# The same for PostgreSQL. A process that stands still in a transaction may not keep the others waiting for ever.
SESSION = {
    "synchronous_commit": "on",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}
# A machine that has fallen silent is given up within seconds, not after the quarter of an hour that TCP allows.
_ALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_TRIAL_SECONDS = 0.5
_WRITERS = 0x6170706C  # the number of the lock that writers of a PostgreSQL database hold

database = DatabaseProxy()


class Table(Model):
    class Meta:
        database = database
        legacy_table_names = False


class _Sqlite(SqliteDatabase):
    def rollback(self) -> Any:
        """A full disk ends a transaction by itself; another rollback would fail and hide that."""
        return super().rollback() if self.connection().in_transaction else None  # type: ignore[no-untyped-call]


class _Postgresql(PostgresqlDatabase):
    """Connects anew when the server was restarted, wherever nothing can be done twice by that."""

    def __init__(self, url: str, **how: Any) -> None:
        super().__init__(url, **how)
        self._own = threading.local()
        self._away = False
        self._trial = threading.Lock()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Connect this thread, not under peewee's lock of all threads: at a server that has fallen silent, each would wait
        for the one before it. Raises OperationalError, soon while somebody else finds out whether it is back.
        """
        if not self.is_closed():
            return bool(super().connect(reuse_if_open))
        alone = self._away and self._trial.acquire(timeout=_TRIAL_SECONDS)
        if self._away and not alone:
            raise OperationalError("The database doesn't answer.")
        try:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                self._own.connection = self._reach()
            self._away = False
        except (OperationalError, InterfaceError):
            self._away = True
            raise
        finally:
            if alone:
                self._trial.release()
        return bool(super().connect())

    def _reach(self) -> Any:
        connection = super()._connect()  # type: ignore[misc]
        try:
            for name, value in SESSION.items():
                connection.execute(f"SET {name} = '{value}'")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Any:
        return self._own.connection

    def begin(self, isolation_level: str | None = None) -> None:
        """One writer at a time, as SQLite has it: what a transaction reads stays as it is until its end."""
        try:
            super().begin(isolation_level)
        except (OperationalError, InterfaceError):
            self.close()
            self.connect()
            super().begin(isolation_level)
        try:
            super().execute_sql("SELECT pg_advisory_xact_lock(%s)", (_WRITERS,))  # type: ignore[no-untyped-call]
        except BaseException:
            self.rollback()
            raise

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        try:
            return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]
        except (OperationalError, InterfaceError):
            if self.in_transaction() or self.is_connection_usable():
                raise
            self.close()  # the next statement connects anew
            if not sql.startswith("SELECT"):
                raise
            self.connect()
            return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]


def execute_many(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one statement for many rows, in the caller's transaction."""
    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
        database.cursor().executemany(sql, rows)


def _bind(opened: SqliteDatabase | PostgresqlDatabase) -> None:
    if database.obj is not None:
        database.close()
    database.initialize(opened)


def open_sqlite(file: Path, *, read_only: bool = False) -> None:
    """Bind every table to an SQLite file; every transaction begins as a writer (BEGIN IMMEDIATE).

    One connection a thread, opened with its pragmas when it is first needed. `read_only` is for a file or a folder that
    nobody can write to.
    """
    if read_only:
        journal = file.with_name(f"{file.name}-wal")
        still = "" if journal.exists() and journal.stat().st_size else "&immutable=1"
        pragmas = {name: value for name, value in PRAGMAS.items() if name != "journal_mode"}
        _bind(_Sqlite(f"file:{quote(str(file))}?mode=ro{still}", uri=True, pragmas=pragmas))
    else:
        _bind(_Sqlite(str(file), pragmas=PRAGMAS, lock_type="IMMEDIATE"))


def open_postgresql(url: str) -> None:
    """Bind every table to a PostgreSQL database; one connection a thread, opened when it is first needed."""
    _bind(_Postgresql(url, prefer_psycopg3=True, connect_timeout=BUSY_SECONDS, application_name="applinks", **_ALIVE))


def copy_sqlite(file: Path) -> None:
    """Copy the open SQLite file into an empty one, as of one moment, and look whether the copy is whole.

    Raises sqlite3.Error or OSError.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        database.connection().backup(copy)
        copy.execute("PRAGMA journal_mode=delete")  # one file, with nothing beside it
        (found,) = copy.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged, as the database may be: {found}")
    with file.open("rb") as written:
        os.fsync(written.fileno())


def compact() -> None:
    """Let nothing of what was written over stay in SQLite's write-ahead log, as far as others let go of it."""
    if isinstance(database.obj, SqliteDatabase):
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
