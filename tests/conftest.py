"""What every test starts from: a clock it may turn, an application of its own, people, and a provider."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from applinks import create_app
from applinks.crypto import hash_password, new_id
from applinks.models import TABLES, ActorKind, Administrator, Connection, Event, Tally, database
from applinks.providers import CATALOGUE, Catalogue
from applinks.services.events import Actor
from applinks.services.renewal import Outcome
from applinks.settings import Settings, read_settings
from applinks.wiring import Services
from tests.postgresql import Server
from tests.standin import StandIn
from tests.visitor import Visitor

PASSWORD = "CANARY plum lantern orbit"
CLIENT_SECRET = "CANARY-client-secret"
ADA = Actor("ada", ActorKind.ADMINISTRATOR, address="127.0.0.1")


class Clock:
    """Time as a test wants it, in seconds since 1970."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


# What is shown on both databases: everything that stores and refreshes, and the pages of what is stored. The other pages,
# whose statements are among those, run on both in the long form alone.
ON_BOTH = {"services", "refreshing", "test_authorization_server", "test_client_credentials", "test_connections"}
ON_BOTH |= {"test_dance", "test_health", "test_incoming_races", "test_issued_tokens", "test_keys", "test_links_code"}
ON_BOTH |= {"test_metrics"}
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_SERVER = pytest.StashKey[Server]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-on-both", action="store_true", help="run the tests of every page on both databases")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what stores something on SQLite and on PostgreSQL."""
    if "database_kind" not in metafunc.fixturenames:
        return
    path = metafunc.definition.path
    widened = metafunc.config.getoption("--all-on-both") and path.parent.name == "web"
    if widened or ON_BOTH & {path.parent.name, path.stem}:
        alone = [kind for kind in (SQLITE, POSTGRESQL) if metafunc.definition.get_closest_marker(kind)]
        metafunc.parametrize("database_kind", alone or [SQLITE, POSTGRESQL])


def _server(config: pytest.Config) -> Server:
    """The one PostgreSQL of a run."""
    if _SERVER not in config.stash:
        config.stash[_SERVER] = Server.start()
    return config.stash[_SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Every process of the tests has a database of its own."""
    node.workerinput["postgresql"] = _server(node.config).make_database(f"test_{node.gateway.id}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(_SERVER, None):
        server.stop()


@pytest.fixture(scope="session")
def postgresql_database(request: pytest.FixtureRequest) -> str:
    """The URL of this process's PostgreSQL database."""
    given = getattr(request.config, "workerinput", None)
    return str(given["postgresql"]) if given else _server(request.config).make_database("test_main")


@pytest.fixture
def empty_postgresql(postgresql_database: str) -> str:
    """The same, with nothing in it."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '5s'")  # a test that has left a transaction open fails here
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgresql_database


@pytest.fixture
def database_kind() -> str:
    """Which database a test runs on: SQLite, unless it runs on both."""
    return SQLITE


@pytest.fixture
def environ(tmp_path: Path, database_kind: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that settings are read from; a test may add to it."""
    environ = {"APPLINKS_DATA_DIR": str(tmp_path / "data")}
    if database_kind == POSTGRESQL:
        environ["APPLINKS_DATABASE_URL"] = request.getfixturevalue("empty_postgresql")
    return environ


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return read_settings(environ)


@pytest.fixture
def catalogue() -> Catalogue:
    """The providers that there are; tests of drawers move them to a stand-in."""
    return CATALOGUE


@pytest.fixture
def app(settings: Settings, clock: Clock, catalogue: Catalogue) -> Iterator[Flask]:
    app = create_app(settings, clock=clock, catalogue=catalogue)
    yield app
    app.extensions["applinks"].refresher.stop()
    app.extensions["applinks"].counts.stop()
    for row in [repr(row) for table in TABLES for row in table.select().tuples()] if settings.database_url else []:
        assert "CANARY" not in row, "a secret stands in a row"
    database.close()
    for file in settings.data_dir.glob("applinks.sqlite3*"):
        assert b"CANARY" not in file.read_bytes(), f"a secret stands in {file.name}"


@pytest.fixture
def services(app: Flask) -> Services:
    return app.extensions["applinks"]


def refresh_due(services: Services) -> int:
    """Have every connection refreshed whose time has come, and wait for that; returns how many were tried."""
    due = services.refresher.begin_due()
    assert services.refresher.finish(), "a refresh is still under way"
    return due


def renew(services: Services) -> Outcome:
    """Refresh the one connection there is, due or not."""
    return services.renewal.renew(Connection.get())


def times(event: Event) -> int:
    """How often an event has happened."""
    tally = Tally.get_or_none(Tally.event == event.id)
    return tally.count if tally else 1


def due_in(services: Services, clock: Clock) -> int:
    """Seconds until the refresher acts."""
    connection = Connection.get()
    assert connection.next_attempt_at is not None
    return int(connection.next_attempt_at - clock())


@pytest.fixture(scope="session")
def password_hash() -> str:
    """Argon2id is slow on purpose: once is enough."""
    return hash_password(PASSWORD)


@pytest.fixture
def make_administrator(app: Flask, clock: Clock, password_hash: str) -> Callable[[str], Administrator]:
    def make(username: str) -> Administrator:
        return Administrator.create(
            id=new_id(), username=username, password_hash=password_hash, created_at=int(clock())
        )

    return make


@pytest.fixture
def stranger(app: Flask, settings: Settings) -> Visitor:
    """A browser that is not signed in."""
    return Visitor(app.test_client(), settings.base_url)


@pytest.fixture
def sign_in_as(
    app: Flask, settings: Settings, services: Services, make_administrator: Callable[[str], Administrator]
) -> Callable[[str], Visitor]:
    """A browser that a new administrator is signed in with."""

    def sign_in(username: str) -> Visitor:
        visitor = Visitor(app.test_client(), settings.base_url)
        session_id = services.sign_in.begin_session(make_administrator(username))
        with visitor.client.session_transaction(base_url=settings.base_url) as session:
            session["id"] = session_id
        return visitor

    return sign_in


@pytest.fixture
def ada(sign_in_as: Callable[[str], Visitor]) -> Visitor:
    return sign_in_as("ada")


@pytest.fixture
def provider() -> Iterator[StandIn]:
    provider = StandIn()
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture
def link_form(provider: StandIn) -> dict[str, str]:
    """A custom link to the stand-in, as its form sends it."""
    return {
        "name": "Payroll",
        "provider": "custom",
        "revealed": "custom",
        "authorization_endpoint": f"{provider.base_url}/authorize",
        "token_endpoint": f"{provider.base_url}/token",
        "userinfo_endpoint": f"{provider.base_url}/userinfo",
        "client_id": "payroll-client",
        "client_secret": CLIENT_SECRET,
        "client_authentication": "client_secret_basic",
        "scopes": "read write",
    }


@pytest.fixture
def link_id(ada: Visitor, link_form: dict[str, str]) -> str:
    """The ID of a saved link, `payroll`, that isn't connected."""
    link_id = new_id()
    saved = ada.post(f"/links/new/outgoing/{link_id}", link_form)
    assert saved.status_code == 303, saved.text
    return link_id


@pytest.fixture
def connect(ada: Visitor, provider: StandIn, link_id: str) -> Callable[..., None]:
    """Connect an account of `payroll` through the whole dance."""

    def dance(label: str = "default") -> None:
        url = ada.continue_url(ada.post("/links/payroll/connect", {"label": label}))
        back = ada.get(f"/oauth/callback/{link_id}", query_string=provider.consent(url))
        assert back.status_code == 303, back.text

    return dance


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every logger at DEBUG, and no secret in any line."""
    caplog.set_level(logging.DEBUG)
    yield
    # Not `caplog.text`, which holds the lines of tearing down alone by now.
    for record in [*caplog.get_records("setup"), *caplog.get_records("call")]:
        assert "CANARY" not in caplog.handler.format(record), f"a secret is in the log of {record.name}"
