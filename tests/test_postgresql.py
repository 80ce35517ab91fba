"""The PostgreSQL that tests run on: each database is empty, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests import postgresql
from tests.postgresql import Server
from tests.processes import ROOT

START = """
from tests.postgresql import Server
server = Server.start()
print(server.folder, server.port, flush=True)
input()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server.start()
    yield server
    server.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user is let into, as `tmp_path` isn't."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_makes_a_database_empty_again_under_whoever_uses_it(server: Server) -> None:
    with psycopg.connect(server.make_database("links")) as connection:
        connection.execute("CREATE TABLE link (id text)")
        connection.commit()
        with psycopg.connect(server.make_database("links")) as fresh:
            assert fresh.execute("SELECT to_regclass('link')").fetchone() == (None,)
            assert fresh.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_it_refuses_a_database_that_was_dropped(server: Server) -> None:
    url = server.make_database("links")
    server.drop_database("links")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_it_refuses_whoever_has_not_its_password(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url("postgres"), password="another")


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_it_keeps_what_was_committed_through_a_restart(server: Server, how: Literal["fast", "immediate"]) -> None:
    url, pid = server.make_database("links"), server.pid
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE link (id text)")
        connection.execute("INSERT INTO link VALUES ('kept')")
        connection.commit()
        connection.execute("INSERT INTO link VALUES ('lost')")
        server.restart(how)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert server.pid != pid
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT id FROM link").fetchall() == [("kept",)]


def test_it_refuses_connections_while_it_is_halted(server: Server) -> None:
    server.halt()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(server.url("postgres"))
    server.launch()
    assert is_open(server.port)


def test_it_says_why_it_did_not_start_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgresql.OPTIONS, "shared_buffers", "plenty")
    with pytest.raises(RuntimeError, match="shared_buffers"):
        Server.start(folder)
    assert not list(folder.iterdir())


def test_it_does_not_fall_back_when_the_chosen_programs_are_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRESQL_BIN", str(folder))
    with pytest.raises(RuntimeError, match=str(folder)):
        Server.start(folder)
    assert not list(folder.iterdir())


def test_it_leaves_nothing_after_stopping_even_twice(folder: Path) -> None:
    server = Server.start(folder)
    server.stop()
    server.stop()
    assert not is_open(server.port)
    assert not list(folder.iterdir())


def test_it_does_not_outlive_tests_that_are_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout
        folder, port = tests.stdout.readline().split()
        assert is_open(int(port))
        os.kill(tests.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(folder).exists() or is_open(int(port)):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.05)
