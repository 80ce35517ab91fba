"""The log: one line an event, that nobody can forge, and none when all is well."""

import json
import logging
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import requests
from flask import Flask

from applinks.cli.logs import Json, Plain, watch_threads
from tests.processes import Process
from tests.processes.test_scripts import connected

HOSTILE = [chr(number) for number in (*range(32), 127, 0x85, 0xA0, 0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029)]
HOSTILE += [chr(number) for number in (0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069, 0xFEFF)]
HOSTILE += ["\r\n2026-01-01T00:00:00Z ERROR forged: it", "\x1b[2J", '"}\n{"level": "ERROR"', "\ud800", "%s%n", "{0}"]


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("applinks", logging.ERROR, "file", 1, "Said: %s.", (text,), None)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_it_writes_one_line_whatever_is_in_it(text: str) -> None:
    """A175"""
    plain = Plain().format(record(text))
    assert len(plain.splitlines()) == 1
    assert plain.isascii() or "\xa0" in plain
    written = Json().format(record(text))
    assert len(written.splitlines()) == 1
    assert written.isascii()
    assert json.loads(written)["message"] == f"Said: {text}."


def test_it_keeps_a_traceback_in_its_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        broken = logging.LogRecord(
            "x", logging.ERROR, "file", 1, "It broke.", (), (type(error), error, error.__traceback__)
        )
    assert len(Plain().format(broken).splitlines()) == 1
    assert "ValueError" in json.loads(Json().format(broken))["traceback"]


def test_it_says_in_one_line_that_a_thread_has_ended(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A174: and nothing of what it may have held."""

    secret = "CANARY\ntwo lines"

    def fail() -> None:
        raise ValueError(secret)

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    watch_threads()
    thread = threading.Thread(target=fail, name="counts")
    thread.start()
    thread.join()
    (said,) = caplog.records
    assert said.getMessage() == "The thread counts has ended."
    for line in (Plain().format(said), Json().format(said)):
        assert len(line.splitlines()) == 1
        assert "ValueError" in line
        assert "CANARY" not in line


def test_it_says_nothing_when_all_is_well(tmp_path: Path) -> None:
    demo = Process(tmp_path, "demo")
    address = demo.wait_until_open()
    connected(demo.base_url, address)
    assert requests.get(f"{demo.base_url}/nothing-is-here", timeout=30).status_code == 404
    assert demo.stop(signal.SIGTERM) == 0
    assert len(demo.lines) == 3
    assert demo.lines[-1] == f"Open {address}"


@pytest.mark.parametrize("form", ["plain", "json"])
def test_it_names_the_request_that_a_line_is_about(tmp_path: Path, form: str) -> None:
    server = Process(tmp_path, APPLINKS_LOG=form)
    server.wait_until_open()
    with closing(sqlite3.connect(tmp_path / "applinks.sqlite3")) as opened:
        opened.execute("DROP TABLE sign_in_session")
        opened.execute("DROP TABLE setup_code")
        opened.commit()
    broken = requests.get(f"{server.base_url}/setup/x", timeout=30)
    assert broken.status_code == 503
    name = broken.headers["X-Request-Id"]
    server.stop(signal.SIGTERM)
    (line,) = [line for line in server.lines if "The database can't be used" in line]
    if form == "json":
        said = json.loads(line)
        assert (said["request"], said["level"]) == (name, "ERROR")
    else:
        assert line.endswith(f"[request {name}]")


def test_it_refuses_another_form(tmp_path: Path) -> None:
    server = Process(tmp_path, APPLINKS_LOG="xml")
    assert server.wait() == 2
    assert "it must be plain or json" in server.lines[0]


def test_it_takes_a_name_from_nobody_but_the_operators_proxy(app: Flask) -> None:
    client = app.test_client()
    names = {client.get("/healthz", headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] for _ in range(3)}
    assert len(names) == 3
    assert "mine" not in names
