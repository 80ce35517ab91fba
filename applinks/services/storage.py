"""Start-up: the database and its keys, or one clear line why not. Nothing stored is touched when it refuses."""

import os
import stat
import time
from pathlib import Path

from peewee import DatabaseError

from applinks import crypto
from applinks.errors import StartRefusedError
from applinks.models import TABLES, Instance, database, open_database
from applinks.services.migrations import SCHEMA, migrate
from applinks.settings import Settings

EXIT_KEYS = 3


def open_storage(settings: Settings) -> crypto.KeyRing:
    """Open the database, made on a first start together with its keys.

    Raises StartRefusedError: exit status 3 where keys are missing, wrong or readable by others, 2 for anything else.
    """
    file = settings.database_file
    _make_folder(settings.data_dir)
    existed = file.exists() and file.stat().st_size > 0
    if existed and not settings.keys_file.exists():
        raise StartRefusedError(
            f"{file} holds secrets, and their keys aren't in {settings.keys_file}. Put the keys back, or set "
            "APPLINKS_KEYS_FILE to where they are.",
            EXIT_KEYS,
        )
    if not existed and settings.keys_file == settings.data_dir / "keys" and settings.keys_file.exists():
        raise StartRefusedError(
            f"{settings.keys_file} is there but the database {file} is missing or empty. Restore a backup of it, or "
            "move the keys away to begin anew."
        )
    if not existed and not settings.keys_file.exists():
        _write_private(settings.keys_file, crypto.new_keys_text())
    keys = _read_keys(settings.keys_file)
    open_database(file)
    try:
        if existed:
            _check_instance(file, settings.keys_file, keys)
            migrate()
        else:
            _write_private(file, "")
            _create_instance(keys)
    except DatabaseError as error:
        raise StartRefusedError(f"{file} can't be used as a database: {error}.") from None
    return keys


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefusedError(f"The data folder {folder} can't be made: {error.strerror}.") from None


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StartRefusedError(f"{file} can't be written: {error.strerror}.") from None


def _read_keys(file: Path) -> crypto.KeyRing:
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise StartRefusedError(f"Others may read the keys in {file}. Run: chmod 600 {file}", EXIT_KEYS)
        return crypto.KeyRing.parse(file.read_text("ascii"))
    except crypto.BadKeysError as error:
        raise StartRefusedError(f"{file} is no keys file: {error}.", EXIT_KEYS) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefusedError(f"The keys in {file} can't be read: {error}.", EXIT_KEYS) from None


def _key_check_place(instance_id: str) -> crypto.Place:
    return crypto.Place("instance", instance_id, "key_check")


def _check_instance(file: Path, keys_file: Path, keys: crypto.KeyRing) -> None:
    if not database.table_exists("instance"):
        raise StartRefusedError(f"{file} is a database, but not one of Applinks.")
    instance = Instance.select().first()
    if instance is None:
        raise StartRefusedError(f"{file} has lost its first row. Restore a backup of it.")
    if instance.schema > SCHEMA:
        raise StartRefusedError(f"{file} was written by a newer release (schema {instance.schema}, not {SCHEMA}).")
    try:
        keys.open(instance.key_check, _key_check_place(instance.id))
    except crypto.UnreadableError:
        raise StartRefusedError(
            f"The keys in {keys_file} aren't those of {file}: put back the ones that it was made with.", EXIT_KEYS
        ) from None


def _create_instance(keys: crypto.KeyRing) -> None:
    with database.atomic():
        database.create_tables(TABLES)
        instance_id = crypto.new_id()
        check = keys.seal("applinks", _key_check_place(instance_id))
        Instance.create(id=instance_id, schema=SCHEMA, key_check=check, created_at=int(time.time()))
