"""A real Applinks in a process of its own, as an operator starts it."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The browser's side of these tests isn't Applinks: at DEBUG it would write the URLs that it asks for.
logging.getLogger("urllib3").setLevel(logging.WARNING)


class Process:
    """`python app.py [COMMAND]` on a port of its own; what it prints is kept and must hold no secret."""

    def __init__(self, folder: Path, command: str = "", port: int | None = None, **settings: str) -> None:
        self.port = port or free_port()
        self.folder = folder
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("APPLINKS_", "OAUTHLIB_"))
        }
        environment |= {
            "APPLINKS_PORT": str(self.port),
            "APPLINKS_DATA_DIR": str(folder),
            "PYTHONUNBUFFERED": "1",
        } | settings
        self.base_url = settings.get("APPLINKS_BASE_URL", f"http://127.0.0.1:{self.port}")
        self._process = subprocess.Popen(
            [sys.executable, "app.py", *command.split()],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or []:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Open "):
                self._ready.set()
        self._ready.set()

    def wait_until_open(self) -> str:
        """The address of the last line, once it serves."""
        assert self._ready.wait(START_SECONDS), self.lines
        found = re.fullmatch(r"Open (\S+)", self.lines[-1] if self.lines else "")
        assert found, self.lines
        return found[1]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def tell(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        if self.lives:
            self.tell(how)
        return self.wait()

    def wait(self) -> int:
        status = self._process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        assert not self._reader.is_alive(), "somebody else holds its output open"  # closing it would wait, too
        if self._process.stdout:
            self._process.stdout.close()
        assert "CANARY" not in "\n".join(self.lines), "a secret is on the console"
        assert "Traceback" not in "\n".join(self.lines), self.lines
        return status
