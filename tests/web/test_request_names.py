"""The name of a request: whose word counts for it, and where it stands."""

from collections.abc import Callable

import pytest
from flask import Flask

from applinks.settings import Settings

Ask = Callable[..., str]


@pytest.fixture
def ask(app: Flask, settings: Settings) -> Ask:
    """The name in the answer to a request that comes with one, from an address."""

    def name(given: str, address: str = "127.0.0.1", path: str = "/healthz") -> str:
        answer = app.test_client().get(
            path, headers={"X-Request-Id": given}, base_url=settings.base_url, environ_base={"REMOTE_ADDR": address}
        )
        (found,) = answer.headers.getlist("X-Request-Id")
        return found

    return name


class TestBehindAProxy:
    @pytest.fixture
    def environ(self, environ: dict[str, str]) -> dict[str, str]:
        return environ | {"APPLINKS_TRUSTED_PROXIES": "127.0.0.1/32"}

    @pytest.mark.parametrize("given", ["a", "7f3.A_b-9", "x" * 64])
    @pytest.mark.parametrize("path", ["/healthz", "/nothing", "/api/v1/links/payroll/token", "/static/app.css"])
    def test_it_keeps_the_proxys_name(self, ask: Ask, given: str, path: str) -> None:
        assert ask(given, path=path) == given

    @pytest.mark.parametrize(
        "given", ["", "x" * 65, "a b", "a,b", "a\u00e9", "\x1b[2J", "a;b", "<b>", "a\u2028b", "a\t"]
    )
    def test_it_takes_no_name_that_could_be_anything_else(self, ask: Ask, given: str) -> None:
        found = ask(given.encode("utf-8").decode("latin-1"))
        assert len(found) == 16
        assert int(found, 16) >= 0

    def test_it_takes_no_name_from_elsewhere(self, ask: Ask) -> None:
        assert ask("mine", "127.0.0.2") != "mine"
