"""`python app.py worker`: refreshing beside servers, and stopping with everything stored."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.processes.faults import Machine, until

OFF = {"APPLINKS_REFRESHER": "off"}
LONGER_THAN_THE_SERVER_WAITS = 5.5


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


def test_it_refreshes_for_a_server_that_does_not(machine: Machine) -> None:
    """A074: the server says whether somebody does, at once when a worker has stopped in order."""
    machine.connect("default")
    machine.make_due()
    server, asked = machine.serve(**OFF), machine.asked()
    status, health = server.health()
    assert (status, health["refresher"]) == (503, "stopped")
    page = machine.browser(server).see("/links").text
    assert "Tokens aren&#39;t being refreshed" in page.replace("'", "&#39;")
    assert machine.asked() == asked
    worker = machine.work()
    until(lambda: machine.generations() == {"default": 2}, "refreshed")
    status, health = server.health()
    assert (status, health["refreshers"]) == (200, 1)
    assert "being refreshed" not in machine.browser(server).see("/links").text
    assert worker.stop() == 0
    status, health = server.health()
    assert (status, health["refresher"]) == (503, "stopped")
    assert machine.asked() == asked + 1


def test_two_workers_ask_once_for_each_token(machine: Machine) -> None:
    """A057"""
    labels = [f"label-{number}" for number in range(8)]
    machine.connect(*labels)
    asked = machine.asked()
    workers = [machine.start("worker"), machine.start("worker")]
    for worker in workers:
        worker.wait_until_it_says("refreshes the tokens")
    for generation in (2, 3):
        machine.make_due()
        until(partial(all_have, machine, generation), "all refreshed")
    assert [worker.stop() for worker in workers] == [0, 0]
    assert machine.asked() == asked + 2 * len(labels)
    assert {request.outcome for request in machine.provider.requests} == {"granted"}
    assert not list((machine.folder / "running").iterdir())


def all_have(machine: Machine, generation: int) -> bool:
    return set(machine.generations().values()) == {generation}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stores_what_is_under_way_before_it_stops(machine: Machine, how: signal.Signals) -> None:
    """A061, C8: however often it is told."""
    machine.connect("default", "second")
    worker = machine.work()
    machine.provider.pause_at("rotated")
    machine.make_due()
    assert machine.provider.reached.wait(20)
    for number in (how, how, signal.SIGTERM, signal.SIGINT):
        worker.tell(number)
    assert worker.lives
    machine.provider.go()
    assert worker.wait() == 0
    generations = machine.generations()
    granted = sum(request.outcome == "granted" for request in machine.provider.requests)
    assert sum(generations.values()) == granted
    assert machine.rows("select count(*) from connection where lease_owner != ''") == [(0,)]


def test_another_takes_up_at_once_what_a_killed_worker_was_doing(machine: Machine) -> None:
    """C2: the killed one's file is unlocked, so that nobody waits for its lease to end."""
    machine.provider.grace = 10.0
    machine.connect("default")
    worker = machine.work()
    machine.provider.pause_at("rotated")
    machine.make_due()
    assert machine.provider.reached.wait(20)
    worker.stop(signal.SIGKILL)
    machine.provider.go()
    machine.work()
    until(lambda: machine.generations() == {"default": 2}, "refreshed")
    assert [request.outcome for request in machine.provider.requests][1:] == ["granted", "grace"]


def test_a_server_stores_what_somebody_is_waiting_for_before_it_stops(machine: Machine) -> None:
    """C8: *Refresh now* at a provider that takes longer than the HTTP server waits for its threads."""
    machine.connect("default")
    server = machine.serve(**OFF)
    ada = machine.browser(server)
    machine.provider.pause_at("rotated")
    with ThreadPoolExecutor(2) as pool:
        pool.submit(lambda: ada.refresh())
        assert machine.provider.reached.wait(20)
        for _ in range(2):
            server.tell(signal.SIGTERM)
        threading.Event().wait(LONGER_THAN_THE_SERVER_WAITS)
        server.tell(signal.SIGTERM)
        assert server.lives
        assert machine.generations() == {"default": 1}
        machine.provider.go()
        assert server.wait() == 0
    assert machine.generations() == {"default": 2}


def test_it_refuses_what_is_no_command(machine: Machine) -> None:
    process = machine.start("workers")
    assert process.wait() == 2
    assert not machine.folder.exists()
