"""Handing out: an access token that is valid now, refreshed first where it wouldn't live long enough.

One query finds key, link and connection; what isn't fresh takes the longer way of a refresh.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from peewee import DatabaseError, InterfaceError

from applinks.crypto import UnreadableError, digest, same
from applinks.errors import AppError, BusyError, InvalidFieldError, NotFoundError, ThrottledError
from applinks.models import ActorKind, Connection, Reading, State, readings
from applinks.services.api_keys import ApiKeys, id_of
from applinks.services.counts import Counted, Counts
from applinks.services.events import READ, Actor
from applinks.services.issued import IssuedTokens
from applinks.services.leases import Leases
from applinks.services.renewal import Outcome, Renewal
from applinks.services.schedule import SKEW_SECONDS, SOONEST_SECONDS, Pace, is_fresh
from applinks.services.vault import Vault

LEAST_SECONDS = 60
_CODES = {State.DISCONNECTED: "not_connected"}
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 0.5

_NO_LINK = "There is no application link here. It may have been deleted."
_MENDED_BY_PEOPLE = {
    State.DISCONNECTED: "No account is connected here.",
    State.RECONNECT_NEEDED: "The provider no longer accepts this grant: the account must be connected again.",
    State.UNREADABLE: "What is stored for this connection can't be opened with the keys that Applinks has.",
}


@dataclass(frozen=True)
class AccessToken:
    """An access token as RFC 6749 §5.1 describes it. `expires_at` is in seconds since 1970, None where nobody knows.

    `connection` is the label of the connection that it belongs to.
    """

    access_token: str
    expires_at: int | None
    scope: str
    connection: str

    def __repr__(self) -> str:
        return f"AccessToken(expires_at={self.expires_at!r}, scope={self.scope!r})"


class NoTokenError(AppError):
    """There is no valid token now. `state` says why; `retry_after`, in seconds, is 0 where a person must act."""

    title = "There is no valid token"

    def __init__(self, message: str, state: State, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = 503 if retry_after else 409
        self.code = _CODES.get(state, str(state)) if not retry_after else "provider_away"
        self.state = state
        self.retry_after = retry_after


@dataclass(frozen=True)
class TokenRequest:
    """Which token is asked for, and for how many seconds it must live. Without a label, the link's only connection's."""

    slug: str
    label: str | None = None
    seconds: int = LEAST_SECONDS


Room = Callable[[], AbstractContextManager[None]]


class Tokens:
    """`room` is where somebody may wait for a provider; it raises BusyError where there is none."""

    def __init__(
        self,
        vault: Vault,
        api_keys: ApiKeys,
        issued: IssuedTokens,
        counts: Counts,
        renewal: Renewal,
        leases: Leases,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._vault = vault
        self._api_keys = api_keys
        self._issued = issued
        self._counts = counts
        self._renewal = renewal
        self._leases = leases
        self._clock = clock
        self._pace = pace

    def read(self, asked: TokenRequest, key: str, address: str, room: Room = nullcontext) -> AccessToken:
        """The token that the holder of an API key, or of an access token of our own, asks for.

        Raises UnauthorizedError, ThrottledError, ForbiddenError, NotFoundError also for links that it isn't for,
        InvalidFieldError where a connection must be named, NoTokenError, or BusyError.
        """
        row, actor = self._found_with_key(asked, key, address)
        return self._hand_out(row, asked, actor, room)

    def read_as(self, actor: Actor, asked: TokenRequest) -> AccessToken:
        """The same for whoever has this machine's console, and needs no key."""
        return self._hand_out(self._found(readings("", asked.slug, asked.label), asked), asked, actor, nullcontext)

    def replace(
        self, asked: TokenRequest, rejected: str, key: str, address: str, room: Room = nullcontext
    ) -> AccessToken:
        """Another token than the one of the digest `rejected`, which whom it was shown to didn't accept.

        One that was replaced already isn't refreshed once more. Raises what `read` does.
        """
        row, actor = self._found_with_key(asked, key, address)
        until = time.monotonic() + self._pace.patience
        outcome = Outcome.CLAIMED
        while True:
            connection = Connection.get_or_none(Connection.id == row.connection_id)
            if connection is None or connection.state in _MENDED_BY_PEOPLE:
                raise _needs_people(connection)
            if not same(digest(self._opened(connection).access_token), rejected):
                return self._hand_out(self._found_with_key(asked, key, address)[0], asked, actor, room)
            if outcome is not Outcome.CLAIMED or time.monotonic() > until:
                raise _rejected_still(connection, outcome, int(self._clock()))
            since = int(self._clock()) - (connection.refreshed_at or 0)
            if 0 <= since < SOONEST_SECONDS:
                raise ThrottledError(
                    f"This token is {since} seconds old: another would fare no better. Its scope says what it is for.",
                    SOONEST_SECONDS - since,
                )
            with room():
                outcome = self._renewal.renew(connection, actor)
                if outcome is Outcome.CLAIMED:
                    time.sleep(_LONGEST_LOOK)

    def _found_with_key(self, asked: TokenRequest, key: str, address: str) -> tuple[Reading, Actor]:
        """What is asked for, and who asks: with an API key, or with an access token of our own."""
        key_id = id_of(key)
        access = self._issued.access(key, address) if not key_id else None
        rows = readings(key_id, asked.slug, asked.label)
        row = rows[0]
        if access:
            access.must_read_tokens()
            permitted, actor = row.link_id is None or access.may_read_tokens(row.link_id), access.actor
        else:
            self._api_keys.check(key, row, address)
            permitted = row.link_id is None or row.key_all_links or row.key_link_id is not None
            actor = Actor(row.key_name, ActorKind.API_KEY, row.key_id or "", address)
        if not permitted:
            raise NotFoundError(_NO_LINK)
        return self._found(rows, asked), actor

    def _found(self, rows: list[Reading], asked: TokenRequest) -> Reading:
        row = rows[0]
        if row.link_id is None:
            raise NotFoundError(_NO_LINK)
        if len(rows) > 1:
            all_of_it = Connection.select(Connection.label).where(Connection.link == row.link_id)
            named = ", ".join(connection.label for connection in all_of_it.order_by(Connection.label))
            raise InvalidFieldError("connection", f"This link has several connections. Name one of them: {named}.")
        if row.connection_id is None and asked.label is not None:
            raise NotFoundError(f"This link has no connection labelled {asked.label}.")
        if row.connection_id is None:
            raise NoTokenError(_MENDED_BY_PEOPLE[State.DISCONNECTED], State.DISCONNECTED)
        return row

    def _hand_out(self, row: Reading, asked: TokenRequest, actor: Actor, room: Room) -> AccessToken:
        if row.state in _MENDED_BY_PEOPLE or not is_fresh(row, int(self._clock()), asked.seconds):
            token = self._refreshed(str(row.connection_id), asked.seconds, room)
        else:
            token = self._opened_as(
                str(row.connection_id), row.access_token_enc, row.expires_at, row.scopes_granted, row.label
            )
        who = actor.kind, actor.id, actor.name
        self._counts.add(Counted(READ, *who, str(row.link_id), asked.slug, row.label), actor.address)
        return token

    def _refreshed(self, connection_id: str, seconds: int, room: Room) -> AccessToken:
        try:
            with room():
                return self.valid(connection_id, seconds)
        except BusyError:
            connection = Connection.get_or_none(Connection.id == connection_id)
            if connection and connection.state not in _MENDED_BY_PEOPLE and is_fresh(connection, int(self._clock()), 0):
                return self._opened(connection)
            raise

    def valid(self, connection_id: str, seconds: int = LEAST_SECONDS) -> AccessToken:
        """An access token that lives for so many seconds, or as long as the provider lets one live.

        A provider that is away isn't asked again by everybody who comes. Where it can't be asked, a token that is valid
        still is handed out. Raises NoTokenError, or peewee.DatabaseError where the database can't even be read.
        """
        until, pause, asked = time.monotonic() + self._pace.patience, _FIRST_LOOK, False
        while True:
            connection = Connection.get_or_none(Connection.id == connection_id)
            if connection is None or connection.state in _MENDED_BY_PEOPLE:
                raise _needs_people(connection)
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
        return self._opened_as(
            connection.id,
            connection.access_token_enc,
            connection.expires_at,
            connection.scopes_granted,
            connection.label,
        )

    def _opened_as(
        self, connection_id: str, sealed: str, expires_at: int | None, scope: str, label: str
    ) -> AccessToken:
        try:
            token = self._vault.opened_access_token(connection_id, sealed)
        except UnreadableError:
            raise NoTokenError(_MENDED_BY_PEOPLE[State.UNREADABLE], State.UNREADABLE) from None
        return AccessToken(token, expires_at, scope, label)


def _needs_people(connection: Connection | None) -> NoTokenError:
    state = State(connection.state) if connection else State.DISCONNECTED
    return NoTokenError(_MENDED_BY_PEOPLE[state], state)


def _rejected_still(connection: Connection, outcome: Outcome, now: int) -> NoTokenError:
    """Why a token that isn't accepted any more has no successor."""
    state = State(connection.state)
    if outcome is Outcome.NOTHING:
        words = "The token isn't accepted, and there is no refresh token to replace it with: connect the account again."
        return NoTokenError(words, State.RECONNECT_NEEDED)
    if state is State.CHECK_SETTINGS:
        return NoTokenError(f"The provider refuses the link's settings: {connection.words}", state)
    wait = max(1, (connection.next_attempt_at or now) - now)
    return NoTokenError(f"The provider gave no other token yet. {connection.words}".strip(), State.RETRYING, wait)
