"""Start-up: the database and its keys, or one clear line why not. Nothing stored is touched when it refuses."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from peewee import DatabaseError, ImproperlyConfigured, InterfaceError

from applinks import crypto
from applinks.errors import StartRefusedError
from applinks.models import TABLES, Instance, Reserve, database, open_postgresql, open_sqlite
from applinks.services.keys_file import EXIT_KEYS, KeysFile
from applinks.services.migrations import SCHEMA, migrate
from applinks.services.sealing import event_key_place
from applinks.settings import Settings

log = logging.getLogger(__name__)

# SQLite's write-ahead log needs memory that all processes share: https://sqlite.org/wal.html
_ELSEWHERE = frozenset(("nfs", "nfs4", "9p", "cifs", "smb3", "smbfs", "ceph", "fuse.sshfs"))


@dataclass(frozen=True)
class Storage:
    """An open database. `event_key` seals the audit log. `read_only`: nothing can be stored, so nothing may be refreshed."""

    keys: crypto.KeyRing
    event_key: bytes
    read_only: bool


def open_storage(settings: Settings, *, may_make: bool = True) -> Storage:
    """Open the database; on a first start it is made together with its keys, where this one `may_make` them.

    Raises StartRefusedError: exit status 3 where keys are missing, wrong or readable by others, 2 for anything else.
    """
    place = settings.database_place
    if may_make:
        _make_folder(settings.data_dir)
    with _one_start_at_a_time(settings.data_dir):
        try:
            read_only = False if settings.database_url else _is_read_only(settings.database_file)
            if settings.database_url:
                open_postgresql(settings.database_url)
                existed = database.table_exists("instance")
            else:
                _warn_of_network_folder(settings.data_dir)
                open_sqlite(settings.database_file, read_only=read_only)
                existed = settings.database_file.exists() and settings.database_file.stat().st_size > 0
            if not existed and not may_make:
                raise StartRefusedError(f"There is no Applinks in {place} yet. Start the server first.")
            had_keys = settings.keys_file.exists()
            keys = _keys(settings, place, existed=existed)
            if not existed:
                _create(settings, keys, had_keys=had_keys)
            check_instance(place, settings.keys_file, keys, read_only=read_only)
            if not read_only:
                migrate(keys)
            event_key = _event_key(keys)
        except ImproperlyConfigured:
            raise StartRefusedError(
                "APPLINKS_DATABASE_URL needs psycopg. Run: pip install -r requirements-postgresql.txt"
            ) from None
        except (DatabaseError, InterfaceError) as error:
            restore = " Restore a backup of it." if "malformed" in str(error) else ""
            raise StartRefusedError(f"{place} can't be used as a database: {_in_one_line(error)}.{restore}") from None
    return Storage(keys, event_key, read_only)


def _keys(settings: Settings, place: str, *, existed: bool) -> crypto.KeyRing:
    file = settings.keys_file
    if existed and not file.exists():
        raise StartRefusedError(
            f"{place} holds secrets, and their keys aren't in {file}. Put the keys back, or set APPLINKS_KEYS_FILE to "
            "where they are.",
            EXIT_KEYS,
        )
    if not existed and file == settings.data_dir / "keys" and file.exists():
        raise StartRefusedError(f"{file} is there but the database {place} is missing or empty. {_advice(settings)}")
    if not existed and not file.exists():
        _make_keys(file)
    found = KeysFile(file, _fit)
    return crypto.KeyRing(found.read(), found.news)


def _make_keys(file: Path) -> None:
    """Make keys, unless another machine that shares the file has just done so; there is never half a file of them."""
    new = file.with_name(f"{file.name}.{crypto.new_id()}")
    try:
        _write_private(new, crypto.write_keys([crypto.new_encryption_key()]))
        with suppress(FileExistsError):
            os.link(new, file)
    except StartRefusedError as error:
        raise StartRefusedError(str(error).replace(str(new), str(file), 1)) from None
    except OSError as error:
        raise StartRefusedError(f"{file} can't be written: {error.strerror}.") from None
    finally:
        new.unlink(missing_ok=True)


def _advice(settings: Settings) -> str:
    """What to do about keys without their database."""
    if not settings.database_url:
        return "Restore a backup of it, set APPLINKS_DATABASE_URL if it is in PostgreSQL, or move the keys away to begin anew."
    if settings.database_file.exists():
        return (
            "These keys belong to the SQLite file beside them, and nothing moves from there: keep both, and set "
            "APPLINKS_DATA_DIR to another folder."
        )
    return "Is it the right one? To begin anew there, set APPLINKS_KEYS_FILE to these keys or to a file that isn't there yet."


@contextmanager
def _one_start_at_a_time(folder: Path) -> Iterator[None]:
    """Several processes may start at once; the first one makes what isn't there yet."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # then nothing is made there
        yield
        return
    except OSError as error:
        raise StartRefusedError(f"The data folder {folder} can't be read: {error.strerror}.") from None
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StartRefusedError(f"The data folder {folder} is a file, not a folder.") from None
    except OSError as error:
        raise StartRefusedError(f"The data folder {folder} can't be made: {error.strerror}.") from None


def _is_read_only(file: Path) -> bool:
    return file.exists() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _warn_of_network_folder(folder: Path) -> None:
    """Where the system tells what is mounted."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return
    above = [(place, kind) for place, kind in mounts if folder.is_relative_to(place)]
    kind = max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]
    if kind in _ELSEWHERE:
        log.warning(
            "%s is on %s, where SQLite's write-ahead log doesn't work. Use a local disk, or PostgreSQL.", folder, kind
        )


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        with suppress(OSError):
            file.unlink()  # half a file of keys would keep the next start from making whole ones
        raise StartRefusedError(f"{file} can't be written: {error.strerror}.") from None


def _key_check_place(instance_id: str) -> crypto.Place:
    return crypto.Place("instance", instance_id, "key_check")


def check_instance(place: str, keys_file: Path, keys: crypto.KeyRing, *, read_only: bool) -> None:
    """Whether the open database is one of ours, of this release or an earlier one, and its keys are here.

    Raises StartRefusedError.
    """
    if not database.table_exists("instance"):
        raise StartRefusedError(f"{place} is a database, but not one of Applinks.")
    instance = Instance.select(Instance.id, Instance.schema, Instance.key_check).first()
    if instance is None:
        raise StartRefusedError(f"{place} has lost its first row. Restore a backup of it.")
    if instance.schema > SCHEMA:
        raise StartRefusedError(f"{place} was written by a newer release (schema {instance.schema}, not {SCHEMA}).")
    if instance.schema < SCHEMA and read_only:
        raise StartRefusedError(
            f"{place} is of an earlier release and can only be read: make it writable for one start."
        )
    try:
        keys.open(instance.key_check, _key_check_place(instance.id))
    except crypto.UnreadableError:
        raise StartRefusedError(
            f"The keys in {keys_file} aren't those of {place}: put back the ones that it was made with.", EXIT_KEYS
        ) from None


def _fit(keys: list[crypto.Key]) -> bool:
    """Whether keys are those of the open database."""
    return keys_fit(crypto.KeyRing(keys))


def keys_fit(keys: crypto.KeyRing) -> bool:
    """The same of a ring of keys."""
    instance = Instance.select(Instance.id, Instance.key_check).get()
    with suppress(crypto.UnreadableError):
        return bool(keys.open(instance.key_check, _key_check_place(instance.id)))
    return False


def _event_key(keys: crypto.KeyRing) -> bytes:
    """A key of its own, so that new encryption keys leave the audit log as it is."""
    instance = Instance.select(Instance.id, Instance.event_key_enc).get()
    return bytes.fromhex(keys.open(instance.event_key_enc, event_key_place(instance.id)))


def _create(settings: Settings, keys: crypto.KeyRing, *, had_keys: bool) -> None:
    """Make the database; where that fails, the keys made for it go again, so that the next start is a first one too."""
    try:
        if not settings.database_url:
            _write_private(settings.database_file, "")
        _create_instance(keys)
    except (DatabaseError, InterfaceError):
        if not had_keys:
            settings.keys_file.unlink()
        raise


def _create_instance(keys: crypto.KeyRing) -> None:
    """Make every table, unless another machine has just done so."""
    with database.atomic():
        if database.table_exists("instance"):
            return
        database.create_tables(TABLES)
        instance_id = crypto.new_id()
        Instance.create(
            id=instance_id,
            schema=SCHEMA,
            key_check=keys.seal("applinks", _key_check_place(instance_id)),
            event_key_enc=keys.seal(crypto.new_key().hex(), event_key_place(instance_id)),
            created_at=int(time.time()),
        )
        Reserve.create(id=1)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".?!")
