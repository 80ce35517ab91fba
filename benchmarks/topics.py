"""What is measured, each as figures with what they should come to."""

import gzip
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.authlib_application import make as make_peer
from benchmarks.load import Load, get, load
from benchmarks.processes import GRANIAN, ROOT, WAITRESS, Server, free_port, on_core, prepare, serving

LINKS, CLIENTS = 1000, 8
HOLDING = {"APPLINKS_REFRESHER": "off"}


@dataclass(frozen=True)
class Figure:
    """`wanted` is in words; `met` is None where there is nothing to meet."""

    name: str
    value: str
    wanted: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Pace:
    """How long and how often is measured, in seconds and rounds."""

    seconds: float
    rounds: int


QUICK, WHOLE = Pace(0.5, 2), Pace(2.0, 5)


def at_least(name: str, ratio: float, wanted: float) -> Figure:
    return Figure(name, f"{ratio:.2f}", f"≥ {wanted:.2f}", ratio >= wanted)


def at_most(name: str, value: float, wanted: float, unit: str = "") -> Figure:
    return Figure(name, f"{value:.2f}{unit}", f"≤ {wanted:.2f}{unit}", value <= wanted)


@contextmanager
def fresh(**settings: str) -> Iterator[dict[str, str]]:
    """An environment with an Applinks that is empty."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"APPLINKS_DATA_DIR": f"{folder}/data", **settings}


def interleaved(ways: dict[str, tuple[int, list[bytes]]], pace: Pace, clients: int = CLIENTS) -> dict[str, float]:
    """The median of answers a second, one round after the other; every answer must be a good one."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for port, requests in ways.values():
        load(port, requests, clients=clients, seconds=pace.seconds / 2)
    for _ in range(pace.rounds):
        for name, (port, requests) in ways.items():
            answers = load(port, requests, clients=clients, seconds=pace.seconds)
            if set(answers.statuses) != {200}:
                raise RuntimeError(f"{name} answers with {dict(answers.statuses)}")
            found[name].append(answers.a_second)
    return {name: statistics.median(rates) for name, rates in found.items()}


def reads(server: Server, key: str, query: str = "") -> list[bytes]:
    path = "/api/v1/links/link-{}/token{}"
    return [get(server.port, path.format(number, query), Authorization=f"Bearer {key}") for number in range(LINKS)]


def token_read(pace: Pace) -> list[Figure]:
    """On SQLite, with what the steps on the way cost, and beside Authlib's client."""
    with fresh() as environ, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        key, peer = str(prepare(environ, "links", str(LINKS))["key"]), f"{folder}/peer.sqlite3"
        peer_key = make_peer(peer)
        hello = stack.enter_context(serving("hello"))
        ways = {"hello": (hello.port, [get(hello.port, "/")])}
        for kind in ("applinks", "uncounted"):
            server = stack.enter_context(serving(kind, environ))
            ways[kind] = server.port, reads(server, key)
        ways["through Flask"] = server.port, reads(server, key, "?min_ttl=60")
        other = stack.enter_context(serving("authlib", {"PEER_DATABASE": peer}))
        asked = [
            get(other.port, f"/links/link-{number}/token", Authorization=f"Bearer {peer_key}")
            for number in range(LINKS)
        ]
        ways["authlib"] = other.port, asked
        rates = interleaved(ways, pace)
        alone = load(*ways["applinks"], clients=1, seconds=2 * pace.seconds)
    bare = rates["hello"]
    return [
        Figure("bare Flask, answers a second", f"{bare:.0f}"),
        at_least("token read on SQLite, to bare Flask", rates["applinks"] / bare, 0.60),
        at_most("what counting reads costs, of a read", 1 - rates["applinks"] / rates["uncounted"], 0.03),
        at_least(
            "token read, to Authlib's Flask client on SQLAlchemy, which decrypts too",
            rates["applinks"] / rates["authlib"],
            4.0,
        ),
        at_most("one client alone: p99, to p50", alone.percentile(0.99) / alone.percentile(0.5), 3.0),
        Figure("one client alone: p50, p99 in µs", f"{alone.percentile(0.5):.0f}, {alone.percentile(0.99):.0f}"),
        Figure("the same uncounted, to bare Flask", f"{rates['uncounted'] / bare:.2f}"),
        Figure(
            "the same uncounted and through Flask (with a query), to bare Flask", f"{rates['through Flask'] / bare:.2f}"
        ),
    ]


def token_read_on_postgresql(pace: Pace, url: str) -> list[Figure]:
    with fresh(APPLINKS_DATABASE_URL=url) as environ:
        key = str(prepare(environ, "links", str(LINKS))["key"])
        with serving("hello") as hello, serving("applinks", environ) as server:
            ways = {"hello": (hello.port, [get(hello.port, "/")]), "applinks": (server.port, reads(server, key))}
            rates = interleaved(ways, pace)
    return [at_least("token read on PostgreSQL, to bare Flask", rates["applinks"] / rates["hello"], 0.40)]


def openbao(pace: Pace) -> list[Figure]:
    why = (
        "not measured: it has to be set up by hand" if shutil.which("bao") else "not measured: it isn't installed here"
    )
    return [Figure("token read, to OpenBao's key-value read", why, "≥ 2.50")]


def revocation(pace: Pace) -> list[Figure]:
    """Each key is used right after another process has revoked it."""
    with fresh() as environ:
        made = prepare(environ, "links", "5")
        keys = dict(made["keys"])
        with serving("applinks", environ) as server:
            for text in keys.values():
                if _status(server, text) != 200:
                    raise RuntimeError("a key doesn't count though it wasn't revoked")
            command = [sys.executable, "-m", "benchmarks.data", "revoke", *keys]
            revoking = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            answered = 0
            for _ in keys:
                key_id = revoking.stdout.readline().strip()  # type: ignore[union-attr]
                answered += _status(server, keys[key_id]) == 200
                revoking.stdin.write("\n")  # type: ignore[union-attr]
                revoking.stdin.flush()  # type: ignore[union-attr]
            revoking.communicate()
    return [Figure(f"answers to {len(keys)} keys just revoked by another process", str(answered), "0", answered == 0)]


def while_refreshing(pace: Pace) -> list[Figure]:
    """One server, measured while there is nothing to refresh and while eight hosts are being asked."""
    idle, busy, done = [], [], 0
    with fresh() as environ:
        key, port = str(prepare(environ, "links", str(LINKS))["key"]), free_port()
        prepare(environ, "refreshing", str(port))
        hosts = [f"127.0.0.{number}" for number in range(2, 10)]
        command = [sys.executable, "-m", "benchmarks.provider", str(port), "0", *hosts]
        provider = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=lambda: on_core(1))
        try:
            provider.stdout.readline()  # type: ignore[union-attr]
            with serving("served", environ) as server:
                requests = reads(server, key)
                for _ in range(pace.rounds):
                    idle.append(load(server.port, requests, clients=CLIENTS, seconds=pace.seconds).a_second)
                    _make_due(environ)
                    time.sleep(1.2)
                    before = _generations(environ)
                    busy.append(load(server.port, requests, clients=CLIENTS, seconds=pace.seconds).a_second)
                    done += _generations(environ) - before
                    while _due(environ):
                        time.sleep(0.2)
        finally:
            provider.kill()
    ratio = statistics.median(busy) / statistics.median(idle)
    return [
        at_least("reads while eight threads refresh, to idle", ratio, 0.75),
        Figure("refreshes meanwhile", str(done)),
    ]


def list_page(pace: Pace) -> list[Figure]:
    """The page, what its query costs as the table grows, and what goes over the wire."""
    with fresh(**HOLDING) as environ:
        prepare(environ, "links", "30")
        cookie = str(prepare(environ, "session")["cookie"])
        with serving("hello") as hello, serving("applinks", environ) as server:
            signed_in = {"Cookie": f"applinks-{server.port}={cookie}"}
            page = get(server.port, "/links", **signed_in)
            rates = interleaved({"hello": (hello.port, [get(hello.port, "/")]), "list": (server.port, [page])}, pace)
            as_htmx = {"HX-Request": "true", "Accept-Encoding": "gzip"}
            swapped = len(_good(server, get(server.port, "/links?after=0", **signed_in, **as_htmx)))
    with fresh(**HOLDING) as environ:
        prepare(environ, "incoming", "25")
        few = _query_costs(environ)
    with fresh(**HOLDING) as environ:
        prepare(environ, "incoming", "100000")
        many = _query_costs(environ)
    with fresh() as environ:
        prepare(environ, "links", "2")
        cookie = str(prepare(environ, "session")["cookie"])
        with serving("served", environ) as server:
            weight, requests = _weight(server, cookie)
    growth = max(many[name] / few[name] for name in few)
    costs = ", ".join(f"{name} {few[name] * 1e3:.2f} → {many[name] * 1e3:.2f} ms" for name in few)
    return [
        at_least("list of 25 rows, to bare Flask", rates["list"] / rates["hello"], 0.10),
        at_most("the slowest growth of a query from a page's 25 links to 100,000", growth, 1.5),
        Figure("queries with 25 → 100,000 links", costs),
        at_most("bodies of a first page load, in kB", weight / 1000, 30.0),
        Figure("requests of a first page load", str(requests), "≤ 6", requests <= 6),
        at_most("body of a swap of 25 rows, in kB", swapped / 1000, 3.0),
    ]


def starting(pace: Pace) -> list[Figure]:
    """As whoever has SQLite installs it: without psycopg."""
    with fresh(**HOLDING) as environ, tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", ROOT / "requirements.txt"], check=True, stderr=subprocess.DEVNULL)
        bare, ours, resident = [], [], 0.0
        for _ in range(2 * pace.rounds):
            with serving("hello", python=python) as server:
                bare.append(server.started_in)
            with serving("served", environ, python=python) as server:
                ours.append(server.started_in)
                time.sleep(0.5)
                resident = _resident(server)
    ratio = statistics.median(ours[1:]) / statistics.median(bare[1:])
    return [
        at_most("start to first answer, to bare Flask", ratio, 1.6),
        Figure("seconds to the first answer", f"{statistics.median(ours[1:]):.2f}"),
        at_most("idle memory, in MB", resident, 60.0),
    ]


def stopping(pace: Pace, under: str = WAITRESS) -> list[Figure]:
    """SIGTERM while four requests wait for a provider."""
    with fresh(**HOLDING) as environ:
        port = free_port()
        key = str(prepare(environ, "slow", str(port))["key"])
        command = [sys.executable, "-m", "benchmarks.provider", str(port), "1.5", "127.0.0.1"]
        provider = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        try:
            provider.stdout.readline()  # type: ignore[union-attr]
            kind = "served" if under == WAITRESS else "applinks"
            with serving(kind, environ, under=under) as server, ThreadPoolExecutor(4) as pool:
                path = "/api/v1/links/slow-{}/token"
                asked = [get(server.port, path.format(index), Authorization=f"Bearer {key}") for index in range(4)]
                waiting = [pool.submit(_fetch, server, request) for request in asked]
                time.sleep(0.7)
                server.process.send_signal(signal.SIGTERM)
                finished = sum(result.result()[0] == 200 for result in waiting)
        finally:
            provider.kill()
    name = "requests in flight that SIGTERM finishes, of 4"
    return [Figure(f"{name}, under {under}", str(finished), "4" if under == WAITRESS else "", finished == 4 or None)]


def servers(pace: Pace) -> list[Figure]:
    """Applinks' default server beside another."""
    figures = []
    with fresh(**HOLDING) as environ:
        key = str(prepare(environ, "links", str(LINKS))["key"])
        with ExitStack() as stack:
            ways = {}
            for under in (WAITRESS, GRANIAN):
                hello = stack.enter_context(serving("hello", under=under))
                server = stack.enter_context(serving("applinks", environ, under=under))
                ways[f"hello under {under}"] = hello.port, [get(hello.port, "/")]
                ways[f"token read under {under}"] = server.port, reads(server, key)
            rates = interleaved(ways, pace)
            for under in (WAITRESS, GRANIAN):
                alone = load(*ways[f"token read under {under}"], clients=1, seconds=pace.seconds)
                figures.append(Figure(f"p50, p99 in µs under {under}", _percentiles(alone)))
    base = rates[f"hello under {WAITRESS}"]
    ratios = [Figure(f"{name}, to hello under {WAITRESS}", f"{rate / base:.2f}") for name, rate in rates.items()]
    return [*ratios, *figures, *stopping(pace, GRANIAN)]


def _percentiles(found: Load) -> str:
    return f"{found.percentile(0.5):.0f}, {found.percentile(0.99):.0f}"


def _fetch(server: Server, request: bytes) -> tuple[int, bytes]:
    """Status and body of one answer, as it went over the wire; 0 where there was none."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head[9:12] or 0), body


def _good(server: Server, request: bytes) -> bytes:
    """The body of an answer that must be a good one."""
    status, body = _fetch(server, request)
    if status != 200:
        raise RuntimeError(f"{request[:60]!r} is answered with {status}")
    return body


def _status(server: Server, key: str) -> int:
    return _fetch(server, get(server.port, "/api/v1/links/link-1/token", Authorization=f"Bearer {key}"))[0]


def _weight(server: Server, cookie: str) -> tuple[int, int]:
    """Bytes of bodies, and how many requests, of a page with all that it names."""
    how = {"Cookie": f"applinks-{server.port}={cookie}", "Accept-Encoding": "gzip"}
    body = _good(server, get(server.port, "/links", **how))
    text = gzip.decompress(body).decode() if body[:2] == b"\x1f\x8b" else body.decode()
    named = set(re.findall(r'(?:src|href)="(/static/[^"#]+)[#"]', text))
    bodies = [body, *(_good(server, get(server.port, path, **how)) for path in named)]
    return sum(map(len, bodies)), len(bodies)


def _query_costs(environ: dict[str, str]) -> dict[str, float]:
    """Seconds of the service's own queries."""
    command = [sys.executable, "-m", "benchmarks.queries"]
    told = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True, text=True
    )
    return {name: float(cost) for name, cost in (line.rsplit(" ", 1) for line in told.stdout.splitlines())}


def _resident(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]


def _database(environ: dict[str, str]) -> sqlite3.Connection:
    return sqlite3.connect(f"{environ['APPLINKS_DATA_DIR']}/applinks.sqlite3", timeout=30)


def _make_due(environ: dict[str, str]) -> None:
    with _database(environ) as database:
        database.execute("UPDATE connection SET next_attempt_at = 1 WHERE label LIKE 'c-%'")


def _generations(environ: dict[str, str]) -> int:
    with _database(environ) as database:
        return int(database.execute("SELECT sum(generation) FROM connection").fetchone()[0])


def _due(environ: dict[str, str]) -> int:
    with _database(environ) as database:
        return int(database.execute("SELECT count(*) FROM connection WHERE next_attempt_at = 1").fetchone()[0])
