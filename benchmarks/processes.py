"""Servers as processes of their own: on the first core, while whoever measures has the second."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WAITRESS, GRANIAN = "waitress", "granian"
_BIN = Path(sys.executable).parent
_FIRST = {"hello": "/", "authlib": "/healthz"}  # what is asked for first


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    started_in: float  # seconds to the first answer


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def on_core(number: int) -> None:
    """Run on one core alone, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[min(number, len(cores) - 1)]})


@contextmanager
def serving(
    kind: str, environ: dict[str, str] | None = None, *, under: str = WAITRESS, python: Path | None = None
) -> Iterator[Server]:
    """Start one of `benchmarks.applications` under a server, and wait for its first answer."""
    port = free_port()
    environ = {**os.environ, "APPLINKS_PORT": str(port), **(environ or {})}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are kept, as they are wherever nobody forbids it
    command = [str(python or sys.executable), "-m", "benchmarks.applications", kind, str(port)]
    if under == GRANIAN:
        command = [str(_BIN / "granian"), "--interface", "wsgi", "--factory", "--port", str(port), "--no-log"]
        command += ["--blocking-threads", "1", f"benchmarks.applications:{kind}"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, preexec_fn=lambda: on_core(0))
    try:
        while not _answers(port, _FIRST.get(kind, "/sign-in")):
            if process.poll() is not None:
                raise RuntimeError(f"{kind} has ended with {process.returncode}")
            time.sleep(0.002)
        yield Server(port, process, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            host = f"Host: 127.0.0.1:{port}\r\nConnection: close"
            connection.sendall(f"GET {path} HTTP/1.1\r\n{host}\r\n\r\n".encode())
            return connection.recv(16)[9:12] == b"200"
    except OSError:
        return False


def prepare(environ: dict[str, str], *what: str) -> dict[str, Any]:
    """Make links, connections and keys in a process of its own; returns what it tells of them."""
    command = [sys.executable, "-m", "benchmarks.data", *what]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found
