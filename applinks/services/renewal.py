"""Refreshing one connection, so that its grant is never lost.

The lease and the intent are committed before the provider can see the refresh token; the provider is asked outside any
transaction; what it grants is stored over the generation that was read, and handed out only then. Whatever interrupts this,
the row says what was under way, and the same refresh token is tried once more.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from peewee import DatabaseError, InterfaceError

from applinks.crypto import UnreadableError
from applinks.models import Connection, State, database
from applinks.oauth.answers import Granted
from applinks.oauth.client import Answer
from applinks.services import history
from applinks.services.leases import Lease, Leases, holds
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing
from applinks.services.schedule import SETTINGS_SECONDS, Pace
from applinks.services.vault import Vault
from applinks.services.verdict import Verdict, is_final, is_interrupted, judge

log = logging.getLogger(__name__)

# In a thread that serves a page, this long; then the grant is kept in memory and stored by a thread of its own.
STORE_AT_ONCE_SECONDS = 5.0
_UNKNOWN_PROVIDER = Verdict(
    State.CHECK_SETTINGS,
    "This release knows no provider of the kind that this link was made for.",
    SETTINGS_SECONDS,
)
_EXPIRED = Verdict(
    State.RECONNECT_NEEDED, "The token has expired, and the provider gave no refresh token to renew it with.", None
)


class Outcome(StrEnum):
    """How a refresh ended; all of them are expected."""

    REFRESHED = "refreshed"
    NOTHING = "nothing to refresh with"
    CLAIMED = "claimed by another"
    OVERTAKEN = "overtaken by a change"
    UNSTORED = "granted, not stored yet"
    RETRYING = "retrying"
    REFUSED = "refused"


@dataclass(frozen=True)
class _Grant:
    """What a provider has granted, until it is stored."""

    outgoing: Outgoing
    connection: Connection
    granted: Granted
    lease: Lease
    sent_at: int
    actor: str


class Renewal:
    def __init__(
        self,
        links: Links,
        vault: Vault,
        link_client: LinkClient,
        leases: Leases,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        self._links = links
        self._vault = vault
        self._link_client = link_client
        self._leases = leases
        self._clock = clock
        self._pace = pace
        self._turns = _Turns(pace.turn)
        self._changed = threading.Condition()
        self._unstored = 0

    @property
    def unstored(self) -> int:
        """How many grants are in this process's memory alone, because the database can't be written to."""
        return self._unstored

    def finish(self, seconds: float) -> bool:
        """Wait until every grant is stored, for so many seconds; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unstored, seconds)

    def renew(self, connection: Connection, actor: str = "") -> Outcome:
        """Refresh one connection as it was read; whoever was quicker wins.

        Raises peewee.DatabaseError where nothing can be stored: then the provider wasn't asked.
        """
        over = connection.expires_at is not None and connection.expires_at <= int(self._clock())
        without_account = bool(connection.access_token_enc) and self._links.without_account(connection.link_id)
        renewable = connection.refresh_token_enc or without_account
        if not (renewable or over):
            return Outcome.NOTHING
        # Read before the lease is taken: an edit after this makes taking it, or the storing, come to nothing, so that a
        # token never goes where the link has led to only since.
        outgoing = self._links.outgoing_or_none_by_id(connection.link_id)
        if renewable and outgoing:
            self._turns.wait(urlsplit(outgoing.profile.token_endpoint).netloc)
        lease = self._leases.take(connection)
        if lease is None:
            return Outcome.CLAIMED
        if not renewable:
            return self._settle(connection, lease, _EXPIRED, actor, what="token expired")
        if outgoing is None:
            return self._settle(connection, lease, _UNKNOWN_PROVIDER, actor)
        if not lease.is_young(self._pace):
            return Outcome.OVERTAKEN
        sent_at = int(self._clock())
        answer = self._ask(outgoing, connection)
        if isinstance(answer, Granted):
            return self._keep(_Grant(outgoing, connection, answer, lease, sent_at, actor))
        if is_final(answer) and (grant := self._with_previous_token(outgoing, connection, lease, actor)):
            return self._keep(grant)
        outcome = self._settle(connection, lease, judge(answer, connection, int(self._clock())), actor)
        self._links.retry_with_new_settings(outgoing)
        return outcome

    def _ask(self, outgoing: Outgoing, connection: Connection) -> Answer | UnreadableError:
        try:
            return self._link_client.renew(outgoing, connection)
        except UnreadableError as error:
            return error

    def _with_previous_token(
        self, outgoing: Outgoing, connection: Connection, lease: Lease, actor: str
    ) -> _Grant | None:
        """A refresh token that is refused at its first use may never have been stored at the provider: its predecessor,
        which was kept for this, is tried once before anybody is asked to reconnect.

        Not where the predecessor can't be the newest one that the provider knows.
        """
        if not connection.previous_refresh_token_enc or is_interrupted(connection):
            return None
        if not Connection.select().where(holds(lease, connection)).exists():
            return None
        earlier, sent_at = copy(connection), int(self._clock())
        earlier.refresh_token_enc = connection.previous_refresh_token_enc
        answer = self._ask(outgoing, earlier)
        return _Grant(outgoing, earlier, answer, lease, sent_at, actor) if isinstance(answer, Granted) else None

    def _keep(self, grant: _Grant) -> Outcome:
        """Store a grant, again and again while the database can't be written to: the provider may give it only once."""
        with self._changed:
            self._unstored += 1
        until = time.monotonic() + STORE_AT_ONCE_SECONDS
        while True:
            try:
                outcome = self._store(grant)
            except (DatabaseError, InterfaceError) as error:
                log.critical(
                    "What connection %s was granted couldn't be stored yet, and Applinks keeps it in memory: %s.",
                    grant.connection.id,
                    error,
                )
                if time.monotonic() > until:
                    with suppress(RuntimeError):  # no thread to be had: then this one goes on
                        threading.Thread(target=self._keep_on, args=(grant,), name="unstored", daemon=True).start()
                        return Outcome.UNSTORED
                time.sleep(self._pace.again)
            else:
                self._is_stored()
                return outcome

    def _keep_on(self, grant: _Grant) -> None:
        while True:
            time.sleep(self._pace.again)
            try:
                self._store(grant)
            except (DatabaseError, InterfaceError):
                continue
            finally:
                database.close()
            log.critical("What connection %s was granted is stored now.", grant.connection.id)
            self._is_stored()
            return

    def _is_stored(self) -> None:
        with self._changed:
            self._unstored -= 1
            self._changed.notify_all()

    def _store(self, grant: _Grant) -> Outcome:
        connection, outgoing = grant.connection, grant.outgoing
        with database.atomic():
            stored = self._vault.store(
                connection,
                grant.granted,
                sent_at=grant.sent_at,
                without_account=outgoing.profile.without_account,
                lease=grant.lease,
            )
            if stored:
                self._record(connection, "refreshed", "", grant.actor)
                return Outcome.REFRESHED
        self._let_go(grant)
        return Outcome.OVERTAKEN

    def _let_go(self, grant: _Grant) -> None:
        """What was granted for a connection that was ended meanwhile is ended at the provider, too.

        Not after a new consent: some providers end every grant of an account at once.
        """
        row = Connection.get_or_none(Connection.id == grant.connection.id)
        if row is None or row.state == State.DISCONNECTED:
            with suppress(UnreadableError):
                self._link_client.revoke_grant(grant.outgoing, grant.granted)

    def _settle(
        self, connection: Connection, lease: Lease, verdict: Verdict, actor: str, *, what: str = "refresh failed"
    ) -> Outcome:
        """Store a failure, unless somebody else has the lease by now; tokens are kept whatever it was."""
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
            self._record(connection, "retry failed" if connection.failures else what, verdict.words, actor)
        return Outcome.RETRYING if verdict.state == State.RETRYING else Outcome.REFUSED

    def _record(self, connection: Connection, what: str, words: str, actor: str) -> None:
        history.record(
            connection.link_id, what, at=int(self._clock()), label=connection.label, words=words, actor=actor
        )


class _Turns:
    """Lets callers of one host pass one after another, so many seconds apart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def wait(self, host: str) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(self._next.get(host, now), now)
            self._next = {name: at for name, at in self._next.items() if at > now} | {host: turn + self._seconds}
        time.sleep(turn - now)
