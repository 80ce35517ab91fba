"""Starting: the first time, every time after, and whenever it must not."""

import hashlib
import stat
import threading
from pathlib import Path

import pytest
from peewee import AutoField, BigIntegerField, ForeignKeyField, IntegerField, TextField

from applinks.errors import StartRefusedError
from applinks.models import (
    Administrator,
    ApplicationLink,
    Consent,
    IncomingLink,
    Instance,
    IssuedGrant,
    IssuedToken,
    LinkWord,
    Reserve,
    database,
    open_postgresql,
    open_sqlite,
)
from applinks.models.base import Table
from applinks.services.events import Events, Filter
from applinks.services.migrations import SCHEMA
from applinks.services.storage import open_storage
from applinks.settings import Settings


@pytest.fixture
def started(settings: Settings) -> Settings:
    """A data folder that was started with once."""
    open_storage(settings)
    database.close()
    return settings


def refused(settings: Settings, exit_status: int, says: str) -> None:
    """The start is refused with one line, and nothing stored is touched."""
    before = stored(settings)
    with pytest.raises(StartRefusedError, match=says) as error:
        open_storage(settings)
    database.close()
    assert error.value.exit_status == exit_status
    assert "\n" not in str(error.value)
    assert stored(settings) == before


def stored(settings: Settings) -> dict[str, str]:
    files = [
        file for file in settings.data_dir.iterdir() if file.is_file() and not file.name.endswith(("-wal", "-shm"))
    ]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.sqlite
def test_it_makes_database_and_keys_that_only_their_owner_reads(started: Settings) -> None:
    """A191"""
    assert mode(started.data_dir) == 0o700
    assert mode(started.database_file) == 0o600
    assert mode(started.keys_file) == 0o600


def test_it_starts_again_on_the_same_data(started: Settings) -> None:
    first = Instance.get().id
    before = stored(started)
    open_storage(started)
    assert Instance.get().id == first
    database.close()
    assert stored(started)["keys"] == before["keys"]


def test_it_refuses_to_start_without_its_keys(started: Settings) -> None:
    """A090"""
    started.keys_file.unlink()
    refused(started, 3, "Put the keys back")
    assert not started.keys_file.exists()


def test_it_refuses_to_start_with_other_keys(started: Settings, tmp_path: Path) -> None:
    """A091, A092"""
    started.keys_file.write_text("other:" + "A" * 43 + "=\n")
    refused(started, 3, "aren't those of")


@pytest.mark.parametrize("text", ["", "x", "one:AAAA", "\x00\xff"])
def test_it_refuses_to_start_with_a_broken_keys_file(started: Settings, text: str) -> None:
    started.keys_file.write_text(text)
    refused(started, 3, "keys")


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o604, 0o666])
def test_it_refuses_keys_that_others_may_read(started: Settings, permissions: int) -> None:
    """A190"""
    started.keys_file.chmod(permissions)
    refused(started, 3, "chmod 600")


def test_it_refuses_a_folder_in_place_of_the_keys(started: Settings) -> None:
    started.keys_file.unlink()
    started.keys_file.mkdir(mode=0o700)
    refused(started, 3, "can't be read")


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_it_refuses_keys_whose_database_is_gone(started: Settings, how: str) -> None:
    """F20: an empty file opens fine, as a new and empty Applinks."""
    if started.database_url:
        database.execute_sql("DROP SCHEMA public CASCADE")
        database.execute_sql("CREATE SCHEMA public")
        database.close()
    else:
        started.database_file.unlink()
    if how == "empty":
        started.database_file.touch()
    refused(started, 2, "missing or empty")


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\x00" * 4096])
def test_it_refuses_what_is_no_database(started: Settings, content: bytes) -> None:
    started.database_file.write_bytes(content)
    for leftover in started.data_dir.glob("*-wal"):
        leftover.unlink()
    refused(started, 2, "database")


def test_it_refuses_a_database_of_something_else(started: Settings) -> None:
    database.execute_sql("DROP TABLE instance")
    database.close()
    refused(started, 2, "missing or empty" if started.database_url else "not one of Applinks")


def test_it_refuses_a_newer_schema(started: Settings) -> None:
    """A193"""
    Instance.update(schema=99).execute()
    database.close()
    refused(started, 2, "newer release")


def columns() -> dict[str, list[tuple[str, str, bool]]]:
    """Every table with its columns: name, type, and whether it takes a null."""
    return {
        table: sorted((column.name, column.data_type.upper(), column.null) for column in database.get_columns(table))
        for table in database.get_tables()
    }


class EarlierEvent(Table):
    """A line of history as it was before schema 4."""

    id = AutoField()
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
    label = TextField(default="")
    what = TextField()
    words = TextField(default="")
    actor = TextField(default="")
    at = BigIntegerField()
    count = IntegerField(default=1)

    class Meta:
        table_name = "event"


class EarlierCode(Table):
    """A code as it was before schema 6."""

    code_digest = TextField(primary_key=True)

    class Meta:
        table_name = "authorization_code"


class EarlierToken(Table):
    """A pair of tokens as it was before schema 6."""

    access_digest = TextField(primary_key=True)
    refresh_digest = TextField(unique=True)
    family = TextField(index=True)
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
    administrator = ForeignKeyField(Administrator, on_delete="CASCADE")
    scopes = TextField()
    access_expires_at = BigIntegerField()
    refresh_expires_at = BigIntegerField()
    spent_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)

    class Meta:
        table_name = "issued_token"


def go_back_to(schema: int) -> None:
    """Make the tables of an earlier release out of today's."""
    if schema < 7:
        for table in ("figure", "told", "alert"):
            database.execute_sql(f"DROP TABLE {table}")
        database.execute_sql("ALTER TABLE administrator DROP COLUMN calendar_digest")
        for column in ("next_client_secret_enc", "next_client_secret_set_at", "next_client_secret_ends_at"):
            database.execute_sql(f"ALTER TABLE outgoing_link DROP COLUMN {column}")
    if schema < 6:
        for table in ("issued_token", "authorization_code", "issued_grant", "consent"):
            database.execute_sql(f"DROP TABLE {table}")
        for column in (
            *("client_secret_set_at", "previous_secret_digest", "previous_secret_until", "grant_types"),
            *("token_links", "refresh_idle_life", "refresh_life", "disabled_at"),
        ):
            database.execute_sql(f"ALTER TABLE incoming_link DROP COLUMN {column}")
        database.create_tables([EarlierCode, EarlierToken])
    if schema < 5:
        database.execute_sql("DROP INDEX connection_state")
        for table, column in (
            ("outgoing_link", "client_secret_ends_at"),
            ("outgoing_link", "certificate_ends_at"),
            ("authorization_flow", "held_grant_enc"),
            ("authorization_flow", "held_account"),
        ):
            database.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
    if schema < 4:
        for table in ("tally", "event", "api_key_link", "api_key", "link_word"):
            database.execute_sql(f"DROP TABLE {table}")
        for table, column in (
            ("instance", "event_key_enc"),
            ("instance", "events_end"),
            ("administrator", "disabled_at"),
        ):
            database.execute_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.create_tables([EarlierEvent])
    if schema < 3:
        for column in ("previous_refresh_token_enc", "failed_since", "intent_generation"):
            database.execute_sql(f"ALTER TABLE connection DROP COLUMN {column}")
        database.execute_sql("DROP TABLE heartbeat")
        database.execute_sql("DROP TABLE reserve")
    if schema < 2:
        database.execute_sql("ALTER TABLE outgoing_link DROP COLUMN found_authentication")
        database.execute_sql("ALTER TABLE authorization_flow DROP COLUMN pins")
        for column in ("authorization_endpoint", "token_endpoint", "client_id"):
            database.execute_sql(f"ALTER TABLE authorization_flow ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")
    Instance.update(schema=schema).execute()


@pytest.mark.parametrize("schema", range(1, SCHEMA))
def test_it_brings_an_earlier_schema_up_to_date(started: Settings, schema: int) -> None:
    """A193"""
    made_new = columns()
    go_back_to(schema)
    assert columns() != made_new
    database.close()
    for _ in range(2):
        open_storage(started)
        assert Instance.get().schema == SCHEMA
        assert columns() == made_new
        assert Reserve.select().count() == 1
        database.close()


def test_it_carries_history_over_into_a_chain_that_is_whole(started: Settings) -> None:
    """A173, A193: with how often each line had happened."""
    row = {"slug": "pay", "name": "Pay roll", "name_key": "pay roll", "direction": "incoming"}
    ApplicationLink.create(id="a" * 32, created_at=1, updated_at=1, **row)
    go_back_to(3)
    for what, actor, count in (("created", "ada", 1), ("refreshed", "", 720)):
        EarlierEvent.create(link="a" * 32, label="default", what=what, actor=actor, at=5, count=count)
    database.close()
    events = Events(open_storage(started).event_key, lambda: 6)
    lines = [(event.what, event.actor_kind, event.slug, event.count) for event in events.all(Filter())]
    assert lines == [("created", "administrator", "pay", 1), ("refreshed", "", "pay", 720)]
    assert events.verify().problems == ()
    assert sorted(bytes(found.word) for found in LinkWord.select()) == [b"pay", b"roll"]
    database.close()


def test_it_carries_over_what_it_gave_to_applications(started: Settings) -> None:
    """A193: tokens of an earlier release live on, in one grant a family; what was revoked is gone."""
    link = {"slug": "pay", "name": "Pay", "name_key": "pay", "direction": "incoming", "created_at": 7, "updated_at": 7}
    ApplicationLink.create(id="a" * 32, **link)
    Administrator.create(id="b" * 32, username="ada", password_hash="", created_at=1)
    go_back_to(5)
    database.execute_sql(
        "INSERT INTO incoming_link (link_id, client_id, client_secret_digest, redirect_uris, scopes, access_token_life)"
        f" VALUES ('{'a' * 32}', 'pay', 'd', 'https://a.example/', 'profile', 60)"
    )
    ends = 10_000_000_000
    for number, (family, spent, revoked) in enumerate([("one", 5, None), ("one", None, None), ("two", None, 9)]):
        EarlierToken.create(
            access_digest=f"a{number}",
            refresh_digest=f"r{number}",
            family=family,
            link="a" * 32,
            administrator="b" * 32,
            scopes="profile",
            access_expires_at=ends,
            refresh_expires_at=ends + number,
            spent_at=spent,
            revoked_at=revoked,
        )
    database.close()
    open_storage(started)
    tokens = [(row.access_digest, row.refresh_digest, row.grant_id, row.spent_at) for row in IssuedToken.select()]
    assert sorted(tokens) == [("a0", "r0", "one", 5), ("a1", "r1", "one", None)]
    grant, consent, incoming = IssuedGrant.get(), Consent.get(), IncomingLink.get()
    assert (grant.id, grant.consent_id, grant.ends_at) == ("one", consent.id, ends + 1)
    assert (consent.link_id, consent.administrator_id, consent.scopes) == ("a" * 32, "b" * 32, "profile")
    assert (incoming.client_secret_set_at, incoming.grant_types) == (7, "authorization_code")
    database.close()


def test_it_leaves_the_schema_as_it_was_where_a_migration_fails(started: Settings) -> None:
    """A193: each is one transaction."""
    go_back_to(2)
    database.execute_sql("CREATE TABLE reserve (id INTEGER)")  # in the way of the last statement but one
    before = columns()
    database.close()
    refused(started, 2, "can't be used as a database")
    open_database(started)
    assert columns() == before
    assert Instance.select(Instance.schema).scalar() == 2
    database.close()


def open_database(settings: Settings) -> None:
    if settings.database_url:
        open_postgresql(settings.database_url)
    else:
        open_sqlite(settings.database_file)


@pytest.mark.sqlite
def test_it_opens_every_connection_with_its_pragmas(started: Settings) -> None:
    """A192"""
    open_storage(started)
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "trusted_schema": 0,
        "secure_delete": 1,
    }
    seen: list[dict[str, object]] = []

    def look() -> None:
        seen.append({name: database.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in wanted})
        database.close()

    threads = [threading.Thread(target=look) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert seen == [wanted] * 20
