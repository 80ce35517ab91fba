"""The real application as its own process, as a person starts it."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Application:
    """`python app.py [COMMAND]` on loopback; `address` is what it tells a person to open."""

    def __init__(self, data_dir: Path, *command: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.base_url = environment.get("APPLINKS_BASE_URL", f"http://127.0.0.1:{self.port}")
        given = {name: value for name, value in os.environ.items() if not name.startswith("APPLINKS_")}
        own = {"APPLINKS_PORT": str(self.port), "APPLINKS_DATA_DIR": str(data_dir), "PYTHONDONTWRITEBYTECODE": "1"}
        self._errors = (data_dir.parent / f"{data_dir.name}.err").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), *command],
            env=given | own | environment,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._said = ""
        self.address = self._read_address()

    def sql(self, statement: str, *values: object) -> None:
        """Change what is stored behind the application's back."""
        connection = sqlite3.connect(self.data_dir / "applinks.sqlite3", timeout=10)
        with connection:
            connection.execute(statement, values)
        connection.close()

    def stop(self) -> None:
        """End it as an operator does, and look for secrets in all that it leaves behind."""
        self._process.terminate()
        rest, _ = self._process.communicate(timeout=20)
        self._errors.seek(0)
        said = self._said + rest + self._errors.read()
        self._errors.close()
        assert self._process.returncode == 0, said
        assert "CANARY" not in said, "a secret is in the log"
        assert "Traceback" not in said, said
        for file in self.data_dir.glob("applinks.sqlite3*"):
            assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"

    def _read_address(self) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said += line
            if found := re.match(r"Open (\S+)", line):
                return found[1]
        raise AssertionError(f"It didn't start: {self._said}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
