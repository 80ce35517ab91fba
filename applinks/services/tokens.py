"""Handing out: an access token that is valid now, refreshed first where it wouldn't live long enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from peewee import DatabaseError, InterfaceError

from applinks.crypto import UnreadableError
from applinks.errors import AppError
from applinks.models import Connection, State
from applinks.services.leases import Leases
from applinks.services.renewal import Outcome, Renewal
from applinks.services.schedule import SKEW_SECONDS, SOONEST_SECONDS, Pace, is_fresh
from applinks.services.vault import Vault

LEAST_SECONDS = 60
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 0.5

_MENDED_BY_PEOPLE = {
    State.DISCONNECTED: "No account is connected here.",
    State.RECONNECT_NEEDED: "The provider no longer accepts this grant: the account must be connected again.",
    State.UNREADABLE: "What is stored for this connection can't be opened with the keys that Applinks has.",
}


@dataclass(frozen=True)
class AccessToken:
    """An access token as RFC 6749 §5.1 describes it. `expires_at` is in seconds since 1970, None where nobody knows."""

    access_token: str
    expires_at: int | None
    scope: str

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at!r}, scope={self.scope!r})"


class NoTokenError(AppError):
    """There is no valid token now. `state` says why; `retry_after`, in seconds, is 0 where a person must act."""

    title = "There is no valid token"

    def __init__(self, message: str, state: State, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = 503 if retry_after else 409
        self.state = state
        self.retry_after = retry_after


class Tokens:
    def __init__(self, vault: Vault, renewal: Renewal, leases: Leases, clock: Callable[[], float], pace: Pace) -> None:
        self._vault = vault
        self._renewal = renewal
        self._leases = leases
        self._clock = clock
        self._pace = pace

    def valid(self, connection_id: str, seconds: int = LEAST_SECONDS) -> AccessToken:
        """An access token that lives for so many seconds, or as long as the provider lets one live.

        A provider that is away isn't asked again by everybody who comes. Where it can't be asked, a token that is valid
        still is handed out. Raises NoTokenError, or peewee.DatabaseError where the database can't even be read.
        """
        until, pause, asked = time.monotonic() + self._pace.patience, _FIRST_LOOK, False
        while True:
            connection = Connection.get_or_none(Connection.id == connection_id)
            if connection is None or connection.state in _MENDED_BY_PEOPLE:
                state = State(connection.state) if connection else State.DISCONNECTED
                raise NoTokenError(_MENDED_BY_PEOPLE[state], state)
            if is_fresh(connection, int(self._clock()), seconds):
                return self._opened(connection)
            if asked or not self._may_be_refreshed(connection, seconds):
                return self._as_it_is(connection)
            if self._leases.may_be_taken(connection):
                try:
                    asked = self._renewal.renew(connection) is not Outcome.CLAIMED
                except (DatabaseError, InterfaceError):
                    asked = True
            if not asked:
                if time.monotonic() > until:
                    return self._as_it_is(connection)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_LOOK)

    def _may_be_refreshed(self, connection: Connection, seconds: int) -> bool:
        """When the refresher would, and sooner where a newer token could live so long: never twice in half a minute."""
        now, refreshed_at = int(self._clock()), connection.refreshed_at or 0
        if connection.next_attempt_at is None:
            return False
        if connection.lease_owner or connection.next_attempt_at <= now:
            return True
        if connection.failures:
            return False
        enough = connection.expires_at is None or seconds <= connection.expires_at - refreshed_at
        since = now - refreshed_at
        return bool(since < -SKEW_SECONDS or (enough and since >= SOONEST_SECONDS))

    def _as_it_is(self, connection: Connection) -> AccessToken:
        """The token where it can't be refreshed now: valid still, if only for a moment."""
        now = int(self._clock())
        if is_fresh(connection, now, 0):
            return self._opened(connection)
        state = State(connection.state)
        if state is State.CHECK_SETTINGS:
            raise NoTokenError(f"The provider refuses the link's settings: {connection.words}", state)
        wait = max(1, (connection.next_attempt_at or now) - now)
        raise NoTokenError(
            f"The token has expired, and there is no new one yet. {connection.words}".strip(), state, wait
        )

    def _opened(self, connection: Connection) -> AccessToken:
        try:
            token = self._vault.access_token(connection)
        except UnreadableError:
            raise NoTokenError(_MENDED_BY_PEOPLE[State.UNREADABLE], State.UNREADABLE) from None
        return AccessToken(token, connection.expires_at, connection.scopes_granted)
