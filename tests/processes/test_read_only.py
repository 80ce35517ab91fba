"""A data folder that can't be written to: Applinks says so, shows what there is, and asks no provider for anything."""

import os
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.processes.faults import Machine, mounting, needs_mounts

PASSWORD = "CANARY plum lantern orbit"
HAND_OUT = """
import json
from hashlib import sha256
from applinks import create_app
from applinks.models import Connection
services = create_app().extensions["applinks"]
token = services.tokens.valid(Connection.get().id).access_token
print(json.dumps([sha256(token.encode()).hexdigest(), services.health.read_only]))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine
        for path in (machine.folder, *machine.folder.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)


def made_read_only(machine: Machine, what: str) -> dict[str, str]:
    """The environment of a process for which the file, the folder or both can only be read."""
    file, folder = str(machine.database_file), str(machine.folder)
    if os.geteuid() != 0:
        if what != "the folder":
            machine.database_file.chmod(0o400)
        if what != "the file":
            machine.folder.chmod(0o500)
        return {}
    needs_mounts()  # nothing is read-only for root but what is mounted so
    commands = {
        "the file": [["mount", "--bind", file, file], ["mount", "-o", "remount,bind,ro", file]],
        "the folder": [
            ["mount", "--bind", folder, folder],
            ["mount", "--bind", file, file],
            ["mount", "-o", "remount,bind,ro", folder],
        ],
        "both": [["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]],
    }
    return {"PYTHONPATH": machine.customized(mounting(commands[what]))}


@pytest.mark.parametrize("what", ["the file", "the folder", "both"])
def test_it_only_shows_what_can_only_be_read(machine: Machine, password_hash: str, what: str) -> None:
    """C6"""
    machine.connect("default", password_hash=password_hash)
    machine.make_due()
    before, asked = machine.fingerprint(), machine.asked()
    process = machine.serve(**made_read_only(machine, what))
    ada, stranger = machine.browser(process), machine.browser(process, signed_in=False)
    for path in ("/links", "/links/payroll", "/links/payroll/connections/default", "/settings"):
        page = ada.see(path)
        assert page.status_code == 200
        assert "The database can only be read" in page.text
    refusals = [
        ada.refresh(),
        ada.submit("/links/payroll/connect", label="default"),
        ada.submit("/links/payroll/delete"),
        stranger.submit("/sign-in", username="ada", password=PASSWORD),
    ]
    assert [(page.status_code, "It can only be read" in page.text) for page in refusals] == [(503, True)] * 4
    status, health = process.health()
    assert (status, health["read_only"], health["refreshers"]) == (503, True, 0)
    assert process.stop() == 0
    assert machine.asked() == asked
    assert machine.fingerprint() == before


def test_it_hands_out_what_is_valid_still(machine: Machine) -> None:
    """C6: a token that nobody had to refresh."""
    machine.connect("default")
    read_only = made_read_only(machine, "both")
    [token] = machine.provider.issued_access_tokens("consent-1")
    assert machine.ask_a_program(HAND_OUT, **read_only) == [sha256(token.encode()).hexdigest(), True]


def test_no_worker_begins_what_it_cannot_store(machine: Machine) -> None:
    """C6"""
    machine.connect("default")
    read_only = made_read_only(machine, "both")
    worker = machine.start("worker", **read_only)
    check = machine.start("check", **read_only)
    assert worker.wait() == 2
    [line] = worker.lines
    assert "can only be read" in line
    assert check.wait() == 1
    assert "sound, can only be read" in check.lines[0]


def test_it_reads_what_was_written_last_before_it_was_killed(machine: Machine) -> None:
    """C6: the newest token may stand in the write-ahead log alone."""
    machine.connect("default")
    process = machine.serve(APPLINKS_REFRESHER="off")
    assert machine.browser(process).refresh().status_code == 303
    process.stop(signal.SIGKILL)
    assert machine.database_file.with_name("applinks.sqlite3-wal").stat().st_size
    tokens = machine.provider.issued_access_tokens("consent-1")
    handed_out, read_only = machine.ask_a_program(HAND_OUT, **made_read_only(machine, "both"))
    assert read_only
    assert handed_out in {sha256(token.encode()).hexdigest() for token in tokens}
    assert machine.generations() == {"default": 2} or os.geteuid() != 0


@pytest.mark.parametrize("command", ["", "demo"])
def test_it_has_nobody_set_up_what_cannot_be_stored(machine: Machine, command: str) -> None:
    """C6: a folder in which nobody is an administrator yet, and the demo, which must follow its address."""
    machine.serve().stop()
    refused = machine.start(command, **made_read_only(machine, "both"))
    assert refused.wait() == 2
    assert len(refused.lines) == 1
    assert "can only be read" in refused.lines[0]
