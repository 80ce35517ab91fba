"""`python app.py check`: how everything is, on the console, with an exit status that a timer can act on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.faults import Machine, until
from tests.rotating import Fault

OFF = {"APPLINKS_REFRESHER": "off"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


def check(machine: Machine, **settings: str) -> tuple[int, str]:
    process = machine.start("check", **settings)
    return process.wait(), "\n".join(process.lines)


def test_it_finds_all_well_where_nothing_is_connected(machine: Machine) -> None:
    """Nothing is to be refreshed, so that nobody need refresh."""
    machine.serve().stop()
    status, said = check(machine)
    assert status == 0
    assert said.splitlines() == [
        f"Database: {machine.database_file}, sound",
        "Refresher: stopped",
        "There are no connections yet.",
    ]


def test_it_makes_nothing_where_there_is_no_applinks(machine: Machine) -> None:
    """A mistyped folder isn't all well."""
    status, said = check(machine)
    assert status == 2
    assert "There is no Applinks in" in said
    assert not machine.folder.exists()


def test_it_finds_all_well_beside_a_server(machine: Machine) -> None:
    machine.connect("default", "second")
    server = machine.serve()
    until(lambda: server.health()[0] == 200, "refreshing")
    ada = machine.browser(server)
    assert [ada.refresh().status_code for _ in range(3)] == [303] * 3
    status, said = check(machine)
    assert status == 0
    assert f", process {server.pid}, last seen 20" in said
    assert "\npayroll default: Connected; Somebody; " in said
    assert "\npayroll second: Connected; Somebody; " in said
    events = [line.split("  ")[-1] for line in said.splitlines() if line.startswith("    ")]
    connected = ["connected by ada", "connect begun by ada"]
    assert events == ["refreshed by ada"] * 3 + connected + connected
    assert said.endswith("2 of 2 connections are well.")


def test_it_finds_nobody_who_refreshes(machine: Machine) -> None:
    """A074"""
    machine.connect("default")
    status, said = check(machine)
    assert status == 1
    assert "Refresher: stopped\n" in said
    assert said.endswith("1 of 1 connections are well.")


def test_it_names_whom_a_person_must_mend(machine: Machine) -> None:
    """A064, A065, A089: with the provider's own words, and never a token."""
    machine.connect("reconnect", "unreadable", "settings", "well")
    server = machine.serve()
    until(lambda: server.health()[0] == 200, "refreshing")
    ada = machine.browser(server)
    machine.provider.fail_next(Fault.json(400, {"error": "invalid_grant", "error_description": "Consent withdrawn."}))
    ada.refresh("reconnect")
    machine.provider.fail_next(Fault.json(401, {"error": "invalid_client"}))
    ada.refresh("settings")
    machine.change("update connection set refresh_token_enc = access_token_enc where label = 'unreadable'")
    status, said = check(machine)
    assert status == 1
    lines = {line.split(":")[0]: line for line in said.splitlines() if line.startswith("payroll")}
    assert "Reconnect needed; " in lines["payroll reconnect"]
    assert "invalid_grant: Consent withdrawn." in lines["payroll reconnect"]
    assert "refresh failed by ada: invalid_grant: Consent withdrawn." in said
    assert "Check settings; " in lines["payroll settings"]
    assert "can't be opened with the keys" in lines["payroll unreadable"]
    assert "Connected; " in lines["payroll well"]
    assert said.endswith("1 of 4 connections are well.")
    assert "Unreadable" not in "".join(row[0] for row in machine.rows("select state from connection"))


@pytest.mark.parametrize(("how", "exit_status"), [("keys", 3), ("database", 2)])
def test_it_says_why_nothing_could_start(machine: Machine, how: str, exit_status: int) -> None:
    """A090, C6"""
    machine.connect("default")
    (machine.folder / "keys" if how == "keys" else machine.database_file).unlink()
    status, said = check(machine)
    assert status == exit_status
    assert said.startswith("Applinks can't start. ")
    assert "\n" not in said
