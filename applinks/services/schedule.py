"""When a connection is refreshed. All times are in seconds; a clock may jump, and nothing here believes a far future."""

import secrets
from dataclasses import dataclass

from peewee import Expression

from applinks.models import Connection, Reading, State

LADDER = (2, 8, 30, 120, 600, 1800, 3600)
EARLY_SECONDS = 3  # after a request whose answer was lost: many providers forgive a second use for five seconds
SETTINGS_SECONDS = 3600
SOONEST_SECONDS = 30
SAME_TOKEN_SECONDS = 60
SKEW_SECONDS = 60
_LONGEST_WAIT = 2 * LADDER[-1]


@dataclass(frozen=True)
class Pace:
    """How quickly the refresher works, in seconds. Tests have a quicker one; it is no setting.

    A lease lasts four times as long as the longest call, and nothing is begun in its second half. `beat` is how often a
    process says that it lives; three beats without a word, and it is said to have stopped. `turn` is the time from one
    request to a host to the next.
    """

    lease: float = 60.0
    round: float = 1.0
    beat: float = 20.0
    turn: float = 0.125  # so that no second sees more than ten, though an answer to one may be late
    patience: float = 20.0  # how long somebody who asks for a token waits for another's refresh
    again: float = 1.0  # between two tries to store what a provider has granted


PACE = Pace()


def next_refresh(sent_at: int, life: int | None, *, refreshable: bool, same_token: bool) -> int | None:
    """When to act after a grant: before expiry by a margin, or at expiry where nothing can be refreshed.

    A provider that hands out short lives, or the same token again, isn't asked without end.
    """
    if life is None:
        return None
    if not refreshable:
        return sent_at + life
    margin = min(max(600, life // 5), life // 3)
    return sent_at + max(life - margin, SAME_TOKEN_SECONDS if same_token else SOONEST_SECONDS)


def next_try(failures: int) -> int:
    """How long to wait after so many failures before this one: the ladder, give or take a fifth."""
    wait = LADDER[min(failures, len(LADDER) - 1)]
    return wait + round(wait * (secrets.randbelow(401) - 200) / 1000)


def is_fresh(connection: Connection | Reading, now: int, seconds: int) -> bool:
    """Whether the access token lives for so many seconds more. Not where the clock has gone back since it came."""
    if not connection.access_token_enc or (connection.refreshed_at or 0) > now + SKEW_SECONDS:
        return False
    return connection.expires_at is None or connection.expires_at > now + max(seconds, 0)


def is_from_the_future(now: int) -> Expression:
    """Rows whose times can't be, so that the clock must have gone back since they were written.

    Not those that wait for their end alone: there is nothing to be done for them.
    """
    granted = (
        (Connection.failures == 0)
        & (Connection.state != State.EXPIRING)
        & (Connection.refreshed_at > now + SKEW_SECONDS)
    )
    failed = (Connection.failures > 0) & (Connection.next_attempt_at > now + _LONGEST_WAIT)
    return (Connection.next_attempt_at > now) & (granted | failed)
