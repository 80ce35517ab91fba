"""`dist/applinks`, as somebody runs it who has nothing else: no Python, no environment, an empty folder."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from tests.processes import ROOT, free_port
from tests.processes.faults import until
from tests.processes.test_scripts import connected

EXECUTABLE = ROOT / "dist" / "applinks"
SECONDS = 60

pytestmark = pytest.mark.skipif(
    not EXECUTABLE.exists() and os.environ.get("CI") != "true", reason="make dist has not been run"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing but a place for what it unpacks, and a port where the usual one is taken."""
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "empty").mkdir()
    with closing(socket.socket()) as probe:
        taken = probe.connect_ex(("127.0.0.1", 5000)) == 0
    return {"TMPDIR": str(tmp_path / "unpacked")} | ({"APPLINKS_PORT": str(free_port())} if taken else {})


class Running:
    """The executable, serving, until the test ends."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        command = [EXECUTABLE, *arguments]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.match(r"Open (\S+)", line):
                self.address = found[1]
                break
        self.port = int(environment.get("APPLINKS_PORT", "5000"))
        self.url = f"http://127.0.0.1:{self.port}"

    def listens(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def children(self) -> list[int]:
        return [
            int(text) for text in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]


@pytest.fixture
def demo(tmp_path: Path, environment: dict[str, str]) -> Iterator[Running]:
    running = Running(tmp_path / "empty", environment, "demo")
    assert hasattr(running, "address"), running.lines
    children = running.children()
    yield running
    for number in (running.process.pid, *children):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    running.process.communicate(timeout=SECONDS)


def told(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [EXECUTABLE, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)


def test_it_makes_the_whole_dance_with_nothing_around_it(
    demo: Running, tmp_path: Path, environment: dict[str, str]
) -> None:
    key = connected(demo.url, demo.address)
    assert requests.get(f"{demo.url}/static/app.css", timeout=SECONDS).status_code == 200
    remote = environment | {"APPLINKS_URL": demo.url, "APPLINKS_API_KEY": key}
    token = told(tmp_path / "empty", remote, "token", "demo-provider")
    assert token.returncode == 0, token.stderr
    bearer = {"Authorization": f"Bearer {token.stdout.strip()}"}
    assert requests.get(f"{demo.url}/oauth/userinfo", headers=bearer, timeout=SECONDS).json()["name"] == "demo"
    local = environment | {"APPLINKS_DATA_DIR": "data/demo"}
    assert told(tmp_path / "empty", local, "links", "list").stdout.count("demo-") == 2


@pytest.mark.parametrize("whose", ["own", "child's"])
def test_killed_it_leaves_no_server_behind(demo: Running, whose: str) -> None:
    (child,) = demo.children()
    assert demo.listens()
    os.kill(demo.process.pid if whose == "own" else child, signal.SIGKILL)
    demo.process.wait(SECONDS)
    until(lambda: not demo.listens(), "nobody listens")
    until(lambda: not Path(f"/proc/{child}").exists(), "the child has gone")


@pytest.mark.parametrize(("parent", "status"), [("itself", 0), ("another", 1)])
def test_it_runs_under_nobody_but_itself(parent: str, status: int) -> None:
    """Its parent was killed before it could be followed: then somebody else is in its place."""
    hook = str(ROOT / "packaging" / "end_with_parent.py")
    command = [sys.executable, hook] if parent == "itself" else ["sh", "-c", '"$0" "$1"; exit $?', sys.executable, hook]
    assert subprocess.run(command, timeout=SECONDS, check=False).returncode == status


def test_it_refuses_a_port_that_is_taken(demo: Running, tmp_path: Path, environment: dict[str, str]) -> None:
    elsewhere = environment | {"APPLINKS_DATA_DIR": "elsewhere", "APPLINKS_PORT": str(demo.port)}
    said = told(tmp_path / "empty", elsewhere, "serve")
    assert said.returncode == 2
    assert f"127.0.0.1:{demo.port} can't be listened at" in said.stderr


def test_it_stops_in_order_and_clears_up(demo: Running, environment: dict[str, str]) -> None:
    unpacked = Path(environment["TMPDIR"])
    assert list(unpacked.iterdir())
    demo.process.terminate()
    assert demo.process.wait(SECONDS) == 0
    assert not demo.listens()
    assert list(unpacked.iterdir()) == []


def test_it_names_itself_in_its_help(tmp_path: Path, environment: dict[str, str]) -> None:
    said = told(tmp_path / "empty", environment, "--help")
    assert said.returncode == 0
    assert said.stdout.startswith("usage: applinks ")


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "says"),
    [
        (["nonsense"], {}, 2, "invalid choice"),
        (["serve"], {"APPLINKS_PORT": "many"}, 2, "must be a number from 1 to 65535"),
        (["serve"], {"APPLINKS_BASE_URL": "http://example.com"}, 2, "plain http is for this machine alone"),
        (["serve"], {"FLASK_DEBUG": "1"}, 2, "switches a protection off"),
        (["serve"], {"APPLINKS_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, 2, "can't be used as a database"),
        (["token", "payroll"], {}, 2, "There is no Applinks in"),
    ],
)
def test_it_refuses_in_words_as_it_does_from_a_checkout(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], settings: dict[str, str], status: int, says: str
) -> None:
    said = told(tmp_path / "empty", environment | settings, *arguments)
    assert said.returncode == status
    assert says in said.stderr
    assert "Traceback" not in said.stderr
    assert "_MEI" not in said.stderr
