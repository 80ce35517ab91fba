"""Clocks that jump (C5): while connections wait, while they are in trouble, and while somebody has a lease."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from applinks.models import Connection, State, database
from applinks.oauth.client import prepare_libraries
from applinks.services.renewal import Outcome
from applinks.services.storage import open_storage
from applinks.services.tokens import NoTokenError
from applinks.settings import Settings
from tests.refreshing.model import LIFE, Provider, Says, Times, Turn, World, make_services, requests_of

HOUR, YEAR = 3600, 365 * 86_400
NOW = Times().right
JUMPS = {
    "+1 h": HOUR,
    "-1 h": -HOUR,
    "+10 years": 10 * YEAR,
    "1970": 10 - NOW,
    "before 2038": 2_147_483_640 - NOW,
    "2106": 4_294_967_290 - NOW,
    "a suspend of 8 h": 8 * HOUR,
}
AGE = 600


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    prepare_libraries(loopback=True)
    world = World.open(settings, open_storage(settings), Provider(Times()))
    world.create()
    yield world
    world.services.refresher.stop()
    assert not world.provider.wrong
    database.close()


def row_of(label: str) -> Connection:
    return Connection.get(Connection.label == label)


def every_kind(world: World) -> None:
    """One connection that waits, one in trouble, one that can't be refreshed, and one that is being refreshed elsewhere
    by a process of which nothing is known here."""
    provider = world.provider
    for label in ("connected", "retrying", "leased"):
        world.connect(label)
    provider.gives_refresh_tokens = False
    world.connect("expiring")
    provider.gives_refresh_tokens = True
    world.times.advance(AGE)
    for _ in range(8):  # up to the longest step
        provider.turns.append(Turn(Says.AWAY))
        world.services.renewal.renew(row_of("retrying"))
    unknown = "0" * 64
    now = int(world.times())
    leased = {"lease_owner": unknown, "lease_until": now + 60, "intent_generation": 1, "next_attempt_at": now}
    Connection.update(leased).where(Connection.label == "leased").execute()


def hand_out_all(world: World) -> None:
    """No token is called valid that the provider calls expired."""
    for row in Connection.select():
        try:
            token = world.services.tokens.valid(row.id)
        except NoTokenError:
            continue
        expires, _ = world.provider.access[token.access_token]
        assert world.times.right <= expires + 60, f"{row.label} got an expired token"


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_it_survives_a_jump_of_the_clock_and_back(world: World, jump: float) -> None:
    """C5, C2"""
    every_kind(world)
    provider, times = world.provider, world.times
    asked = len(provider.sent)
    for offset in (jump, 0.0):
        times.offset = offset
        before = len(provider.sent)
        for _ in range(3):
            hand_out_all(world)
            world.refresh_due()
            times.advance(1)
        sent = requests_of(provider.sent[before:])
        assert all(len(one) == 1 for one in sent.values()), "more than one extra refresh of a connection"
        assert all(one.granted for one in provider.sent[before:])
        for row in Connection.select().where(Connection.refresh_token_enc != ""):
            assert row.state in (State.CONNECTED, State.RETRYING)
            assert row.next_attempt_at <= times() + 2 * HOUR, "it won't be refreshed before its token expires"
    # From here on all is as it was: what was in trouble or taken comes back with its next try, and then once a life.
    times.advance(2 * HOUR)
    world.refresh_due()
    states = {row.label: row.state for row in Connection.select()}
    assert {states[label] for label in ("connected", "retrying", "leased")} == {State.CONNECTED}
    assert states["expiring"] in (State.EXPIRING, State.RECONNECT_NEEDED)
    hand_out_all(world)
    assert len(provider.sent) > asked
    before = len(provider.sent)
    times.advance(LIFE - 720 - 1)
    assert world.refresh_due() == 0
    times.advance(1)
    world.refresh_due()
    assert len(provider.sent) == before + 3


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 10 - NOW])
def test_it_buries_no_token_before_its_time(world: World, jump: float) -> None:
    """I5: one without a refresh token is over when the clock says so, and never when it has gone back."""
    every_kind(world)
    world.times.offset = jump
    world.refresh_due()
    over = world.times() >= NOW + LIFE
    assert row_of("expiring").state == (State.RECONNECT_NEEDED if over else State.EXPIRING)


def test_it_takes_a_lease_that_lasts_into_a_far_future(world: World) -> None:
    """C5: its clock was wrong, or this one has gone back."""
    every_kind(world)
    assert world.services.renewal.renew(row_of("leased")) == Outcome.CLAIMED
    Connection.update(lease_until=int(world.times()) + 10 * YEAR).where(Connection.label == "leased").execute()
    assert world.services.renewal.renew(row_of("leased")) == Outcome.REFRESHED


def test_it_leaves_a_lease_alone_that_may_be_somebodys(world: World) -> None:
    """A061: nobody is asked twice at once, as long as the clock goes as it should."""
    every_kind(world)
    world.times.advance(60)
    assert world.services.renewal.renew(row_of("leased")) == Outcome.CLAIMED
    world.refresh_due()
    assert row_of("leased").generation == 1
    world.times.advance(1)
    assert world.services.renewal.renew(row_of("leased")) == Outcome.REFRESHED


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 10 * YEAR, -10 * YEAR])
def test_it_stores_what_comes_after_a_jump_while_it_waits(world: World, jump: int) -> None:
    """C5: the lease and the life of a token are begun with one clock, and end with another."""
    world.connect("default")
    world.provider.turns.append(Turn(meanwhile=lambda: setattr(world.times, "offset", jump)))
    assert world.services.renewal.renew(row_of("default")) == Outcome.REFRESHED
    hand_out_all(world)
    times = len(world.provider.sent)
    world.refresh_due()
    assert len(world.provider.sent) - times <= 1
    assert row_of("default").next_attempt_at <= world.times() + LIFE


def test_it_hands_out_nothing_sooner_than_it_would_try(world: World) -> None:
    """A067: who asks for a token of a provider that is away waits as the refresher does."""
    world.connect("default")
    world.times.advance(LIFE + 1)
    world.provider.standing = Says.AWAY
    for _ in range(20):
        for services in (world.services, other := make_services(world.settings, world.storage, world.provider)):
            with pytest.raises(NoTokenError):
                services.tokens.valid(row_of("default").id)
        other.refresher.stop()
        world.times.advance(1)
    # 0, 2 and 8 seconds, the steps give or take a fifth.
    assert 3 <= len(world.provider.sent) <= 4
    wait = row_of("default").next_attempt_at - world.times()
    world.provider.standing = Says.GOOD
    world.times.advance(wait - 1)
    with pytest.raises(NoTokenError) as caught:
        world.services.tokens.valid(row_of("default").id)
    assert caught.value.retry_after == 1
    world.times.advance(1)
    assert world.services.tokens.valid(row_of("default").id).expires_at == int(world.times()) + LIFE


@pytest.mark.parametrize("life", [30, 45, 120, LIFE])
def test_it_never_asks_twice_within_half_a_minute(world: World, life: int) -> None:
    """A069: however long a token is asked for, and whoever asks."""
    world.provider.life = life
    world.connect("default")
    connection_id = row_of("default").id
    for _ in range(100):
        with suppress(NoTokenError):
            world.services.tokens.valid(connection_id, 100_000)
        world.refresh_due()
        world.times.advance(1)
    at = [NOW, *(sent.at for sent in world.provider.sent)]
    assert all(later - earlier >= 30 for earlier, later in pairwise(at))


def test_it_notices_a_clock_that_goes_back_by_less_than_a_token_is_old(world: World) -> None:
    """C5: the row alone can't tell; who looks every second can."""
    world.provider.life = 2 * HOUR
    world.connect("default")
    world.times.advance(HOUR + AGE)
    world.refresh_due()
    world.times.offset = -HOUR
    for _ in range(240):
        world.refresh_due()
        hand_out_all(world)
        world.times.advance(30)
    assert len(world.provider.sent) <= 2


def test_it_notices_a_token_that_is_over_though_the_clock_went_back(world: World) -> None:
    """C5: one without a refresh token, long after the clock has reached the time again at which it came."""
    world.provider.gives_refresh_tokens = False
    world.connect("default")
    world.times.advance(AGE)
    world.refresh_due()
    world.times.offset = -HOUR
    for _ in range(240):
        world.refresh_due()
        hand_out_all(world)
        world.times.advance(30)
    assert row_of("default").state == State.RECONNECT_NEEDED


@pytest.mark.parametrize("jump", [-HOUR, 10 - NOW])
def test_it_has_nothing_due_that_it_can_do_nothing_for(world: World, jump: float) -> None:
    """C5: one without a refresh token isn't looked at each second because its time seems wrong."""
    every_kind(world)
    world.times.offset = jump
    for _ in range(3):
        world.refresh_due()
        world.times.advance(1)
    assert world.refresh_due() == 0


def test_it_connects_anew_after_the_clock_went_back(world: World) -> None:
    """C5: an account that was connected with a clock of the future isn't one that came meanwhile."""
    world.connect("default")
    world.times.offset = -HOUR
    assert world.connect("default").generation == 2
