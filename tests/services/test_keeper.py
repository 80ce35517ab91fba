"""What was granted and can't be stored yet."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from werkzeug.wrappers import Request, Response

from applinks.models import Connection, database
from applinks.services import keeper
from applinks.services.renewal import Outcome
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import renew
from tests.standin import StandIn, json_answer
from tests.visitor import Visitor

Connect = Callable[..., None]


@pytest.mark.sqlite
class TestWithALockedDatabase:
    """Another program begins to write while the provider answers, and takes longer than anybody waits."""

    @pytest.fixture
    def other(
        self, connect: Connect, provider: StandIn, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[sqlite3.Connection]:
        connect()
        database.execute_sql("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(settings.database_file, isolation_level=None, check_same_thread=False)) as other:

            def lock_meanwhile(request: Request) -> Response:
                other.execute("begin immediate")
                return json_answer({"access_token": "CANARY-new", "token_type": "Bearer", "expires_in": 60})(request)

            provider.answer(lock_meanwhile)
            yield other

    def test_it_stores_what_was_granted_as_soon_as_it_can(
        self, other: sqlite3.Connection, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A073: the provider may have replaced the refresh token, and says the new one once."""
        monkeypatch.setattr(keeper.log, "critical", lambda *_: other.execute("rollback"))
        assert renew(services) == Outcome.REFRESHED
        assert Connection.get().generation == 2
        assert services.renewal.unstored == 0

    def test_it_keeps_what_was_granted_in_memory_meanwhile(
        self, other: sqlite3.Connection, services: Services, monkeypatch: pytest.MonkeyPatch, stranger: Visitor
    ) -> None:
        """C2: and says so, but hands nothing out that isn't stored."""
        monkeypatch.setattr(keeper, "AT_ONCE_SECONDS", 0)
        assert renew(services) == Outcome.UNSTORED
        assert services.renewal.unstored == 1
        assert Connection.get().generation == 1
        health = stranger.get("/healthz")
        assert health.status_code == 503
        assert health.get_json()["unstored"] == 1
        other.execute("rollback")
        assert services.renewal.finish(10)
        assert Connection.get().generation == 2
