"""Keeps connections fresh: claims a row, asks the provider outside any transaction, stores over the same generation.

Only what is final is final: a connection needs a person only after the provider itself has refused its refresh token.
"""

import logging
import threading
from collections.abc import Callable
from enum import StrEnum

from peewee import Expression, OperationalError

from applinks.crypto import UnreadableError, new_id
from applinks.errors import AppError
from applinks.models import Connection, State, database
from applinks.oauth.answers import Away, Granted, Nonsense, Refused
from applinks.oauth.client import AddressRefused, Answer
from applinks.services import history
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing
from applinks.services.vault import Vault

log = logging.getLogger(__name__)

LEASE_SECONDS = 60
STORE_TRIES = 7  # each waits as long as the database's busy_timeout, all of them less than the lease
ROUND_SECONDS = 1.0
ROUND_ROWS = 50
LADDER = (2, 8, 30, 120, 600, 1800, 3600)
SETTINGS_RETRY_SECONDS = 3600

_RECONNECT = frozenset(("invalid_grant", "interaction_required", "login_required", "consent_required"))
_SETTINGS = frozenset(
    ("invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type", "invalid_request")
)


class Outcome(StrEnum):
    """How a refresh ended; all of them are expected."""

    REFRESHED = "refreshed"
    NOTHING = "nothing to refresh with"
    CLAIMED = "claimed by another"
    OVERTAKEN = "overtaken by a change"
    RETRYING = "retrying"
    REFUSED = "refused"


class Refresher:
    def __init__(self, links: Links, vault: Vault, link_client: LinkClient, clock: Callable[[], float]) -> None:
        self._links = links
        self._vault = vault
        self._link_client = link_client
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Refresh in a thread of this process until `stop`."""
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish and store what is under way, then end the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            try:
                self.refresh_due()
            except Exception:
                log.exception("A round of refreshing failed; the next one follows.")
        database.close()

    def refresh_due(self) -> int:
        """Refresh every connection whose time has come, one after another; returns how many were tried."""
        now = int(self._clock())
        is_due = (Connection.next_attempt_at <= now) & (Connection.lease_until < now)
        due = list(Connection.select().where(is_due).order_by(Connection.next_attempt_at).limit(ROUND_ROWS))
        for connection in due:
            if self._stop.is_set():
                break
            try:
                self.refresh(connection)
            except Exception:
                # One poisoned connection never stops the rest; its lease keeps it from coming back at once.
                log.exception("Refreshing connection %s failed.", connection.id)
        return len(due)

    def refresh(self, connection: Connection, actor: str = "") -> Outcome:
        """Refresh one connection as it was read; whoever was quicker wins."""
        owner, now = new_id(), int(self._clock())
        over = connection.expires_at is not None and connection.expires_at <= now
        without_account = bool(connection.access_token_enc) and self._links.without_account(connection.link_id)
        renewable = connection.refresh_token_enc or without_account
        if not (renewable or over):
            return Outcome.NOTHING
        # Read before the claim: an edit after this makes the claim, or the storing, come to nothing, so that a token
        # never goes where the link has led to only since.
        outgoing = self._links.outgoing_or_none_by_id(connection.link_id)
        claim = Connection.update(lease_owner=owner, lease_until=now + LEASE_SECONDS)
        if claim.where(_as_read(connection) & (Connection.lease_until < now)).execute() != 1:
            return Outcome.CLAIMED
        if not renewable:
            return self._expired(connection, now)
        if outgoing is None:
            raise AppError("This release knows no provider of the kind that this link was made for.")
        answer = self._ask(outgoing, connection)
        if isinstance(answer, Granted):
            return self._keep(outgoing, connection, answer, now, actor)
        outcome = self._failed(connection, answer, now, actor)
        self._links.retry_with_new_settings(outgoing)
        return outcome

    def _ask(self, outgoing: Outgoing, connection: Connection) -> Answer | UnreadableError:
        try:
            return self._link_client.renew(outgoing, connection)
        except UnreadableError as error:
            return error

    def _keep(self, outgoing: Outgoing, connection: Connection, granted: Granted, sent_at: int, actor: str) -> Outcome:
        """Store a grant, again and again while the database is locked: the provider may give it only once."""
        for _ in range(STORE_TRIES - 1):
            try:
                return self._refreshed(outgoing, connection, granted, sent_at, actor)
            except OperationalError as error:
                log.warning("What connection %s was granted couldn't be stored yet: %s.", connection.id, error)
        return self._refreshed(outgoing, connection, granted, sent_at, actor)

    def _refreshed(
        self, outgoing: Outgoing, connection: Connection, granted: Granted, sent_at: int, actor: str
    ) -> Outcome:
        with database.atomic():
            stored = self._vault.store(
                connection, granted, sent_at=sent_at, without_account=outgoing.profile.without_account
            )
            if not stored:
                return Outcome.OVERTAKEN
            history.record(connection.link_id, "refreshed", at=sent_at, label=connection.label, actor=actor)
        return Outcome.REFRESHED

    def _expired(self, connection: Connection, now: int) -> Outcome:
        words = "The token has expired, and the provider gave no refresh token to renew it with."
        return self._settle(connection, State.RECONNECT_NEEDED, words, None, now, "")

    def _failed(
        self,
        connection: Connection,
        answer: Refused | Away | Nonsense | AddressRefused | UnreadableError,
        now: int,
        actor: str,
    ) -> Outcome:
        if isinstance(answer, UnreadableError):
            words = "What is stored for this connection can't be opened with the keys that Applinks has."
            return self._settle(connection, State.UNREADABLE, words, None, now, actor)
        if isinstance(answer, AddressRefused):
            return self._settle(
                connection, State.CHECK_SETTINGS, answer.words, now + SETTINGS_RETRY_SECONDS, now, actor
            )
        if isinstance(answer, Refused) and answer.code in _RECONNECT | _SETTINGS:
            words = f"{answer.code}: {answer.words}" if answer.words else answer.code
            if answer.code in _RECONNECT:
                return self._settle(connection, State.RECONNECT_NEEDED, words, None, now, actor)
            return self._settle(connection, State.CHECK_SETTINGS, words, now + SETTINGS_RETRY_SECONDS, now, actor)
        wait = LADDER[min(connection.failures, len(LADDER) - 1)]
        if isinstance(answer, Away) and answer.retry_after is not None:
            wait = max(wait, answer.retry_after)
        words = f"{answer.code}: {answer.words}" if isinstance(answer, Refused) else answer.words
        return self._settle(connection, State.RETRYING, words, now + wait, now, actor)

    def _settle(
        self, connection: Connection, state: State, words: str, next_attempt_at: int | None, now: int, actor: str
    ) -> Outcome:
        """Store a failure; tokens are kept whatever it was."""
        settled = Connection.update(
            state=state,
            words=words,
            next_attempt_at=next_attempt_at,
            failures=connection.failures + 1,
            lease_owner="",
            lease_until=0,
        ).where(_as_read(connection))
        with database.atomic():
            if settled.execute() != 1:
                return Outcome.OVERTAKEN
            if state != connection.state or words != connection.words or actor:
                what = "refresh failed"
                history.record(connection.link_id, what, at=now, label=connection.label, words=words, actor=actor)
        return Outcome.RETRYING if state == State.RETRYING else Outcome.REFUSED


def _as_read(connection: Connection) -> Expression:
    """The row where nobody has stored tokens or a failure since it was read."""
    same_tokens = Connection.generation == connection.generation
    return (Connection.id == connection.id) & same_tokens & (Connection.failures == connection.failures)
