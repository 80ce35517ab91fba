"""Consents: who has allowed which application what, and taking that back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peewee import Expression, fn

from applinks.errors import NotFoundError
from applinks.models import Administrator, ApplicationLink, Consent, IncomingLink, IssuedGrant, IssuedToken, database
from applinks.oauth.scopes import READ_TOKENS
from applinks.services.events import Actor, Events


@dataclass(frozen=True)
class Given:
    """A consent as pages show it. `scopes` and `links` (by name) are those that count today, `last_used_at` is None for never.

    `access_tokens` and `refresh_tokens` count those that are alive.
    """

    consent: Consent
    scopes: list[str]
    links: list[str]
    last_used_at: int | None
    access_tokens: int
    refresh_tokens: int


@dataclass(frozen=True)
class OwnUse:
    """What an application has by its own credentials, without anybody's consent."""

    last_used_at: int | None
    tokens: int


class Consents:
    def __init__(self, events: Events, clock: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock

    def of_link(self, link_id: str) -> list[Given]:
        """Whoever has allowed this application something, by name."""
        return self._given(Consent.link == link_id)

    def of_administrator(self, administrator_id: str) -> list[Given]:
        """The applications that an administrator has allowed something, by name."""
        return self._given(Consent.administrator == administrator_id)

    def find(self, consent_id: str, *, link_id: str = "", administrator_id: str = "") -> Given:
        """A consent to this link, or by this administrator. Raises NotFoundError."""
        mine = (Consent.link == link_id) | (Consent.administrator == administrator_id)
        found = self._given((Consent.id == consent_id) & mine)
        if not found:
            raise NotFoundError("There is no such consent. It may have been taken back.")
        return found[0]

    def revoke(self, given: Given, actor: Actor) -> None:
        """Take a consent back, with every code and token that came of it."""
        consent = given.consent
        with database.atomic():
            if Consent.delete().where(Consent.id == consent.id).execute():
                whose = consent.administrator.username
                self._events.record(actor, "consent revoked", consent.link_id, words=f"The consent of {whose}.")

    def own_use(self, link_id: str) -> OwnUse:
        """What an application has without consents."""
        own = (IssuedGrant.link == link_id) & IssuedGrant.consent.is_null()
        last = IssuedGrant.select(fn.MAX(IssuedGrant.last_used_at)).where(own).scalar()
        return OwnUse(last, self._alive(own, self._accessing).get(None, 0))

    def _given(self, wanted: Expression) -> list[Given]:
        tables = Consent, Administrator, ApplicationLink, IncomingLink
        rows = (
            Consent.select(*tables)
            .join_from(Consent, Administrator)
            .join_from(Consent, ApplicationLink)
            .join_from(ApplicationLink, IncomingLink, on=(IncomingLink.link == ApplicationLink.id), attr="as_client")
            .where(wanted)
            .order_by(ApplicationLink.name_key, Administrator.username)
        )
        consents = list(rows)
        theirs = IssuedGrant.consent.in_([row.id for row in consents])
        accessing, refreshing = self._alive(theirs, self._accessing), self._alive(theirs, self._refreshing)
        used: Any = IssuedGrant.select(IssuedGrant.consent, fn.MAX(IssuedGrant.last_used_at)).where(theirs)
        last = dict(used.group_by(IssuedGrant.consent).tuples())
        ids = {link_id for row in consents for link_id in row.token_links.split()}
        names = {
            str(link.id): str(link.name)
            for link in ApplicationLink.select()
            .where(ApplicationLink.id.in_(list(ids)))
            .order_by(ApplicationLink.name_key)
        }
        found = []
        for consent in consents:
            link: Any = consent.link
            incoming: IncomingLink = link.as_client
            scopes = [scope for scope in consent.scopes.split() if scope in incoming.scopes.split()]
            counts = set(consent.token_links.split()) & set(incoming.token_links.split())
            links = [name for link_id, name in names.items() if link_id in counts and READ_TOKENS in scopes]
            counted = accessing.get(consent.id, 0), refreshing.get(consent.id, 0)
            found.append(Given(consent, scopes, links, last.get(consent.id), *counted))
        return found

    @property
    def _accessing(self) -> Expression:
        return IssuedToken.access_expires_at > int(self._clock())

    @property
    def _refreshing(self) -> Expression:
        return (IssuedToken.refresh_expires_at > int(self._clock())) & IssuedToken.spent_at.is_null()

    def _alive(self, wanted: Expression, alive: Expression) -> dict[str | None, int]:
        """How many tokens of the grants that are wanted are alive, by their consent; None for those without one."""
        rows = IssuedToken.select(IssuedGrant.consent, fn.COUNT(IssuedToken.access_digest)).join(IssuedGrant)
        counted: Any = rows.where(wanted & alive).group_by(IssuedGrant.consent).tuples()
        return dict(counted)
