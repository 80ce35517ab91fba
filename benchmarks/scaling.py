"""How far one process goes, and how far several: `python -m benchmarks.scaling` prints a table. `--quick` only tries."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load import get, load
from benchmarks.processes import ROOT, free_port, on_core, prepare, serving
from benchmarks.topics import (
    CLIENTS,
    HOLDING,
    Figure,
    Pace,
    _due,
    _generations,
    _make_due,
    _percentiles,
    _resident,
    fresh,
    interleaved,
)
from tests.cluster import Cluster, missing
from tests.postgresql import Server

SIZES = (10, 1_000, 10_000, 100_000)
LATENCY = 0.1
HOUR_IS_REFRESHED_EVERY = 3600 - 720  # seconds
ALL_CORES = os.sched_getaffinity(0)
PACE = Pace(1.0, 5)
QUICK = Pace(0.3, 1)


def reads(port: int, key: str, links: int) -> list[bytes]:
    """Requests for a thousand of the links at most, from all over the table."""
    numbers = range(0, links, max(1, links // 1000))
    path = "/api/v1/links/link-{}/token"
    return [get(port, path.format(number), Authorization=f"Bearer {key}") for number in numbers]


def on_sqlite(pace: Pace) -> Iterator[Figure]:
    """One process on a file that grows."""
    for size in SIZES:
        with fresh(**HOLDING) as environ:
            key = str(prepare(environ, "many", str(size))["key"])
            file = Path(environ["APPLINKS_DATA_DIR"]) / "applinks.sqlite3"
            bytes_each = file.stat().st_size / size
            with serving("hello") as hello, serving("served", environ) as server:
                requests = reads(server.port, key, size)
                ways = {"hello": (hello.port, [get(hello.port, "/")]), "read": (server.port, requests)}
                rates = interleaved(ways, pace)
                alone = load(server.port, requests, clients=1, seconds=pace.seconds)
                ratio = rates["read"] / rates["hello"]
                yield Figure(
                    f"SQLite, {size:,} links",
                    f"{rates['read']:.0f} reads/s, {ratio:.2f} of bare Flask; p50, p99 in µs {_percentiles(alone)}; "
                    f"start {server.started_in:.2f} s; {_resident(server):.0f} MB; {bytes_each / 1000:.1f} kB a link",
                )


def refreshing(pace: Pace) -> Iterator[Figure]:
    """One process with its refresher, at providers that take a tenth of a second; reads go on beside it."""
    with fresh() as environ:
        key, port = str(prepare(environ, "many", "1000")["key"]), free_port()
        prepare(environ, "refreshing", str(port))
        hosts = [f"127.0.0.{number}" for number in range(2, 10)]
        command = [sys.executable, "-m", "benchmarks.provider", str(port), str(LATENCY), *hosts]
        provider = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, preexec_fn=lambda: on_core(1))
        try:
            provider.stdout.readline()  # type: ignore[union-attr]
            with serving("hello") as hello, serving("served", environ) as server:
                requests = reads(server.port, key, 1000)
                bare = load(hello.port, [get(hello.port, "/")], clients=CLIENTS, seconds=3 * pace.seconds).a_second
                _make_due(environ)
                before, began = _generations(environ), time.monotonic()
                while _due(environ):
                    time.sleep(0.1)
                rate = (_generations(environ) - before) / (time.monotonic() - began)
                yield Figure(
                    "refreshes at eight hosts",
                    f"{rate:.0f} a second: {rate * HOUR_IS_REFRESHED_EVERY:,.0f} connections with tokens of an hour",
                )
                _make_due(environ)
                time.sleep(1.2)
                busy = load(server.port, requests, clients=CLIENTS, seconds=3.0)
                while _due(environ):
                    time.sleep(0.1)
                yield Figure("SQLite, 1,000 links, while it refreshes", _read(busy.a_second, bare))
        finally:
            provider.kill()


def on_postgresql(pace: Pace) -> Iterator[Figure]:
    """A cluster that shares the cores with nginx, PostgreSQL, and whoever measures."""
    os.sched_setaffinity(0, ALL_CORES)  # what is started here runs anywhere
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        postgresql = Server.start()
        stack.callback(postgresql.stop)
        url = postgresql.make_database("scaling")
        cluster = Cluster(Path(folder), url)
        stack.callback(cluster.kill)
        cluster.start()
        environ = {"APPLINKS_DATA_DIR": f"{folder}/data", "APPLINKS_DATABASE_URL": url}
        key = str(prepare(environ, "many", "10000")["key"])
        hello = stack.enter_context(serving("hello"))
        ways = {"hello": (hello.port, [get(hello.port, "/")])}
        for name, port in (("one server", cluster.ports[0]), ("three behind nginx", cluster.port)):
            ways[name] = port, reads(port, key, 10_000)
        rates = interleaved(ways, pace)
        for name in list(ways)[1:]:
            alone = load(*ways[name], clients=1, seconds=pace.seconds)
            told = f"{_read(rates[name], rates['hello'])}; p50, p99 in µs {_percentiles(alone)}"
            yield Figure(f"PostgreSQL, 10,000 links, {name}", told)


def _read(a_second: float, bare: float) -> str:
    return f"{a_second:.0f} reads/s, {a_second / bare:.2f} of bare Flask"


def main() -> int:
    pace = QUICK if "--quick" in sys.argv else PACE
    topics: list[Callable[[Pace], Iterator[Figure]]] = [on_sqlite, refreshing]
    if why := missing():
        print(f"Nothing is measured on PostgreSQL: {why}.", file=sys.stderr)
    else:
        topics.append(on_postgresql)
    print(f"On {len(ALL_CORES)} cores; load average at the start: {os.getloadavg()[0]:.1f}\n")
    print("| what | measured |\n|---|---|")
    on_core(1)
    for measure in topics:
        for figure in measure(pace):
            print(f"| {figure.name} | {figure.value} |", flush=True)
    print(f"\nLoad average at the end: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
