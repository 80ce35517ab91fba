"""A machine that lets a real Applinks down: its disk, its limits, its files. Everything on it has ended with the test."""

import ctypes
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from applinks import create_app
from applinks.crypto import new_id
from applinks.models import Administrator, database
from applinks.settings import read_settings
from applinks.wiring import Services
from tests.processes import ROOT, Process, free_port
from tests.rotating import RotatingProvider
from tests.visitor import Visitor

DEADLINE_SECONDS = 20
CANNOT_MOUNT = 77


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_SECONDS} s"
        pause.wait(0.02)


class FaultyProcess(Process):
    """One whose limits can be changed while it runs."""

    def wait_until_it_says(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines), text)

    def limit(self, kind: int, soft: int) -> None:
        hard = resource.prlimit(self.pid, kind)[1]
        resource.prlimit(self.pid, kind, (soft, hard))

    def lift(self, kind: int) -> None:
        self.limit(kind, resource.prlimit(self.pid, kind)[1])

    def fill_the_disk(self) -> None:
        """Let no file be written to any more; where a lock or a pipe is concerned, nothing changes."""
        self.limit(resource.RLIMIT_FSIZE, 0)

    def make_room(self) -> None:
        self.lift(resource.RLIMIT_FSIZE)

    def health(self) -> tuple[int, dict[str, Any]]:
        answer = requests.get(f"{self.base_url}/healthz", timeout=DEADLINE_SECONDS)
        return answer.status_code, answer.json()


class Browser(requests.Session):
    """A browser at a process; with a cookie of the machine, one that somebody is signed in with."""

    def __init__(self, process: Process, cookie: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.base_url = process.base_url
        if cookie:
            self.cookies.set(*cookie, domain="127.0.0.1")

    def see(self, path: str) -> requests.Response:
        return self.get(self.base_url + path, timeout=DEADLINE_SECONDS, allow_redirects=False)

    def csrf_token(self) -> str:
        page = self.see("/sign-in")
        if page.status_code != 200:
            page = self.see("/settings")
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert token, page.text
        return token[1]

    def submit(self, path: str, **fields: str) -> requests.Response:
        form, headers = {"csrf_token": self.csrf_token(), **fields}, {"Origin": self.base_url}
        return self.post(
            self.base_url + path, data=form, headers=headers, timeout=DEADLINE_SECONDS * 2, allow_redirects=False
        )

    def refresh(self, label: str = "default") -> requests.Response:
        """*Refresh now*."""
        return self.submit(f"/links/payroll/connections/{label}/refresh")


class Machine:
    """A data folder, a provider that forgives nothing, and the processes that a test starts on them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / "data"
        self.database_file = self.folder / "applinks.sqlite3"
        self.provider = RotatingProvider()
        self.port = free_port()
        self.link_id = new_id()
        self.cookie = ("", "")
        self._browsers: list[Browser] = []
        self._processes: list[FaultyProcess] = []

    def __enter__(self) -> Self:
        self.provider.start()
        return self

    def __exit__(self, *error: object) -> None:
        for browser in self._browsers:
            browser.close()
        for process in self._processes:
            process.stop(signal.SIGKILL)
        self.provider.stop()

    def connect(self, *labels: str, password_hash: str = "") -> None:
        """An administrator who is signed in, and their link with an account a label, as earlier days have left them."""
        environ = {"APPLINKS_DATA_DIR": str(self.folder), "APPLINKS_PORT": str(self.port)}
        settings = read_settings(environ)
        app = create_app(settings)
        services: Services = app.extensions["applinks"]
        ada = Administrator.create(
            id=new_id(), username="ada", password_hash=password_hash, created_at=int(time.time())
        )
        session = services.sign_in.begin_session(ada)
        serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        self.cookie = (settings.cookie_name, serializer.dumps({"id": session}))
        visitor = Visitor(app.test_client(), settings.base_url)
        visitor.client.set_cookie(self.cookie[0], self.cookie[1], domain="127.0.0.1")
        assert visitor.post(f"/links/new/outgoing/{self.link_id}", self.link_form()).status_code == 303
        for label in labels:
            url = visitor.continue_url(visitor.post("/links/payroll/connect", {"label": label}))
            back = visitor.get(f"/oauth/callback/{self.link_id}", query_string=self.provider.consent(url))
            assert back.status_code == 303, back.text
        database.close()

    def link_form(self, name: str = "Payroll") -> dict[str, str]:
        return {
            "name": name,
            "provider": "custom",
            "revealed": "custom",
            "authorization_endpoint": f"{self.provider.base_url}/authorize",
            "token_endpoint": f"{self.provider.base_url}/token",
            "userinfo_endpoint": f"{self.provider.base_url}/userinfo",
            "client_id": "payroll-client",
            "client_secret": "CANARY-client-secret",
            "scopes": "read",
        }

    def start(self, command: str = "", **settings: str) -> FaultyProcess:
        process = FaultyProcess(self.folder, command, self.port if command in ("", "serve") else None, **settings)
        self._processes.append(process)
        return process

    def serve(self, **settings: str) -> FaultyProcess:
        process = self.start(**settings)
        process.wait_until_open()
        return process

    def work(self, **settings: str) -> FaultyProcess:
        process = self.start("worker", **settings)
        process.wait_until_it_says("refreshes the tokens")
        return process

    def browser(self, process: Process, signed_in: bool = True) -> Browser:
        browser = Browser(process, self.cookie if signed_in else None)
        self._browsers.append(browser)
        return browser

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database_file)) as stored:
            return stored.execute(query).fetchall()

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.database_file)) as stored, stored:
            stored.execute(statement)

    def make_due(self) -> None:
        """As if the time of every connection had come."""
        self.change("update connection set next_attempt_at = 0")

    def generations(self) -> dict[str, int]:
        return dict(self.rows("select label, generation from connection"))

    def asked(self) -> int:
        """How many token requests the provider has had."""
        return len(self.provider.requests)

    def fingerprint(self) -> str:
        return hashlib.sha256(self.database_file.read_bytes()).hexdigest()

    def customized(self, program: str) -> str:
        """The PYTHONPATH of a process that begins with this program."""
        folder = self.place / new_id()
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(program)
        return str(folder)

    def ask_a_program(self, program: str, **environment: str) -> Any:
        """What a small program with an Applinks of its own prints, in JSON."""
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("APPLINKS_", "OAUTHLIB_"))
        }
        variables |= {"APPLINKS_DATA_DIR": str(self.folder), **environment}
        variables["PYTHONPATH"] = os.pathsep.join([environment.get("PYTHONPATH", ""), str(ROOT)])
        printed = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=30
        )
        assert printed.returncode == 0, printed.stderr
        return json.loads(printed.stdout)


# The process's own view of the file system: what it mounts, nobody else sees.
_ALONE = """
import ctypes, os, subprocess
if ctypes.CDLL(None).unshare(0x20000):
    os._exit({status})
for command in [["mount", "--make-rprivate", "/"], *{commands!r}]:
    if subprocess.run(command, capture_output=True).returncode:
        os._exit({status})
"""


def mounting(commands: Sequence[Sequence[str]]) -> str:
    """The program of a process that first runs these commands, where it alone sees what they mount."""
    return _ALONE.format(status=CANNOT_MOUNT, commands=[list(command) for command in commands])


@cache
def can_mount() -> bool:
    """Whether this user may mount something for one process."""
    if os.geteuid() != 0 or not shutil.which("mount") or not hasattr(ctypes.CDLL(None), "unshare"):
        return False
    probe = mounting([["mount", "-t", "tmpfs", "none", "/mnt"]])
    return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


def needs_mounts() -> None:
    if not can_mount():
        pytest.skip("This user may mount nothing, not even where one process alone sees it.")
