"""`backup` and `restore`: a copy while it is in use, and the drill of putting it back."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from applinks.models import State, database
from applinks.services.migrations import SCHEMA
from applinks.settings import Settings
from applinks.wiring import Services
from tests.cli.conftest import Run
from tests.conftest import Clock, renew
from tests.standin import StandIn, json_answer


@pytest.fixture
def copy(run: Run, connect: Callable[..., None], tmp_path: Path) -> Path:
    """A backup of an Applinks with one connected link."""
    connect()
    said = run("backup", str(tmp_path / "copy.sqlite3"))
    assert said.status == 0, said.err
    return tmp_path / "copy.sqlite3"


@pytest.fixture
def elsewhere(tmp_path: Path, settings: Settings) -> Path:
    """A new data folder, with the keys."""
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    shutil.copy2(settings.keys_file, folder / "keys")
    return folder


def integrity(file: Path) -> str:
    with closing(sqlite3.connect(file)) as opened:
        return str(opened.execute("PRAGMA integrity_check").fetchone()[0])


def test_it_copies_the_whole_database_into_one_private_file(copy: Path, settings: Settings) -> None:
    """A104"""
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(copy.parent.glob("*copy*")) == [copy]
    assert integrity(copy) == "ok"
    assert b"CANARY" not in copy.read_bytes()
    for line in settings.keys_file.read_text().splitlines():
        assert line.encode() not in copy.read_bytes()


def test_it_writes_over_no_file(run: Run, copy: Path) -> None:
    before = copy.read_bytes()
    said = run("backup", str(copy))
    assert said.status == 1
    assert "is there already" in said.err
    assert copy.read_bytes() == before


@pytest.mark.parametrize("where", ["nowhere/copy.sqlite3", "a-file/copy.sqlite3"])
def test_it_leaves_nothing_where_a_backup_cant_be_written(run: Run, link_id: str, tmp_path: Path, where: str) -> None:
    (tmp_path / "a-file").touch()
    said = run("backup", str(tmp_path / where))
    assert said.status == 1
    assert "There is no backup." in said.err
    assert not list(tmp_path.rglob("*copy*"))


def test_it_writes_to_a_stick_without_hard_links(
    run: Run, link_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("applinks.services.backup.os.link", refuse)
    file = tmp_path / "copy.sqlite3"
    assert run("backup", str(file)).status == 0
    assert integrity(file) == "ok"
    assert sorted(tmp_path.glob("*copy*")) == [file]


def test_it_copies_one_moment_while_others_write(run: Run, settings: Settings, tmp_path: Path, link_id: str) -> None:
    """C7: each backup opens, and holds every row up to some moment."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(settings.database_file, timeout=30, isolation_level=None)) as writer:
            for number in count(1):
                writer.execute("INSERT INTO heartbeat VALUES (?, 'here', ?)", (str(number), number))
                if stop.wait(0.001):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            assert run("backup", str(tmp_path / f"{number}.sqlite3")).status == 0
    finally:
        stop.set()
        writer.join(30)
    seen = []
    for number in range(10):
        file = tmp_path / f"{number}.sqlite3"
        assert integrity(file) == "ok"
        with closing(sqlite3.connect(file)) as opened:
            last, rows = opened.execute("SELECT MAX(at), COUNT(*) FROM heartbeat").fetchone()
        assert last == rows
        seen.append(rows)
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


def test_it_works_again_in_a_new_folder(
    run: Run, copy: Path, elsewhere: Path, services: Services, provider: StandIn
) -> None:
    """C7: the drill."""
    said = run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere))
    assert said.status == 0, said.err
    assert "1 connections that have a token" in said.err
    assert (elsewhere / "applinks.sqlite3").stat().st_mode & 0o777 == 0o600
    token = run("token", "payroll", APPLINKS_DATA_DIR=str(elsewhere))
    assert token.status == 0, token.err
    assert token.out.strip() == run("token", "payroll").out.strip()
    assert run("events", "--verify", APPLINKS_DATA_DIR=str(elsewhere)).status == 0


def test_it_restores_nothing_without_the_keys(run: Run, copy: Path, elsewhere: Path) -> None:
    """C7"""
    (elsewhere / "keys").unlink()
    said = run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere))
    assert said.status == 3
    assert "A backup holds no keys" in said.err
    assert list(elsewhere.iterdir()) == []


def test_it_restores_nothing_with_other_keys(run: Run, copy: Path, elsewhere: Path) -> None:
    (elsewhere / "keys").write_text("other:" + "A" * 43 + "=\n")
    said = run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere))
    assert said.status == 3
    assert "aren't those of" in said.err
    assert [file.name for file in elsewhere.iterdir()] == ["keys"]


def test_it_restores_over_nothing(run: Run, copy: Path, settings: Settings) -> None:
    database.close()
    before = settings.database_file.read_bytes()
    said = run("restore", str(copy))
    assert said.status == 2
    assert "is there already" in said.err
    assert settings.database_file.read_bytes() == before


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_it_restores_beside_nothing_of_another_database(run: Run, copy: Path, elsewhere: Path, end: str) -> None:
    """SQLite would play it back over what was restored."""
    (elsewhere / f"applinks.sqlite3{end}").write_bytes(b"x")
    said = run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere))
    assert said.status == 2
    assert f"applinks.sqlite3{end} is there already" in said.err
    assert not (elsewhere / "applinks.sqlite3").exists()


@pytest.mark.parametrize("how", ["missing", "empty", "text", "cut", "damaged", "foreign", "newer"])
def test_it_restores_nothing_that_is_no_backup(run: Run, copy: Path, elsewhere: Path, how: str) -> None:
    content = copy.read_bytes()
    match how:
        case "missing":
            copy.unlink()
        case "empty":
            copy.write_bytes(b"")
        case "text":
            copy.write_bytes(b"not a database at all" * 500)
        case "cut":
            copy.write_bytes(content[: len(content) // 2])
        case "damaged":
            copy.write_bytes(content[:8192] + b"\xff" * 4096 + content[12288:])
        case "foreign":
            copy.unlink()
            with closing(sqlite3.connect(copy)) as other:
                other.execute("CREATE TABLE x (y)")
        case _:
            with closing(sqlite3.connect(copy)) as newer:
                newer.execute("UPDATE instance SET schema = ?", (SCHEMA + 1,))
                newer.commit()
    said = run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere))
    assert said.status == 2, said
    assert said.err.startswith("Applinks can't start.")
    assert said.err.count("\n") == 1
    assert [file.name for file in elsewhere.iterdir()] == ["keys"]


def test_it_asks_once_for_what_a_provider_has_replaced_since(
    run: Run, copy: Path, elsewhere: Path, services: Services, provider: StandIn, clock: Clock
) -> None:
    """C7: a stale refresh token is tried once, and then a person is asked."""
    assert renew(services) == "refreshed"
    assert run("restore", str(copy), APPLINKS_DATA_DIR=str(elsewhere)).status == 0
    provider.asked.clear()
    provider.answer(json_answer({"error": "invalid_grant"}, 400), json_answer({"error": "invalid_grant"}, 400))
    with closing(sqlite3.connect(elsewhere / "applinks.sqlite3")) as opened:
        opened.execute("UPDATE connection SET next_attempt_at = 1, expires_at = 1")
        opened.commit()
    for _ in range(3):
        assert run("token", "payroll", APPLINKS_DATA_DIR=str(elsewhere)).status == 3
    assert len(provider.token_requests) == 1
    with closing(sqlite3.connect(elsewhere / "applinks.sqlite3")) as opened:
        assert opened.execute("SELECT state FROM connection").fetchone() == (State.RECONNECT_NEEDED,)


def test_it_says_how_postgresql_is_backed_up(
    run: Run, empty_postgresql: str, tmp_path: Path, settings: Settings
) -> None:
    url = {"APPLINKS_DATABASE_URL": empty_postgresql, "APPLINKS_KEYS_FILE": str(tmp_path / "other-keys")}
    said = run("restore", "copy", **url)
    assert said.status == 2
    assert "pg_restore" in said.err
