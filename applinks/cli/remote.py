"""The command line against a running server: APPLINKS_URL and APPLINKS_API_KEY. No database is opened."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from applinks.errors import AppError
from applinks.settings import Remote

SECONDS = 60.0


@dataclass(frozen=True)
class RemoteAnswer:
    status: int
    content: dict[str, Any]

    @property
    def complaint(self) -> str:
        """What the server says is wrong, and where a person mends it."""
        said, url = str(self.content.get("detail", "")), str(self.content.get("url", ""))
        said = said or f"The server answers with status {self.status}, which is no answer of Applinks."
        return _plain(f"{said}\nOpen {url}" if url else said)


class Remotely:
    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def get(self, path: str, query: dict[str, Any]) -> RemoteAnswer:
        """Ask a server. Raises AppError where it can't be asked; the key is in no message."""
        with requests.Session() as session:
            session.trust_env = False  # a .netrc would take the place of the key
            session.verify = str(self._remote.ca_file) if self._remote.ca_file else True
            session.headers["Authorization"] = f"Bearer {self._remote.api_key}"
            try:
                answer = session.get(
                    f"{self._remote.url}/api/v1/{quote(path)}",
                    params={name: value for name, value in query.items() if value is not None},
                    allow_redirects=False,
                    timeout=SECONDS,
                )
                content = answer.json()
            except requests.exceptions.JSONDecodeError:
                content = {}
            except requests.RequestException as error:
                raise AppError(f"{self._remote.url} can't be asked: {_plain(type(error).__name__)}.") from None
        return RemoteAnswer(answer.status_code, content if isinstance(content, dict) else {})


def _plain(text: str) -> str:
    """Nothing that a server sends moves the terminal's cursor."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
