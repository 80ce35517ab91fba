"""A machine that runs out of something: room on the disk, the right to write, files, memory."""

import resource
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from applinks.models import database, open_sqlite
from applinks.services.migrations import SCHEMA
from tests.processes.faults import Machine, mounting, needs_mounts, until
from tests.services.test_storage import go_back_to

PASSWORD = "CANARY plum lantern orbit"
FULL = "can&#39;t be used now"
OFF = {"APPLINKS_REFRESHER": "off"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


def counts(machine: Machine) -> list[int]:
    tables = ("application_link", "outgoing_link", "connection", "authorization_flow", "sign_in_session", "event")
    return [machine.rows(f"select count(*) from {table}")[0][0] for table in tables]


def test_it_stores_nothing_by_halves_when_the_disk_is_full(machine: Machine, password_hash: str) -> None:
    """C6: signing in, saving, connecting and refreshing each say so, nothing is left of them, and no token is asked for."""
    machine.connect("default", password_hash=password_hash)
    process = machine.serve(**OFF)
    ada, stranger = machine.browser(process), machine.browser(process, signed_in=False)
    before, asked = counts(machine), machine.asked()
    process.fill_the_disk()
    tried = {
        "sign in": stranger.submit("/sign-in", username="ada", password=PASSWORD),
        "save": ada.submit(f"/links/new/outgoing/{'0' * 32}", **machine.link_form("Other")),
        "edit": ada.submit("/links/payroll/edit", **machine.link_form("Other"), version="1"),
        "connect": ada.submit("/links/payroll/connect", label="second"),
        "refresh": ada.refresh(),
        "disconnect": ada.submit("/links/payroll/connections/default/disconnect"),
    }
    said = {name: (answer.status_code, FULL in answer.text) for name, answer in tried.items()}
    assert said == dict.fromkeys(tried, (503, True))
    assert counts(machine) == before
    assert machine.asked() == asked
    assert ada.see("/links/payroll").status_code == 200
    process.make_room()
    assert ada.refresh().status_code == 303
    assert machine.generations() == {"default": 2}
    assert stranger.submit("/sign-in", username="ada", password=PASSWORD).status_code == 303
    assert process.stop() == 0


def test_it_asks_for_no_grant_that_it_could_not_store(machine: Machine) -> None:
    """A054: a callback on a full disk is answered before its code is sent, and works once there is room."""
    machine.connect()
    process = machine.serve(**OFF)
    ada = machine.browser(process)
    back = machine.provider.consent(continued(ada.submit("/links/payroll/connect", label="default")))
    process.fill_the_disk()
    refused = ada.get(f"{process.base_url}/oauth/callback/{machine.link_id}", params=back, timeout=20)
    assert (refused.status_code, FULL in refused.text) == (503, True)
    assert machine.asked() == 0
    process.make_room()
    again = ada.get(f"{process.base_url}/oauth/callback/{machine.link_id}", params=back, timeout=20)
    assert again.status_code == 200
    assert machine.generations() == {"default": 1}


def test_it_leaves_a_connection_as_it_was_when_a_new_grant_cannot_be_stored(machine: Machine) -> None:
    """A054, A055: the disk becomes full while the code is exchanged; the grant that is stored works on."""
    machine.connect("default")
    process = machine.serve(**OFF)
    ada = machine.browser(process)
    back = machine.provider.consent(continued(ada.submit("/links/payroll/connect", label="default")))
    machine.provider.pause_at("rotated")
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(
            lambda: ada.get(f"{process.base_url}/oauth/callback/{machine.link_id}", params=back, timeout=20)
        )
        assert machine.provider.reached.wait(20)
        process.fill_the_disk()
        machine.provider.go()
        refused = coming.result()
    assert (refused.status_code, FULL in refused.text) == (503, True)
    process.make_room()
    assert machine.generations() == {"default": 1}
    assert ada.refresh().status_code == 303
    assert machine.generations() == {"default": 2}


def continued(answer: requests.Response) -> str:
    return answer.text.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")


def test_it_asks_for_no_token_that_it_could_not_store(machine: Machine) -> None:
    """C6: the refresher goes on, and refreshes as soon as there is room again."""
    machine.connect("default", "second")
    process = machine.serve()
    asked = machine.asked()
    process.fill_the_disk()
    machine.make_due()
    until(
        lambda: any("Nothing is refreshed, since" in line for line in process.lines),
        "said why",
    )
    assert machine.asked() == asked
    process.make_room()
    until(lambda: set(machine.generations().values()) == {2}, "both refreshed")
    assert machine.asked() == asked + 2
    assert process.stop() == 0


@pytest.mark.parametrize("who", ["worker", "server"])
def test_it_keeps_a_grant_that_came_as_the_disk_became_full(machine: Machine, who: str) -> None:
    """C2: in memory, and it says so; the provider knows no other refresh token by then."""
    machine.connect("default")
    server = machine.serve(**(OFF if who == "worker" else {}))
    process = machine.work() if who == "worker" else server
    machine.provider.pause_at("rotated")
    machine.make_due()
    assert machine.provider.reached.wait(20)
    process.fill_the_disk()
    machine.provider.go()
    process.wait_until_it_says("is in memory only")
    assert machine.generations() == {"default": 1}
    if who == "server":
        until(lambda: server.health()[1]["unstored"] == 1, "said to be unstored")
        assert server.health()[0] == 503
        assert "stores it as soon as it can" in machine.browser(server).see("/links").text
    process.make_room()
    until(lambda: machine.generations() == {"default": 2}, "stored")
    assert machine.browser(server).refresh().status_code == 303
    assert machine.generations() == {"default": 3}
    assert {request.outcome for request in machine.provider.requests} == {"granted"}


def test_it_stores_what_it_kept_before_it_stops(machine: Machine) -> None:
    """C8: SIGTERM on a full disk waits for room."""
    machine.connect("default")
    process = machine.work()
    machine.provider.pause_at("rotated")
    machine.make_due()
    assert machine.provider.reached.wait(20)
    process.fill_the_disk()
    machine.provider.go()
    process.wait_until_it_says("is in memory only")
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(process.stop)
        assert machine.generations() == {"default": 1}
        process.make_room()
        assert stopped.result() == 0
    assert machine.generations() == {"default": 2}


def test_it_leaves_the_schema_as_it_was_when_the_disk_is_full(machine: Machine) -> None:
    """C6: a migration without room is refused, and done at the next start."""
    machine.connect("default")
    open_sqlite(machine.database_file)
    go_back_to(2)
    database.close()
    full = machine.customized("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))")
    before = machine.fingerprint()
    refused = machine.start("check", PYTHONPATH=full)
    assert refused.wait() == 2
    assert len(refused.lines) == 1
    assert machine.fingerprint() == before
    assert machine.rows("select schema from instance") == [(2,)]
    started = machine.start("check")
    assert started.wait() == 1  # nobody refreshes
    assert machine.rows("select schema from instance") == [(SCHEMA,)]


def test_it_makes_no_half_an_applinks_on_a_full_disk(machine: Machine) -> None:
    """C6: what a first start has left behind doesn't keep the next one from starting."""
    full = machine.customized("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))")
    refused = machine.start(PYTHONPATH=full)
    assert refused.wait() == 2
    assert len(refused.lines) == 1
    assert machine.serve().stop() == 0


def test_it_recovers_on_a_disk_that_was_full_indeed(machine: Machine) -> None:
    """C6, on a disk of two MiB."""
    needs_mounts()
    machine.connect("default")
    aside, folder = f"{machine.place}/aside", str(machine.folder)
    small = mounting(
        [
            ["cp", "-a", folder, aside],
            ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", folder],
            ["cp", "-a", f"{aside}/.", folder],
        ]
    )
    process = machine.serve(PYTHONPATH=machine.customized(small))
    ada, asked = machine.browser(process), machine.asked()
    filler = Path(f"/proc/{process.pid}/root{folder}/filler")
    with filler.open("wb", buffering=0) as out, suppress(OSError):
        while out.write(b"x" * 4096):
            pass
    assert ada.refresh().status_code == 503
    assert ada.see("/links/payroll").status_code == 200
    assert machine.asked() == asked
    filler.unlink()
    assert ada.refresh().status_code == 303
    assert ada.refresh().status_code == 303  # with the token that was stored before
    assert [request.outcome for request in machine.provider.requests] == ["granted"] * 3
    assert process.stop() == 0


def test_it_waits_no_longer_than_five_seconds_for_another_writer(machine: Machine) -> None:
    """C6: SQLITE_BUSY is a page that says so; what a provider grants meanwhile is stored afterwards."""
    machine.connect("default")
    process = machine.serve()
    ada = machine.browser(process)
    machine.provider.pause_at("rotated")
    machine.make_due()
    assert machine.provider.reached.wait(20)
    with closing(sqlite3.connect(machine.database_file, isolation_level=None)) as other:
        other.execute("begin immediate")
        machine.provider.go()
        tried = ada.submit("/settings/appearance", appearance="dark")
        assert (tried.status_code, "writing to it for long" in tried.text) == (503, True)
        process.wait_until_it_says("is in memory only")
        other.execute("commit")
    until(lambda: machine.generations() == {"default": 2}, "stored")
    assert ada.submit("/settings/appearance", appearance="dark").status_code == 303
    assert ada.refresh().status_code == 303
    assert {request.outcome for request in machine.provider.requests} == {"granted"}


def test_it_lives_without_a_file_to_open(machine: Machine, password_hash: str) -> None:
    """C6: connections of the database and to the provider are files, too."""
    machine.connect("default", password_hash=password_hash)
    process = machine.serve(**OFF)
    ada = machine.browser(process)
    token, asked = ada.csrf_token(), machine.asked()
    used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    process.limit(resource.RLIMIT_NOFILE, used)
    statuses = set()
    for _ in range(20):  # until every thread has met it: each has a connection of its own to the database
        tried = ada.post(
            f"{process.base_url}/links/payroll/connections/default/refresh",
            data={"csrf_token": token},
            headers={"Origin": process.base_url},
            timeout=20,
            allow_redirects=False,
        )
        statuses.add(tried.status_code)
    assert statuses <= {303, 503}
    process.lift(resource.RLIMIT_NOFILE)
    until(lambda: ada.refresh().status_code == 303, "refreshed")
    assert "CANARY" not in "".join(process.lines)
    process.lines.clear()  # where the server can't accept a connection, it says so in its own way
    assert machine.asked() > asked
    assert {request.outcome for request in machine.provider.requests} == {"granted"}
    assert process.stop() == 0


def test_it_lives_without_memory_to_hash_in(machine: Machine, password_hash: str) -> None:
    """C6: Argon2id takes 64 MiB a time."""
    machine.connect(password_hash=password_hash)
    process = machine.serve(**OFF)
    stranger = machine.browser(process, signed_in=False)
    stranger.csrf_token()
    status = Path(f"/proc/{process.pid}/status").read_text()
    [size] = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize")]
    process.limit(resource.RLIMIT_AS, size + 16 * 1024 * 1024)
    assert stranger.submit("/sign-in", username="ada", password=PASSWORD).status_code == 503
    process.lift(resource.RLIMIT_AS)
    assert stranger.submit("/sign-in", username="ada", password=PASSWORD).status_code == 303
    assert process.stop() == 0
