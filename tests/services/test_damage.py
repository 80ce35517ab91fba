"""Damage that a start survives, damage that it refuses, and a refresher that is seen no more."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import OperationalError

from applinks import create_app
from applinks.crypto import new_id
from applinks.errors import StartRefusedError
from applinks.models import Connection, Heartbeat, State, database
from applinks.services import keeper, refresher
from applinks.services.refresher import Refresher
from applinks.services.renewal import Outcome
from applinks.services.storage import open_storage
from applinks.services.tokens import NoTokenError
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import Clock, refresh_due, renew
from tests.standin import StandIn, callback_path
from tests.visitor import Visitor, text_of

Connect = Callable[..., None]
PAGE = 4096


@pytest.fixture
def folder_of_one(connect: Connect, settings: Settings, tmp_path: Path) -> Settings:
    """A folder of its own with what was stored, all in the one file."""
    connect()
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    copied = replace(settings, data_dir=tmp_path / "copied", keys_file=tmp_path / "copied" / "keys")
    shutil.copytree(settings.data_dir, copied.data_dir)
    for leftover in copied.data_dir.glob("applinks.sqlite3-*"):
        leftover.unlink()
    return copied


def cut_in_a_page(content: bytes) -> bytes:
    return content[: len(content) // PAGE // 2 * PAGE + 1000]


def cut_between_pages(content: bytes) -> bytes:
    return content[: len(content) // PAGE // 2 * PAGE]


def first_page_only(content: bytes) -> bytes:
    return content[:PAGE]


def damaged_header(content: bytes) -> bytes:
    return b"\x00" * 16 + content[16:]


def damaged_schema(content: bytes) -> bytes:
    return content[:100] + b"\xff" * (PAGE - 100) + content[PAGE:]


def random_bytes(content: bytes) -> bytes:
    return hashlib.shake_256(b"noise").digest(len(content))


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "damage", [cut_in_a_page, cut_between_pages, first_page_only, damaged_header, damaged_schema, random_bytes]
)
def test_it_refuses_a_damaged_database(folder_of_one: Settings, damage: Callable[[bytes], bytes]) -> None:
    """C6: nothing is made new over what may still be saved."""
    damaged = damage(folder_of_one.database_file.read_bytes())
    folder_of_one.database_file.write_bytes(damaged)
    with pytest.raises(StartRefusedError) as refused:
        open_storage(folder_of_one)
    database.close()
    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)
    assert folder_of_one.database_file.read_bytes() == damaged


@pytest.mark.sqlite
@pytest.mark.parametrize("field", ["access_token_enc", "refresh_token_enc"])
def test_one_damaged_secret_spoils_nothing_else(
    ada: Visitor, connect: Connect, link_id: str, provider: StandIn, settings: Settings, clock: Clock, field: str
) -> None:
    """C6, A089: bytes of one ciphertext are others in the file; the start, and every other connection, goes on."""
    connect()
    url = ada.continue_url(ada.post("/links/payroll/connect", {"label": "damaged"}))
    ada.get(callback_path(link_id, provider.consent(url)))
    spoilt = getattr(Connection.get(Connection.label == "damaged"), field).encode()
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = settings.database_file.read_bytes()
    assert content.count(spoilt) == 1
    settings.database_file.write_bytes(content.replace(spoilt, spoilt[:-12] + b"AAAAAAAAAAAA"))
    services: Services = create_app(settings, clock=clock).extensions["applinks"]
    found = {one.connection.label: one for one in services.inspection.connections()}
    assert (found["default"].state, found["damaged"].state) == (State.CONNECTED, State.UNREADABLE)
    assert services.inspection.damage() == ""
    kept = Connection.get(Connection.label == "damaged").refresh_token_enc
    provider.refresh_token = "CANARY-refresh-2"
    clock.advance(3000)
    assert refresh_due(services) == 2
    rows = {row.label: row for row in Connection.select()}
    assert rows["default"].state == State.CONNECTED
    assert rows["default"].generation == 2
    if field == "refresh_token_enc":
        assert rows["damaged"].state == State.UNREADABLE
        assert rows["damaged"].refresh_token_enc == kept
        with pytest.raises(NoTokenError):
            services.tokens.valid(rows["damaged"].id)


@pytest.mark.sqlite
def test_it_reports_a_damaged_page(connect: Connect, settings: Settings, services: Services) -> None:
    """C6: an index that doesn't fit its table any more is found by `check`, and the tokens are there still."""
    connect()
    root = database.execute_sql("select rootpage from sqlite_master where name = 'connection_next_attempt_at'")
    page = root.fetchone()[0]
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(settings.database_file.read_bytes())
    content[(page - 1) * PAGE : page * PAGE] = b"\x0a" + b"\x00" * 4 + b"\x10" + b"\x00" * (PAGE - 6)
    settings.database_file.write_bytes(content)
    create_app(settings)
    assert services.inspection.damage()
    assert services.tokens.valid(Connection.get().id, 0).access_token


def test_it_says_when_a_refresher_is_seen_no_more(
    connect: Connect, services: Services, stranger: Visitor, ada: Visitor, clock: Clock
) -> None:
    """A074: one that was killed is said to have stopped after three beats; one that lives elsewhere counts."""
    connect()
    services.refresher.beat()
    assert stranger.get("/healthz").status_code == 200
    clock.advance(60)
    assert stranger.get("/healthz").status_code == 200
    clock.advance(1)
    health = stranger.get("/healthz")
    assert health.status_code == 503
    assert health.get_json()["refresher"] == "stopped"
    assert health.get_json()["seen_at"] == int(clock()) - 61
    said = text_of(ada.get("/links"))
    assert "the refresher was last seen" in said
    assert "app.py worker" in said
    Heartbeat.create(process=new_id(), place="elsewhere, process 1", at=int(clock()))
    assert stranger.get("/healthz").get_json()["refreshers"] == 1
    assert "app.py worker" not in text_of(ada.get("/links"))


def test_it_doubts_a_heartbeat_from_the_future(connect: Connect, services: Services, stranger: Visitor) -> None:
    """A074: a clock that went back keeps nobody alive."""
    connect()
    services.refresher.beat()
    Heartbeat.update(at=Heartbeat.at + 3600).execute()
    assert stranger.get("/healthz").status_code == 503


def test_it_goes_on_when_no_thread_could_be_started(
    connect: Connect,
    services: Services,
    provider: StandIn,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C6: the machine has too many threads for a while; afterwards the connection is refreshed, and stopping ends."""
    connect()
    clock.advance(3000)
    times = 2 * refresher.LANES_OF_ONE_HOST
    with monkeypatch.context() as few:
        few.setattr(refresher, "threading", SimpleNamespace(Thread=StartsLater(times)))
        for _ in range(times):
            with pytest.raises(RuntimeError):
                services.refresher.begin_due()
    services.refresher.begin_due()
    waits_for_lanes(services.refresher)
    assert Connection.get().generation == 2
    assert len(provider.token_requests) == 2


def test_it_keeps_a_grant_without_a_thread_to_keep_it_in(
    connect: Connect, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2: whoever asked waits for as long as that takes."""
    connect()
    store, failures = services.renewal._vault.store, iter([OperationalError("full")] * 3)

    def fail_at_first(*grant: Any, **how: Any) -> bool:
        for failure in failures:
            raise failure
        return store(*grant, **how)

    monkeypatch.setattr(services.renewal._vault, "store", fail_at_first)
    monkeypatch.setattr(services.renewal, "_keeper", keeper.Keeper(0.01))
    monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", -1)
    monkeypatch.setattr(keeper, "threading", SimpleNamespace(Thread=StartsLater(3)))
    assert renew(services) == Outcome.REFRESHED
    assert services.renewal.unstored == 0
    assert Connection.get().generation == 2


class StartsLater:
    """Threads that can't be started, as the system refuses them, a number of times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, **_: object) -> "StartsLater":
        return self

    def start(self) -> None:
        self.left -= 1
        assert self.left >= 0
        raise RuntimeError("can't start new thread")


def waits_for_lanes(found: Refresher) -> None:
    """`finish`, but no longer than a few seconds: it would wait for ever for a lane that was never opened."""
    with found._changed:
        assert found._changed.wait_for(lambda: not found._lanes.total(), 5), "a lane was never given back"


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("mounts", "warned"),
    [
        ("server:/x {place} nfs4 rw 0 0", True),
        ("overlay / overlay rw 0 0\nhost {above} 9p rw 0 0", True),
        ("server:/x {place}-elsewhere nfs4 rw 0 0\n/dev/a / ext4 rw 0 0", False),
        ("server:/x / nfs rw 0 0\n/dev/a {place} ext4 rw 0 0", False),
    ],
)
def test_it_warns_of_a_network_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mounts: str, warned: bool
) -> None:
    """C6: SQLite's write-ahead log doesn't work there."""
    text = mounts.format(place=settings.data_dir, above=settings.data_dir.parent)
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, *how: text if str(self) == "/proc/self/mounts" else read(self, *how)
    )
    open_storage(settings)
    database.close()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["write-ahead log doesn't work" in record.getMessage() for record in warnings] == [True] * warned
