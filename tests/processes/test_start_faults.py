"""Starts that must not be, whichever command it is: one line says why, and nothing stored is touched."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from applinks import create_app
from applinks.models import Connection, database
from applinks.settings import read_settings
from tests.processes import free_port
from tests.processes.faults import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.mark.parametrize(
    ("command", "settings", "says"),
    [
        ("worker", {"APPLINKS_REFRESHER": "nonsense"}, "APPLINKS_REFRESHER is 'nonsense': it must be on or off."),
        ("check", {"APPLINKS_DATABASE_URL": "mysql://u:CANARY@db/x"}, "APPLINKS_DATABASE_URL must look like"),
        ("serve", {"APPLINKS_DATABASE_URL": "postgresql://u:CANARY@db:port/x"}, "APPLINKS_DATABASE_URL must look like"),
        ("check", {"APPLINKS_DATABASE_URL": "postgresql://u:CANARY%zz@127.0.0.1/x"}, "APPLINKS_DATABASE_URL must look"),
        ("check", {"APPLINKS_DATABASE_URL": "postgresql://u:a@CANARY@127.0.0.1/x"}, "APPLINKS_DATABASE_URL must look"),
        ("check", {"APPLINKS_DATABASE_URL": "postgresql://u:1/CANARY@127.0.0.1/x"}, "APPLINKS_DATABASE_URL must look"),
        ("check", {"APPLINKS_DATABASE_URL": "postgresql:///x?password=CANARY"}, "APPLINKS_DATABASE_URL must look"),
        ("check", {"APPLINKS_DATABASE_URL": "postgres://u:CANARY@127.0.0.1/x"}, "APPLINKS_DATABASE_URL must look"),
        ("demo", {"APPLINKS_DATABASE_URL": "postgresql://u:CANARY@127.0.0.1/x"}, "the demo keeps an SQLite file"),
        (
            "worker",
            {"APPLINKS_DATABASE_URL": f"postgresql://u:CANARY@127.0.0.1:{free_port()}/x"},
            "can't be used as a database",
        ),
    ],
)
def test_it_refuses_settings_that_make_no_sense(
    machine: Machine, command: str, settings: dict[str, str], says: str
) -> None:
    """C6: a password in them is never repeated."""
    process = machine.start(command, **settings)
    assert process.wait() == 2
    [line] = process.lines
    assert says in line


def test_it_never_repeats_a_wrong_password(machine: Machine, empty_postgresql: str) -> None:
    """C6"""
    wrong = empty_postgresql.replace(str(urlsplit(empty_postgresql).password), "CANARY-wrong")
    process = machine.start("check", APPLINKS_DATABASE_URL=wrong)
    assert process.wait() == 2
    [line] = process.lines
    assert "password authentication failed" in line


def test_it_exits_with_3_where_a_postgresql_database_has_other_keys(machine: Machine, empty_postgresql: str) -> None:
    """A092"""
    url = {"APPLINKS_DATABASE_URL": empty_postgresql}
    create_app(read_settings(url | {"APPLINKS_DATA_DIR": str(machine.place / "other")}))
    database.close()
    machine.connect()  # a folder whose keys are those of its own SQLite file
    process = machine.start("worker", **url)
    assert process.wait() == 3
    [line] = process.lines
    assert "aren't those of" in line


def test_it_names_what_to_install_for_postgresql(machine: Machine) -> None:
    for name in ("psycopg", "psycopg2", "psycopg2cffi"):
        (machine.place / "shadow" / name).mkdir(parents=True)
        (machine.place / "shadow" / name / "__init__.py").write_text("raise ImportError('not installed')\n")
    shadow = str(machine.place / "shadow")
    process = machine.start(
        "check", PYTHONPATH=shadow, APPLINKS_DATABASE_URL=f"postgresql://u:CANARY@127.0.0.1:{free_port()}/x"
    )
    assert process.wait() == 2
    [line] = process.lines
    assert "pip install -r requirements-postgresql.txt" in line


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_no_command_starts_on_half_a_database(machine: Machine, command: str) -> None:
    """C6: header and the first pages are there, the rest is gone."""
    machine.connect("default")
    half = machine.database_file.read_bytes()[: machine.database_file.stat().st_size // 2]
    machine.database_file.write_bytes(half)
    process = machine.start(command)
    assert process.wait() == 2
    assert len(process.lines) == 1
    assert machine.database_file.read_bytes() == half


def test_it_starts_with_what_was_consistent_last(machine: Machine) -> None:
    """C6: after kill -9, whatever became of the write-ahead log and of its index."""
    machine.connect("default")
    process = machine.serve(APPLINKS_REFRESHER="off")
    assert machine.browser(process).refresh().status_code == 303
    process.stop(signal.SIGKILL)
    log, index = (machine.database_file.with_name(f"applinks.sqlite3-{end}") for end in ("wal", "shm"))
    whole = log.read_bytes()
    damages = {
        "nothing": 2,
        "log deleted": 1,
        "log garbage": 1,
        "log cut": 1,
        "index deleted": 2,
        "index garbage": 2,
    }
    seen = {}
    for damage in damages:
        folder = machine.place / damage.replace(" ", "-")
        shutil.copytree(machine.folder, folder)
        what, how = damage.split() if " " in damage else ("", "")
        file = folder / {"log": log, "index": index}.get(what, log).name
        if how == "deleted":
            file.unlink()
        elif how == "garbage":
            file.write_bytes(b"\xa5" * file.stat().st_size)
        elif how == "cut":
            file.write_bytes(whole[:3000])
        services = create_app(read_settings({"APPLINKS_DATA_DIR": str(folder)})).extensions["applinks"]
        seen[damage] = Connection.get().generation
        assert services.inspection.damage() == ""
        database.close()
    assert seen == damages
