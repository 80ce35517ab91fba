"""What was stored by every earlier release works in this one, however many processes start on it at once."""

from collections.abc import Callable

import pytest
from flask import Flask

from applinks import create_app
from applinks.models import Connection, Instance, database
from applinks.services.events import Filter
from applinks.services.migrations import SCHEMA
from applinks.services.tokens import TokenRequest
from applinks.settings import Settings
from applinks.wiring import Services
from tests.conftest import ADA, Clock, renew
from tests.processes import Process
from tests.services.test_storage import go_back_to
from tests.visitor import Visitor, text_of

PROCESSES = 4


@pytest.mark.parametrize("schema", range(1, SCHEMA))
def test_it_goes_on_with_what_an_earlier_release_has_stored(
    schema: int,
    ada: Visitor,
    connect: Callable[..., None],
    app: Flask,
    settings: Settings,
    clock: Clock,
) -> None:
    """A193: link, secret, tokens, administrator and session."""
    connect()
    token, _ = Connection.get().access_token_enc, database.close()
    go_back_to(schema)
    database.close()
    upgraded = create_app(settings, clock=clock)
    services: Services = upgraded.extensions["applinks"]
    assert Instance.get().schema == SCHEMA
    assert Connection.get().access_token_enc == token
    assert services.links.page("payr").rows[0].link.slug == "payroll"
    _, key = services.api_keys.make("script", None, manages=False, days=1, actor=ADA)
    assert services.tokens.read(TokenRequest("payroll"), key, "127.0.0.1").access_token
    assert renew(services) == "refreshed"
    assert "Payroll" in text_of(ada.get("/links"))
    services.counts.stop()
    verdict = services.events.verify()
    assert not verdict.problems
    assert list(services.events.all(Filter(what="refreshed")))
    services.refresher.stop()


def test_several_that_start_at_once_upgrade_it_once(
    ada: Visitor, connect: Callable[..., None], environ: dict[str, str], settings: Settings
) -> None:
    connect()
    go_back_to(2)
    database.close()
    servers = [Process(settings.data_dir, "serve", **environ) for _ in range(PROCESSES)]
    for server in servers:
        server.wait_until_open()
    assert [server.stop() for server in servers] == [0] * PROCESSES
    assert Instance.get().schema == SCHEMA
    assert Connection.select().count() == 1
