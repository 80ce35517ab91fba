"""Scripts with their API keys."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA


class Script:
    """A program with an API key, at a network address."""

    def __init__(self, app: Flask, base_url: str, key: str, address: str = "127.0.0.1") -> None:
        self.client = app.test_client()
        self.base_url = base_url
        self.key = key
        self.address = address

    def ask_whatever_comes(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        environ = {"REMOTE_ADDR": self.address}
        return self.client.open(
            f"/api/v1{path}", method=method, headers=headers, base_url=self.base_url, environ_base=environ, **more
        )

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        answer = self.ask_whatever_comes(method, path, **more)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        assert "CANARY-client-secret" not in answer.text
        assert "CANARY-refresh" not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        return answer

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.ask("POST", path, **more)


MakeScript = Callable[..., Script]


@pytest.fixture
def make_script(app: Flask, services: Services, settings: Settings) -> MakeScript:
    """A script whose key is for all links, or for those of the IDs given."""

    def make(*link_ids: str, manages: bool = False, days: int = 90, address: str = "127.0.0.1") -> Script:
        _, key = services.api_keys.make("backup script", list(link_ids) or None, manages=manages, days=days, actor=ADA)
        return Script(app, settings.base_url, key, address)

    return make


@pytest.fixture
def script(make_script: MakeScript) -> Script:
    return make_script()


@pytest.fixture
def manager(make_script: MakeScript) -> Script:
    return make_script(manages=True)
