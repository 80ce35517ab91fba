"""Several Applinks on one PostgreSQL behind nginx, on loopback: `python -m tests.cluster` runs them until it is stopped.

All share one data folder, as on one machine: so they share the keys, one of them makes the tables, and a killed one is known
at once by its unlocked file. On several machines the keys file is shared alone, and a killed one's leases end by themselves.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from tests import nginx, postgresql
from tests.processes import Process, free_port

SERVERS, WORKERS = 3, 2
SECONDS = 30

# No server is left out after a failure: here one that is away refuses at once. What was sent to a server is repeated at
# another only where that is harmless: nginx never repeats a POST that it has sent.
_SITE = """
upstream applinks {{
    {servers}
    keepalive 32;
}}
server {{
    listen 127.0.0.1:{port};
    client_max_body_size 1m;
    location / {{
        proxy_pass http://applinks;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_next_upstream error timeout;
        proxy_read_timeout 60s;
    }}
}}
"""


def missing() -> str:
    """What a cluster needs and this machine hasn't, in words; empty where everything is there."""
    if not nginx.find():
        return "nginx isn't installed"
    try:
        postgresql.find_binaries()
    except RuntimeError as error:
        return str(error)
    return ""


class Member(Process):
    """One of the processes; what it prints is kept."""

    @property
    def ready(self) -> bool:
        """Whether it says that it serves, or refreshes."""
        return any(line.startswith("Open ") or "refreshes the tokens" in line for line in self.lines)


class Cluster:
    """`servers` and `workers` are its processes; one that was stopped is started again in its place."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        port: int | None = None,
        servers: int = SERVERS,
        workers: int = WORKERS,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.ports = [free_port() for _ in range(servers)]
        self.servers: list[Member] = []
        self.workers: list[Member] = []
        self._workers = workers
        self._environ = {
            "APPLINKS_DATABASE_URL": database_url,
            "APPLINKS_BASE_URL": self.base_url,
            "APPLINKS_REFRESHER": "off",
            "APPLINKS_TRUSTED_PROXIES": "127.0.0.1/32",
        }
        self._front: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the first server, which makes what isn't there yet, and then all others at once."""
        self.servers = [self.serve(self.ports[0])]
        until(lambda: self.servers[0].ready or not self.servers[0].lives, "started")
        self.servers += [self.serve(port) for port in self.ports[1:]]
        self.workers = [self.work() for _ in range(self._workers)]
        self.wait_until_ready()
        self.start_front()

    def serve(self, port: int) -> Member:
        return Member(self.folder / "data", "serve", port, **self._environ)

    def work(self) -> Member:
        return Member(self.folder / "data", "worker", **self._environ)

    def wait_until_ready(self) -> None:
        """Until all have started. Raises RuntimeError with what one of them says that hasn't."""

        def all_ready() -> bool:
            for member in self.members:
                if not member.lives:
                    raise RuntimeError(" ".join(member.lines))
            return all(member.ready for member in self.members)

        until(all_ready, "all started")

    @property
    def members(self) -> list[Member]:
        return [*self.servers, *self.workers]

    @property
    def address(self) -> str:
        """What a person opens: the setup address that was made last, while there is no administrator, else the base URL."""
        codes = [line.removeprefix("Open ") for server in self.servers for line in server.lines if "/setup/" in line]
        works = [url for url in codes if _answers(url)]
        return works[0] if works else f"{self.base_url}/"

    def restart(self, number: int, how: signal.Signals) -> int:
        """End a member, the servers counted first, and start it again; returns its exit status."""
        place, index = (
            (self.servers, number) if number < len(self.servers) else (self.workers, number - len(self.servers))
        )
        status = place[index].stop(how)
        place[index] = self.serve(self.ports[index]) if place is self.servers else self.work()
        self.wait_until_ready()
        return status

    def start_front(self) -> None:
        """Start nginx, and wait until it listens."""
        servers = "\n    ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in self.ports)
        self._front = nginx.start(self.folder, _SITE.format(port=self.port, servers=servers))
        until(lambda: _answers(f"{self.base_url}/sign-in"), "nginx answers")

    def stop_front(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT lets nginx finish what it passes on."""
        if self._front and self._front.poll() is None:
            children = _children(self._front.pid)
            self._front.send_signal(how)
            self._front.wait(SECONDS)
            for child in children if how == signal.SIGKILL else []:
                _kill(child)

    def stop(self) -> list[int]:
        """End everything, the servers and workers at once; returns their exit statuses."""
        self.stop_front(signal.SIGTERM)
        for member in self.members:
            if member.lives:
                member.tell(signal.SIGTERM)
        return [member.wait() for member in self.members]

    def kill(self) -> None:
        """End everything that is left, however."""
        self.stop_front(signal.SIGKILL)
        for member in self.members:
            member.stop(signal.SIGKILL)


def until(holds: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    """Wait until something holds. Raises RuntimeError where it doesn't in time."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds} seconds")
        pause.wait(0.02)


def _answers(url: str) -> bool:
    with requests.Session() as browser:
        browser.trust_env = False
        try:
            return browser.get(url, timeout=5, allow_redirects=False).status_code == 200
        except requests.RequestException:
            return False


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=5000, help="where nginx listens (5000)")
    arguments = parser.parse_args()
    if why := missing():
        print(f"No cluster without nginx and PostgreSQL: {why}.", file=sys.stderr)
        return 2
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="applinks-cluster-")))
        server = postgresql.Server.start()
        stack.callback(server.stop)
        cluster = Cluster(folder, server.make_database("cluster"), port=arguments.port)
        stack.callback(cluster.kill)
        try:
            cluster.start()
        except RuntimeError as error:
            print(f"The cluster didn't start: {error}", file=sys.stderr)
            return 2
        print(
            f"{SERVERS} servers at ports {', '.join(map(str, cluster.ports))} and {WORKERS} workers. Ctrl-C stops all."
        )
        print(f"Open {cluster.address}", flush=True)
        while not stopped.wait(1):
            for member in [member for member in cluster.members if not member.lives]:
                print(f"Process {member.pid} has ended: {' '.join(member.lines[-1:])}", file=sys.stderr, flush=True)
                return 1
        return max(map(abs, cluster.stop()))


if __name__ == "__main__":
    sys.exit(main())
