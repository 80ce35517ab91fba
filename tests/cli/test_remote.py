"""The command line against a running server, with APPLINKS_URL and APPLINKS_API_KEY."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from applinks.models import Connection, State, database
from applinks.wiring import Services
from tests.cli.conftest import Run, Said
from tests.conftest import ADA

Connect = Callable[..., None]


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """A server of the tests' application, in a thread of its own."""
    inner = app.wsgi_app

    def closing(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return inner(environ, start_response)
        finally:
            database.close()

    app.wsgi_app = closing  # type: ignore[method-assign]
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def remotely(run: Run, url: str, services: Services, tmp_path: Path) -> Callable[..., Said]:
    """A command that has no database: where its own would be, there is none."""
    _, key = services.api_keys.make("laptop", None, manages=False, days=1, actor=ADA)

    def ask(*arguments: str, **settings: str) -> Said:
        nowhere = str(tmp_path / "nowhere")
        return run(
            *arguments,
            **{"APPLINKS_URL": url, "APPLINKS_API_KEY": key, "APPLINKS_DATA_DIR": nowhere, **settings},
        )

    return ask


def test_it_asks_the_server_for_a_token(remotely: Callable[..., Said], connect: Connect, run: Run) -> None:
    connect()
    said = remotely("token", "payroll", "--connection", "default", "--min-ttl", "5")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("CANARY")
    assert remotely("token", "payroll", "--xoauth2", "ada@example.com").out.endswith("=\n") or said.out


def test_it_asks_the_server_for_the_list(remotely: Callable[..., Said], link_id: str) -> None:
    assert "payroll" in remotely("links", "list").out
    assert '"slug": "payroll"' in remotely("links", "list", "--json", "--search", "pay").out


@pytest.mark.parametrize(("state", "status"), [(State.RECONNECT_NEEDED, 3), (State.DISCONNECTED, 3)])
def test_it_says_the_same_as_beside_the_database(
    remotely: Callable[..., Said], connect: Connect, state: State, status: int
) -> None:
    connect()
    Connection.update(state=state).execute()
    said = remotely("token", "payroll")
    assert (said.status, said.out) == (status, "")
    assert "http://127.0.0.1:5000/links/payroll" in said.err


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"APPLINKS_API_KEY": "apl_wrong"}, 1, "Send an API key that is valid"),
        ({"APPLINKS_API_KEY": ""}, 2, "no APPLINKS_API_KEY"),
        ({"APPLINKS_API_KEY": "a b\n"}, 2, "a character that no key has"),
        ({"APPLINKS_URL": "http://example.com"}, 2, "APPLINKS_URL is"),
        ({"APPLINKS_URL": "http://127.0.0.1:9"}, 1, "can't be asked"),
        ({"APPLINKS_URL": "ftp://127.0.0.1"}, 2, "APPLINKS_URL is"),
    ],
)
def test_it_refuses_what_leads_nowhere(
    remotely: Callable[..., Said], link_id: str, changes: dict[str, str], status: int, says: str
) -> None:
    said = remotely("token", "payroll", **changes)
    assert (said.status, said.out) == (status, "")
    assert says in said.err
    assert "apl_" not in said.err


def test_it_knows_no_link_that_the_server_does_not(remotely: Callable[..., Said]) -> None:
    assert remotely("token", "no/../body").status == 1
    assert "There is no" in remotely("token", "nobody").err
