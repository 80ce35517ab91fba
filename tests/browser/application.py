"""The real application as its own process, as a person starts it."""

import sqlite3
from pathlib import Path

from tests.processes import Process, free_port

__all__ = ["Application", "free_port"]


class Application:
    """`python app.py [COMMAND]` on loopback; `address` is what it tells a person to open."""

    def __init__(self, data_dir: Path, *command: str, **settings: str) -> None:
        self.data_dir = data_dir
        self._process = Process(data_dir, " ".join(command), **settings)
        self.port, self.base_url = self._process.port, self._process.base_url
        self.address = self._process.wait_until_open()

    def sql(self, statement: str, *values: object) -> None:
        """Change what is stored behind the application's back."""
        connection = sqlite3.connect(self.data_dir / "applinks.sqlite3", timeout=10)
        with connection:
            connection.execute(statement, values)
        connection.close()

    def stop(self) -> None:
        """End it as an operator does, and look for secrets in all that it leaves behind."""
        assert self._process.stop() == 0
        for file in self.data_dir.glob("applinks.sqlite3*"):
            assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"
