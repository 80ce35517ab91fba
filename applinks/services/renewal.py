"""Refreshing one connection, so that its grant is never lost.

The lease and the intent are committed before the provider can see the refresh token; the provider is asked outside any
transaction; what it grants is stored over the generation that was read, and handed out only then. Whatever interrupts this,
the row says what was under way, and the same refresh token is tried once more.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from enum import StrEnum

from applinks.crypto import UnreadableError
from applinks.models import Connection, State, count_figures, database, refreshed_in
from applinks.oauth.answers import Away, Granted, Nonsense
from applinks.oauth.client import Answer
from applinks.services.events import APPLINKS, Actor, Events
from applinks.services.keeper import Keeper, NotYetError
from applinks.services.leases import Lease, Leases, holds
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing
from applinks.services.schedule import SETTINGS_SECONDS, Pace
from applinks.services.turns import Turns
from applinks.services.vault import Vault
from applinks.services.verdict import Verdict, is_final, is_interrupted, judge

_UNKNOWN_PROVIDER = Verdict(
    State.CHECK_SETTINGS,
    "This release knows no provider of the kind that this link was made for.",
    SETTINGS_SECONDS,
)
_EXPIRED = Verdict(
    State.RECONNECT_NEEDED, "The token has expired, and the provider gave no refresh token to renew it with.", None
)
_HAS_A_TOKEN = Connection.access_token_enc != ""


class Outcome(StrEnum):
    """How a refresh ended; all of them are expected."""

    REFRESHED = "refreshed"
    NOTHING = "nothing to refresh with"
    CLAIMED = "claimed by another"
    OVERTAKEN = "overtaken by a change"
    TOO_SLOW = "too slow to ask"
    UNSTORED = "granted, not stored yet"
    RETRYING = "retrying"
    REFUSED = "refused"


@dataclass(frozen=True)
class _Grant:
    """What a provider has granted, until it is stored; it `took` so many milliseconds."""

    outgoing: Outgoing
    connection: Connection
    granted: Granted
    lease: Lease
    sent_at: int
    took: int
    actor: Actor


class Renewal:
    def __init__(
        self,
        links: Links,
        vault: Vault,
        events: Events,
        link_client: LinkClient,
        leases: Leases,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._links = links
        self._vault = vault
        self._events = events
        self._link_client = link_client
        self._leases = leases
        self._clock = clock
        self._pace = pace
        self._turns = Turns(pace.turn)
        self._keeper = Keeper(pace.again)
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    @property
    def unstored(self) -> int:
        """How many grants are in this process's memory alone, because they couldn't be stored yet."""
        return self._keeper.unstored

    def finish(self, seconds: float) -> bool:
        """Wait until every grant is stored, for so many seconds; returns whether that is so."""
        return self._keeper.finish(seconds)

    def renew(self, connection: Connection, actor: Actor = APPLINKS) -> Outcome:
        """Refresh one connection as it was read; whoever was quicker wins.

        Raises peewee.DatabaseError or peewee.InterfaceError where nothing can be stored: before the provider was asked,
        or after it has granted nothing. What it has granted is never lost to such an error.
        """
        with self._lock:
            if connection.id in self._under_way:
                return Outcome.CLAIMED  # here, and perhaps not stored yet, though its lease be over
            self._under_way.add(connection.id)
        outcome = Outcome.CLAIMED
        try:
            outcome = self._renew(connection, actor)
        finally:
            if outcome is not Outcome.UNSTORED:
                self._is_over(connection.id)
        return outcome

    def _is_over(self, connection_id: str) -> None:
        with self._lock:
            self._under_way.discard(connection_id)

    def _renew(self, connection: Connection, actor: Actor) -> Outcome:
        over = connection.expires_at is not None and connection.expires_at <= int(self._clock())
        without_account = bool(connection.access_token_enc) and self._links.without_account(connection.link_id)
        renewable = connection.refresh_token_enc or without_account
        if not (renewable or over):
            return Outcome.NOTHING
        # Read before the lease is taken: an edit after this makes taking it, or the storing, come to nothing, so that a
        # token never goes where the link has led to only since.
        outgoing = self._links.outgoing_or_none_by_id(connection.link_id)
        lease = self._leases.take(connection)
        if lease is None:
            return Outcome.CLAIMED
        if not renewable:
            return self._settle(connection, lease, _EXPIRED, actor, what="token expired")
        if outgoing is None:
            return self._settle(connection, lease, _UNKNOWN_PROVIDER, actor)
        self._turns.wait(outgoing.host)  # with the lease: whoever doesn't get it needs no turn
        if not lease.is_young(self._pace):
            self._leases.give_back(connection, lease)
            return Outcome.TOO_SLOW
        sent_at, began = int(self._clock()), time.monotonic()
        answer = self._ask(outgoing, connection)
        if isinstance(answer, Granted):
            return self._keep(_Grant(outgoing, connection, answer, lease, sent_at, _since(began), actor))
        if is_final(answer) and self._may_ask_with_previous_token(connection, lease):
            self._turns.wait(outgoing.host)
            earlier, sent_at = copy(connection), int(self._clock())
            earlier.refresh_token_enc = connection.previous_refresh_token_enc
            said = self._ask(outgoing, earlier)
            if isinstance(said, Granted):
                return self._keep(_Grant(outgoing, earlier, said, lease, sent_at, _since(began), actor))
            if isinstance(said, Away | Nonsense):
                answer = said  # nothing is decided yet
        verdict = judge(answer, connection, int(self._clock()))
        outcome = self._settle(connection, lease, verdict, actor, took=_since(began))
        self._links.retry_with_new_settings(outgoing)
        return outcome

    def _ask(self, outgoing: Outgoing, connection: Connection) -> Answer | UnreadableError:
        try:
            return self._link_client.renew(outgoing, connection)
        except UnreadableError as error:
            return error

    def _may_ask_with_previous_token(self, connection: Connection, lease: Lease) -> bool:
        """A refresh token that is refused at its first use may never have been stored at the provider: its predecessor,
        which was kept for this, is tried before anybody is asked to reconnect.

        Not where the provider may have replaced both, nor where this has taken so long that somebody else may ask by now.
        """
        if not connection.previous_refresh_token_enc or is_interrupted(connection) or not lease.is_young(self._pace):
            return False
        return bool(Connection.select().where(holds(lease, connection)).exists())

    def _keep(self, grant: _Grant) -> Outcome:
        def later(outcome: Outcome) -> None:
            try:
                self._end_what_was_overtaken(grant, outcome)
            finally:
                self._is_over(grant.connection.id)

        outcome = self._keeper.keep(grant.connection.id, lambda: self._store(grant), later)
        if outcome is None:
            return Outcome.UNSTORED
        self._end_what_was_overtaken(grant, outcome)
        return outcome

    def _store(self, grant: _Grant) -> Outcome:
        """Store a grant over the generation that was read, also late, when the lease is over.

        Raises NotYetError while somebody else has the lease: if that refresh comes to nothing, this grant is the newest.
        """
        connection, lease = grant.connection, grant.lease
        with database.atomic():
            row = Connection.get_or_none(Connection.id == connection.id)
            if row is None or row.generation != connection.generation:
                return Outcome.OVERTAKEN
            late = row.lease_owner != lease.name
            if late and not self._leases.may_be_taken(row):
                raise NotYetError("another refresh of it is under way")
            self._vault.store(
                connection,
                grant.granted,
                sent_at=grant.sent_at,
                without_account=grant.outgoing.profile.without_account,
                late=late,
            )
            count_figures(refreshed_in(grant.took, Outcome.REFRESHED))
            self._record(connection, "refreshed", "", grant.actor)
        return Outcome.REFRESHED

    def _end_what_was_overtaken(self, grant: _Grant, outcome: Outcome) -> None:
        """What was granted for a connection that was ended meanwhile is ended at the provider, too.

        Not after a new consent: some providers end every grant of an account at once.
        """
        same = (Connection.link == grant.connection.link_id) & (Connection.label == grant.connection.label)
        if outcome is Outcome.OVERTAKEN and not Connection.select().where(same & _HAS_A_TOKEN).exists():
            with suppress(UnreadableError):
                self._link_client.revoke_grant(grant.outgoing, grant.granted)

    def _settle(
        self,
        connection: Connection,
        lease: Lease,
        verdict: Verdict,
        actor: Actor,
        *,
        what: str = "refresh failed",
        took: int | None = None,
    ) -> Outcome:
        """Store a failure, unless somebody else has the lease by now; tokens are kept whatever it was.

        `took` is how long the provider did, in milliseconds, None where it wasn't asked.
        """
        outcome = Outcome.RETRYING if verdict.state == State.RETRYING else Outcome.REFUSED
        now = int(self._clock())
        settled = Connection.update(
            state=verdict.state,
            words=verdict.words,
            next_attempt_at=None if verdict.wait is None else now + verdict.wait,
            failures=connection.failures + 1,
            failed_since=now if connection.failed_since is None else connection.failed_since,
            intent_generation=connection.generation if verdict.unknown else None,
            lease_owner="",
            lease_until=0,
        ).where(holds(lease, connection))
        with database.atomic():
            if settled.execute() != 1:
                return Outcome.OVERTAKEN
            if took is not None:
                count_figures(refreshed_in(took, outcome))
            self._record(connection, "retry failed" if connection.failures else what, verdict.words, actor)
        return outcome

    def _record(self, connection: Connection, what: str, words: str, actor: Actor) -> None:
        self._events.record(actor, what, connection.link_id, label=connection.label, words=words)


def _since(began: float) -> int:
    """Milliseconds since a moment of the monotonic clock."""
    return int((time.monotonic() - began) * 1000)
