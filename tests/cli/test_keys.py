"""`keys`: new encryption keys in place of older ones, online."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from peewee import OperationalError, TextField

from applinks import create_app
from applinks.crypto import KeyRing, Place, new_id
from applinks.models import TABLES, Connection, Event, Instance, OutgoingLink, State, database
from applinks.oauth.answers import Granted
from applinks.services.events import Events
from applinks.services.rotation import SEALED
from applinks.services.vault import Vault
from applinks.settings import Settings
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.conftest import Clock, renew
from tests.processes import Process
from tests.standin import StandIn
from tests.visitor import Visitor

pytestmark = pytest.mark.usefixtures("link_id")


def ids(settings: Settings) -> list[str]:
    return [line.partition(":")[0] for line in settings.keys_file.read_text().splitlines()]


def test_it_knows_every_column_that_is_sealed() -> None:
    """A093: a new one would be lost with the key that is dropped."""
    columns = {sealed.column for sealed in SEALED}
    sealed = [field for table in TABLES for field in table._meta.sorted_fields if isinstance(field, TextField)]
    assert columns == {field for field in sealed if field.name.endswith("_enc")} | {Instance.key_check}


def test_it_brings_everything_under_a_new_key(
    run: Run, settings: Settings, connect: Callable[..., None], services: Services
) -> None:
    """A093"""
    connect()
    (old,) = ids(settings)
    assert run("keys", "generate").status == 0
    new, second = ids(settings)
    assert second == old
    assert settings.keys_file.stat().st_mode & 0o777 == 0o600
    status = run("keys", "status").out
    assert re.search(rf"{new} +0 +writes", status)
    assert re.search(rf"{old} +\d+ +reads; run: keys rotate", status)
    rotated = run("keys", "rotate")
    assert (rotated.status, rotated.err) == (0, "Everything is under the first key.\n")
    assert "refresh tokens" in rotated.out
    assert run("keys", "drop", old).status == 0
    assert ids(settings) == [new]
    assert renew(services) == "refreshed"
    assert [event.what for event in Event.select() if "key" in event.what] == [
        *("key generated", "keys rotated", "key dropped")
    ]
    assert run("events", "--verify").status == 0


@pytest.mark.sqlite
def test_it_leaves_nothing_that_the_old_key_opens_in_the_file(
    run: Run, settings: Settings, connect: Callable[..., None]
) -> None:
    """A094"""
    connect()
    (old,) = ids(settings)
    database.close()
    run("keys", "generate")
    assert run("keys", "rotate").status == 0
    database.close()
    beginning = f"1.{old}.".encode()
    for file in settings.data_dir.glob("applinks.sqlite3*"):
        assert beginning not in file.read_bytes(), file.name


def test_it_rotates_again_without_doing_anything(run: Run) -> None:
    said = run("keys", "rotate")
    assert (said.status, said.out) == (0, "")
    assert "keys rotated" not in {event.what for event in Event.select()}


def test_it_keeps_a_key_that_is_needed(run: Run, settings: Settings) -> None:
    (old,) = ids(settings)
    run("keys", "generate")
    new, _ = ids(settings)
    for key, says in (
        (old, "values are still under"),
        (new, "is the key that is written with"),
        ("x", "holds no key x"),
    ):
        said = run("keys", "drop", key)
        assert said.status == 1
        assert says in said.err
    assert ids(settings) == [new, old]


def test_it_keeps_a_key_that_a_refresh_under_way_may_write_with(
    run: Run, settings: Settings, connect: Callable[..., None], clock: Clock
) -> None:
    connect()
    (old,) = ids(settings)
    run("keys", "generate")
    run("keys", "rotate")
    Connection.update(lease_owner="somebody", lease_until=int(clock()) + 30).execute()
    refused = run("keys", "drop", old)
    assert (refused.status, "A refresh is under way" in refused.err) == (1, True)
    assert old in ids(settings)
    Connection.update(lease_until=1).execute()
    assert run("keys", "drop", old).status == 0


def test_it_names_what_it_cant_open_and_leaves_it(run: Run, settings: Settings, connect: Callable[..., None]) -> None:
    connect()
    foreign = KeyRing.parse("other:" + "A" * 43 + "=\n").seal("x", Place("connection", "x", "access_token"))
    Connection.update(access_token_enc=foreign).execute()
    run("keys", "generate")
    said = run("keys", "rotate")
    assert said.status == 1
    assert f"left as it is: access tokens: {Connection.get().id}" in said.err
    assert "Left: 1 access tokens." in said.err
    assert Connection.get().access_token_enc == foreign


def test_it_prints_a_key_for_those_who_write_the_file_themselves(run: Run, settings: Settings) -> None:
    before = settings.keys_file.read_text()
    said = run("keys", "generate", "--print")
    assert KeyRing.parse(said.out).newest not in before
    assert settings.keys_file.read_text() == before


def test_it_changes_nothing_where_the_file_cant_be_written(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings.keys_file.read_text()

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    said = run("keys", "generate")
    assert said.status == 1
    assert "docs/operations.md says in which place" in said.err
    assert settings.keys_file.read_text() == before


def test_it_goes_on_in_a_program_that_was_started_with_the_old_key(
    app: Flask, ada: Visitor, run: Run, settings: Settings, connect: Callable[..., None], services: Services
) -> None:
    """What was sealed by somebody else with a key that isn't known here is read by looking at the file again."""
    connect()
    (old,) = ids(settings)
    for command in ("generate", "rotate"):
        assert run("keys", command).status == 0
    assert run("keys", "drop", old).status == 0
    assert renew(services) == "refreshed"
    (new,) = ids(settings)
    assert Connection.get().access_token_enc.startswith(f"1.{new}.")
    assert ada.get("/links").status_code == 200


def test_it_keeps_everybody_signed_in_until_the_old_key_is_dropped(
    app: Flask, ada: Visitor, run: Run, settings: Settings
) -> None:
    (old,) = ids(settings)
    cookie = ada.client.get_cookie(settings.cookie_name, "127.0.0.1")
    assert cookie
    seen = []
    for command in (["generate"], ["rotate"], ["drop", old]):
        assert run("keys", *command).status == 0
        browser = Visitor(create_app(settings).test_client(), settings.base_url)
        browser.client.set_cookie(settings.cookie_name, cookie.value, domain="127.0.0.1")
        seen.append(browser.get("/links").status_code)
        database.close()
    assert seen == [200, 200, 303]


@pytest.mark.parametrize("brought", [None, "CANARY-refresh"])
def test_a_late_grant_writes_back_nothing_that_a_dropped_key_sealed(
    run: Run, settings: Settings, connect: Callable[..., None], services: Services, brought: str | None
) -> None:
    connect()
    (old,) = ids(settings)
    as_read = Connection.get()
    for command in (["generate"], ["rotate"], ["drop", old]):
        assert run("keys", *command).status == 0
    vault = Vault(services.rotation._keys)
    vault._keys._look()
    vault.store(as_read, Granted("CANARY-token", brought, 3600, None), sent_at=1)
    row = Connection.get()
    assert f"1.{old}." not in row.refresh_token_enc + row.previous_refresh_token_enc
    if brought:
        assert vault.refresh_token(row) == brought
    else:  # the provider still knows the one that it gave
        assert renew(services) == "refreshed"


def test_it_takes_over_a_file_once_others_may_not_read_it(settings: Settings, link_id: str, services: Services) -> None:
    ring = services.rotation._keys
    text = settings.keys_file.read_text()
    settings.keys_file.write_text(f"another:{'A' * 43}=\n{text}")
    settings.keys_file.chmod(0o644)
    ring._look()
    assert ring.newest != "another"
    settings.keys_file.chmod(0o600)
    ring._look()
    assert ring.newest == "another"


def test_instances_that_started_before_and_after_know_each_others_sign_ins(
    app: Flask, ada: Visitor, sign_in_as: Callable[[str], Visitor], run: Run, settings: Settings
) -> None:
    assert run("keys", "generate").status == 0
    later = create_app(settings)
    here, there = app.test_client(), later.test_client()
    for before, after in ((ada.client, there), (sign_in_as("bob").client, there)):
        cookie = before.get_cookie(settings.cookie_name, "127.0.0.1")
        assert cookie
        after.set_cookie(settings.cookie_name, cookie.value, domain="127.0.0.1")
        assert after.get("/links", base_url=settings.base_url).status_code == 200
    page = there.get("/settings", base_url=settings.base_url).text
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    cookie = there.get_cookie(settings.cookie_name, "127.0.0.1")
    assert cookie
    here.set_cookie(settings.cookie_name, cookie.value, domain="127.0.0.1")
    form, headers = {"csrf_token": token, "appearance": "dark"}, {"Origin": settings.base_url}
    sent = here.post("/settings/appearance", data=form, headers=headers, base_url=settings.base_url)
    assert sent.status_code == 303


def test_it_puts_in_no_key_that_it_cant_write_down(
    run: Run, settings: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is full or can only be read."""
    before = settings.keys_file.read_text()

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(Events, "record", refuse)
    said = run("keys", "generate")
    assert said.status == 1
    assert "readonly" in said.err
    assert settings.keys_file.read_text() == before


def test_a_connection_comes_back_when_its_keys_do(
    connect: Callable[..., None], services: Services, provider: StandIn
) -> None:
    connect()
    sealed = Connection.get().refresh_token_enc
    Connection.update(refresh_token_enc=f"1.gone.{sealed.rpartition('.')[2]}").execute()
    asked = len(provider.token_requests)
    assert renew(services) == "refused"
    row = Connection.get()
    assert (row.state, row.next_attempt_at is not None) == (State.UNREADABLE, True)
    assert len(provider.token_requests) == asked
    Connection.update(refresh_token_enc=sealed).execute()
    assert renew(services) == "refreshed"


@pytest.mark.parametrize("how", ["gone", "foreign", "broken", "open to others"])
def test_it_keeps_its_keys_when_the_file_turns_bad(
    settings: Settings,
    connect: Callable[..., None],
    services: Services,
    how: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect()
    match how:
        case "gone":
            settings.keys_file.unlink()
        case "foreign":
            settings.keys_file.write_text("other:" + "A" * 43 + "=\n")
        case "broken":
            settings.keys_file.write_text("no key at all")
        case _:
            settings.keys_file.write_text(settings.keys_file.read_text() + "\n")
            settings.keys_file.chmod(0o644)
    monkeypatch.setattr("applinks.crypto.LOOK_SECONDS", 0.0)
    for _ in range(3):
        services.rotation._keys._look()
        assert renew(services) == "refreshed"
    assert caplog.text.count("Applinks goes on with the keys that it has") == 1


def sealed_under(key_id: str) -> int:
    return int(Connection.select().where(Connection.refresh_token_enc.startswith(f"1.{key_id}.")).count())


def test_it_is_killed_anywhere_and_resumed(
    environ: dict[str, str], settings: Settings, services: Services, link_id: str, run: Run
) -> None:
    """A093: 1,000 connections, and a process that is killed again and again."""
    ring = KeyRing.parse(settings.keys_file.read_text())
    rows = []
    for number in range(1000):
        connection_id = new_id()
        seal = {
            f"{field}_enc": ring.seal(f"CANARY-{field}-{number}", Place("connection", connection_id, field))
            for field in ("access_token", "refresh_token")
        }
        rows.append({"id": connection_id, "link": link_id, "label": f"n-{number}", "created_at": number, **seal})
    with database.atomic():
        for at in range(0, len(rows), 100):
            Connection.insert_many(rows[at : at + 100]).execute()
    (old,) = ids(settings)
    run("keys", "generate")
    new, _ = ids(settings)
    kills = 0
    for _ in range(10):
        before = sealed_under(new)
        process = Process(settings.data_dir, "keys rotate", **environ)
        deadline = time.monotonic() + 30
        while (
            process._process.poll() is None
            and sealed_under(new) < min(before + 60, 1000)
            and time.monotonic() < deadline
        ):
            time.sleep(0.001)
        kills += process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert kills >= 5
    assert run("keys", "rotate").status == 0
    assert run("keys", "drop", old).status == 0
    last = KeyRing.parse(settings.keys_file.read_text())
    assert sealed_under(new) == 1000
    for number, row in enumerate(Connection.select().order_by(Connection.created_at)):
        for field in ("access_token", "refresh_token"):
            opened = last.open(getattr(row, f"{field}_enc"), Place("connection", row.id, field))
            assert opened == f"CANARY-{field}-{number}"
    assert last.open(OutgoingLink.get().client_secret_enc, Place("outgoing_link", link_id, "client_secret"))
