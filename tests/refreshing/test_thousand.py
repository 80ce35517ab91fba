"""Many connections that expire together: all are fresh in time, and no host is pressed."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from applinks.models import Connection, State
from applinks.services.schedule import PACE
from applinks.settings import Settings
from applinks.wiring import Services
from tests.refreshing.together import SECONDS, MovedClock, keep_grant, make_link, running, until
from tests.rotating import Fault, RotatingProvider

WELL, BEHIND = 100, 20


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def app(settings: Settings, clock: MovedClock) -> Iterator[Flask]:
    """At its real pace. No call ends by itself, so that whoever hangs does so for as long as the test wants."""
    with running(settings, clock, replace(PACE, lease=4 * SECONDS), call=SECONDS) as app:
        yield app


@pytest.fixture
def well() -> Iterator[RotatingProvider]:
    with RotatingProvider(latency=0.2) as provider:
        yield provider


@pytest.fixture
def hanging() -> Iterator[RotatingProvider]:
    """It takes four requests, and answers none."""
    with RotatingProvider() as provider:
        provider.fail_next(*[Fault.hang()] * 4)
        yield provider


def most_within(seconds: float, provider: RotatingProvider) -> int:
    """The most requests that came within so many seconds. Not within one: a busy machine sees some of them late."""
    seen = sorted(request.at for request in provider.requests)
    return max(sum(first <= at < first + seconds for at in seen) for first in seen)


def test_it_refreshes_all_in_time_beside_a_host_that_hangs(
    services: Services, well: RotatingProvider, hanging: RotatingProvider
) -> None:
    """A073, C4: as many connections of both hosts as a minute brings, due at once, the hanging host's first."""
    elsewhere = hanging.base_url.replace("127.0.0.1", "localhost")
    behind = make_link(services, hanging, "Behind", token_endpoint=f"{elsewhere}/token")
    good = make_link(services, well, "Good")
    made = [keep_grant(services, hanging, behind, f"behind {number}", left=600) for number in range(BEHIND)]
    made += [keep_grant(services, well, good, f"well {number}", left=660) for number in range(WELL)]
    ends = {connection.id: connection.expires_at or 0 for connection in made}
    refreshed = Connection.select().where(Connection.generation == 2)
    services.refresher.start()
    until(lambda: refreshed.where(Connection.link == good).count() == WELL, "the good host's are refreshed")
    assert len(hanging.requests) == 4
    assert not refreshed.where(Connection.link == behind).exists()
    hanging.release()
    until(lambda: refreshed.where(Connection.link == behind).count() == BEHIND, "the other's are refreshed")
    services.refresher.stop()
    for provider, count in ((well, WELL), (hanging, BEHIND)):
        assert set(Counter(request.grant for request in provider.requests).values()) == {1}
        assert len(provider.requests) == count
        assert {request.outcome for request in provider.requests} == {"granted"}
        assert most_within(5, provider) <= 50
    for row in Connection.select():
        assert row.state == State.CONNECTED
        assert (row.refreshed_at or 0) < ends[row.id], "it had expired"
        assert (row.expires_at or 0) > time.time() + 3000
