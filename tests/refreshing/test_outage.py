"""A day without a provider, on a clock that jumps from one try to the next, and the hours after it."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from peewee import fn

from applinks.models import Connection, State, database
from applinks.oauth.client import prepare_libraries
from applinks.services.schedule import LADDER
from applinks.services.storage import open_storage
from applinks.services.tokens import NoTokenError
from applinks.settings import Settings
from tests.conftest import SQLITE
from tests.refreshing.model import LIFE, RETRY_AFTER, Provider, Says, Sent, Times, World, requests_of

DAY = 86_400
MOST_REQUESTS = 40
LONGEST = LADDER[-1] * 1.2


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    prepare_libraries(loopback=True)
    world = World.open(settings, open_storage(settings), Provider(Times()))
    world.create()
    yield world
    world.services.refresher.stop()
    assert not world.provider.wrong
    database.close()


class Day:
    """Some connections that are due, and the provider that is away for a day from now on."""

    def __init__(self, world: World, says: Says, connections: int) -> None:
        self.world, self.provider = world, world.provider
        for number in range(connections):
            world.connect(f"account-{number}")
        world.times.advance(LIFE - 720)
        self.began = world.times()
        self.provider.standing = says

    @property
    def rows(self) -> list[Connection]:
        return list(Connection.select().order_by(Connection.label))

    @property
    def states(self) -> set[str]:
        return {row.state for row in self.rows}

    def go_on(self, until: float) -> None:
        """Refresh whatever is due, and jump to when something is again."""
        while True:
            self.world.refresh_due()
            self.hand_out_one()
            planned = Connection.select(fn.MIN(Connection.next_attempt_at)).scalar()
            assert planned > self.world.times(), "a round has left something that is due"
            if planned > until:
                break
            self.world.times.right = float(planned)
        self.world.times.right = until

    def hand_out_one(self) -> None:
        """Whoever asks gets the token for as long as it lives, and makes nobody ask the provider sooner."""
        row, before = Connection.get(Connection.label == "account-0"), len(self.provider.sent)
        try:
            token = self.world.services.tokens.valid(row.id)
            assert self.provider.access[token.access_token][0] > self.world.times()
        except NoTokenError:
            assert row.expires_at <= self.world.times(), "a token that lives wasn't handed out"
        assert len(self.provider.sent) == before

    def requests(self) -> list[list[Sent]]:
        return list(requests_of(self.provider.sent).values())

    def come_back(self) -> list[float]:
        """The outage is over; returns when each connection was refreshed, since then."""
        before, ended = len(self.provider.sent), self.world.times()
        self.provider.standing = Says.GOOD
        self.go_on(ended + LONGEST)
        assert self.states == {State.CONNECTED}
        for row in self.rows:
            assert self.world.services.tokens.valid(row.id).expires_at == row.expires_at
        after = requests_of(self.provider.sent[before:]).values()
        assert all(sent[0].granted for sent in after), "one request brings each back"
        assert all(gap >= LIFE - 720 for sent in after for gap in gaps(sent))
        return [sent[0].at - ended for sent in after]


def gaps(sent: list[Sent]) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(sent)]


def is_ladder(waits: list[float], first: int = 0) -> bool:
    """Whether these are the ladder's steps from one on, give or take a fifth and a second of rounding."""
    steps = [*LADDER[first:], *[LADDER[-1]] * len(waits)]
    return all(0.8 * step - 1 <= wait <= 1.2 * step + 1 for step, wait in zip(steps, waits, strict=False))


def test_it_survives_a_day_of_503(world: World, database_kind: str) -> None:
    """A067, C8"""
    connections = 20 if database_kind == SQLITE else 8
    day = Day(world, Says.AWAY, connections)
    day.go_on(day.began + DAY)
    assert day.states == {State.RETRYING}
    for sent in day.requests():
        assert 24 <= len(sent) <= MOST_REQUESTS
        assert is_ladder(gaps(sent))
    back = day.come_back()
    assert max(back) <= LONGEST
    # Those who failed together don't come back together.
    assert len(set(back)) >= 0.7 * connections
    assert max(back) - min(back) > 600


@pytest.mark.sqlite
def test_it_survives_a_day_of_refused_connections(world: World) -> None:
    """A063, A067"""
    day = Day(world, Says.UNREACHABLE, 4)
    day.go_on(day.began + DAY)
    assert day.states == {State.RETRYING}
    assert all(len(sent) <= MOST_REQUESTS and is_ladder(gaps(sent)) for sent in day.requests())
    day.come_back()


@pytest.mark.sqlite
@pytest.mark.parametrize("says", [Says.LOST_BEFORE, Says.LOST_AFTER])
def test_it_asks_early_once_where_the_answer_was_lost(world: World, says: Says) -> None:
    """C2, A067: a provider that forgives a second use does so for seconds; nobody is asked so soon again."""
    day = Day(world, says, 4)
    day.go_on(day.began + DAY)
    assert day.states == {State.RETRYING}
    for sent in day.requests():
        early, *waits = gaps(sent)
        assert 2 <= early <= 4
        assert is_ladder(waits, first=1)
        assert len(sent) <= MOST_REQUESTS
    day.come_back()


@pytest.mark.sqlite
def test_it_never_asks_before_the_provider_wants_it(world: World) -> None:
    """A066"""
    day = Day(world, Says.BUSY, 4)
    day.go_on(day.began + DAY)
    assert day.states == {State.RETRYING}
    for sent in day.requests():
        assert len(sent) <= MOST_REQUESTS
        assert min(gaps(sent)) >= RETRY_AFTER
    day.come_back()


@pytest.mark.sqlite
def test_it_calls_for_a_person_when_a_day_has_brought_nothing_but_html(world: World) -> None:
    """C5: and needs nobody when the answers are good again."""
    day = Day(world, Says.HTML, 4)
    day.go_on(day.began + DAY - 1)
    assert day.states == {State.RETRYING}
    day.go_on(day.began + DAY + LONGEST)
    assert day.states == {State.CHECK_SETTINGS}
    assert all(len(sent) <= MOST_REQUESTS for sent in day.requests())
    day.come_back()


@pytest.mark.sqlite
def test_it_calls_for_a_person_at_the_third_redirect(world: World) -> None:
    """C5"""
    day = Day(world, Says.REDIRECT, 4)
    day.go_on(day.began + 4)
    assert day.states == {State.RETRYING}
    day.go_on(day.began + DAY)
    assert day.states == {State.CHECK_SETTINGS}
    for sent in day.requests():
        assert is_ladder(gaps(sent)[:2])
        assert set(gaps(sent)[2:]) == {3600}
        assert len(sent) <= MOST_REQUESTS
    day.come_back()
