"""A link's next client secret: it waits until the provider refuses the current one, and then takes its place.

So a secret is rotated without a moment in which nothing works: the provider's console gives a new one, which is stored here
beside the old one; the old one is ended there whenever that is convenient.
"""

from collections.abc import Callable
from contextlib import suppress

from peewee import DatabaseError, InterfaceError

from applinks.crypto import UnreadableError, same
from applinks.errors import InvalidFieldError
from applinks.models import ApplicationLink, OutgoingLink, database, without_next_secret
from applinks.services.events import APPLINKS, Actor, Events
from applinks.services.links import Outgoing, retry_now
from applinks.services.vault import Vault


class NextSecrets:
    def __init__(self, vault: Vault, events: Events, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._events = events
        self._clock = clock

    def store(self, outgoing: Outgoing, secret: str, ends_at: int | None, actor: Actor) -> None:
        """Keep a next client secret, in place of one that waits already. `ends_at` is as for the current one.

        Raises InvalidFieldError where the link has no client secret, or this one already.
        """
        stored = outgoing.stored
        if not outgoing.profile.has_client_secret:
            raise InvalidFieldError("client_secret", "This link has no client secret, so there is none to follow it.")
        with suppress(UnreadableError):
            if same(self._vault.client_secret(stored), secret):
                raise InvalidFieldError("client_secret", "This is the client secret that the link has now.")
        now = int(self._clock())
        # Whom it may be shown to is decided by client ID and endpoints: an edit that changes them meanwhile wins.
        as_read = (OutgoingLink.link == stored.link_id) & (OutgoingLink.client_id == stored.client_id)
        as_read &= (OutgoingLink.differences == stored.differences) & (OutgoingLink.provider == stored.provider)
        with database.atomic():
            kept = OutgoingLink.update(
                next_client_secret_enc=self._vault.seal_next_client_secret(stored.link_id, secret),
                next_client_secret_set_at=now,
                next_client_secret_ends_at=ends_at,
            )
            if kept.where(as_read).execute() != 1:
                raise InvalidFieldError(
                    "client_secret", "Somebody else has changed this link meanwhile. Look at it again."
                )
            self._events.record(actor, "next secret stored", stored.link_id)
            retry_now(stored.link_id, now)

    def drop(self, outgoing: Outgoing, actor: Actor) -> None:
        """Forget a next client secret, if one waits."""
        waits = (OutgoingLink.link == outgoing.link.id) & (OutgoingLink.next_client_secret_enc != "")
        with database.atomic():
            if OutgoingLink.update(without_next_secret()).where(waits).execute():
                self._events.record(actor, "next secret dropped", outgoing.link.id)

    def take_over(self, outgoing: Outgoing) -> None:
        """Let the next client secret take the place of the one that the provider has refused, as both were read.

        Every connection of the link that failed with the refused one is tried at once. What the provider has granted comes
        first, so nothing is said where this can't be stored: the next refusal leads here again.
        """
        stored, now = outgoing.stored, int(self._clock())
        as_read = (OutgoingLink.link == stored.link_id) & (OutgoingLink.client_secret_enc == stored.client_secret_enc)
        as_read &= OutgoingLink.next_client_secret_enc == stored.next_client_secret_enc
        with suppress(DatabaseError, InterfaceError), database.atomic():
            secret = self._vault.next_client_secret(stored)
            columns: dict[object, object] = {
                OutgoingLink.client_secret_enc: self._vault.seal_client_secret(stored.link_id, secret),
                OutgoingLink.client_secret_set_at: stored.next_client_secret_set_at,
                OutgoingLink.client_secret_ends_at: stored.next_client_secret_ends_at,
                **without_next_secret(),
            }
            if OutgoingLink.update(columns).where(as_read).execute() != 1:
                return
            # A form that was opened before shows when the refused one was to end: it may not be saved over this.
            newer = ApplicationLink.update(version=ApplicationLink.version + 1, updated_at=now)
            newer.where(ApplicationLink.id == stored.link_id).execute()
            words = "The provider refused the client secret, and took the next one."
            self._events.record(APPLINKS, "secret rotated", stored.link_id, words=words)
            retry_now(stored.link_id, now)
