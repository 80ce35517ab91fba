"""A copy of the SQLite file while it is in use, and putting one back. With PostgreSQL, its own tools do both."""

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from peewee import DatabaseError, InterfaceError

from applinks.crypto import KeyRing
from applinks.errors import AppError, StartRefusedError
from applinks.models import Connection, copy_sqlite, database, open_sqlite
from applinks.services.keys_file import EXIT_KEYS, KeysFile
from applinks.services.storage import check_instance
from applinks.settings import Settings


def backup(settings: Settings, file: Path) -> None:
    """Write a copy that only its owner may read, whole or not at all. It holds secrets, but no key.

    Raises AppError.
    """
    if settings.database_url:
        raise AppError(
            f'{settings.database_place} is backed up by PostgreSQL: pg_dump --format=custom --file={file} "$URL", with the '
            "URL of APPLINKS_DATABASE_URL."
        )
    if file.exists():
        raise AppError(f"{file} is there already, and is not written over. Choose another name.")
    part = file.with_name(f".{file.name}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()  # of a backup that was killed
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        copy_sqlite(part)
        _put(part, file)
    except (OSError, sqlite3.Error) as error:
        raise AppError(
            f"{file} can't be written: {getattr(error, 'strerror', None) or error}. There is no backup."
        ) from None
    finally:
        for left in (part, part.with_name(f"{part.name}-journal")):
            with suppress(OSError):
                left.unlink()


def restore(settings: Settings, file: Path) -> int:
    """Put a backup back where there is no database; returns how many connections with tokens it has.

    Raises StartRefusedError, with exit status 3 where its keys aren't there: then nothing is left behind.
    """
    if settings.database_url:
        raise StartRefusedError(
            f'{settings.database_place} is restored by PostgreSQL: pg_restore --dbname="$URL" {file}, into an empty '
            "database with the URL of APPLINKS_DATABASE_URL."
        )
    place = settings.database_file
    journals = [place.with_name(place.name + end) for end in ("-wal", "-shm", "-journal")]
    if left := next((file for file in (place, *journals) if file.exists()), None):
        raise StartRefusedError(
            f"{left} is there already. Set APPLINKS_DATA_DIR to a new folder, or move it away, with all that stands beside it."
        )
    if not settings.keys_file.exists():
        raise StartRefusedError(
            f"A backup holds no keys, and there are none in {settings.keys_file}. Put those there that it was made with, or "
            "set APPLINKS_KEYS_FILE to where they are.",
            EXIT_KEYS,
        )
    keys = KeyRing(KeysFile(settings.keys_file).read())
    connected = _check(file, settings.keys_file, keys)
    part = place.with_name(f".{place.name}.part")
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
            file.open("rb") as copy,
        ):
            shutil.copyfileobj(copy, out)
            out.flush()
            os.fsync(out.fileno())
        _put(part, place)
    except OSError as error:
        raise StartRefusedError(f"{place} can't be written: {error.strerror}. Nothing was restored.") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return connected


def _put(part: Path, file: Path) -> None:
    """Give a whole file its name, never another's. Raises OSError."""
    try:
        os.link(part, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, as on a stick
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(file)


def _check(file: Path, keys_file: Path, keys: KeyRing) -> int:
    """Look through a whole backup; returns how many connections with tokens it has. Raises StartRefusedError."""
    journal = file.with_name(f"{file.name}-wal")
    if journal.exists() and journal.stat().st_size:
        raise StartRefusedError(f"{journal} belongs to {file}, which is a database in use and no backup.")
    if not file.is_file() or not file.stat().st_size:
        raise StartRefusedError(f"{file} is no backup: there is nothing in it.")
    try:
        open_sqlite(file, read_only=True)
        found = database.execute_sql("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise StartRefusedError(f"{file} is damaged: {' '.join(str(found).split())[:200]}. Take another backup.")
        check_instance(str(file), keys_file, keys, read_only=False)
        return Connection.select(Connection.id).where(Connection.access_token_enc != "").count()
    except (DatabaseError, InterfaceError, sqlite3.Error) as error:
        raise StartRefusedError(f"{file} is no backup of Applinks: {' '.join(str(error).split())}.") from None
    finally:
        database.close()
