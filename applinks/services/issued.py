"""Tokens that our own authorization server gave out: finding a living one, and what its bearer may do.

What a token was given for is cut by what its link may do today, and it is dead while its link is disabled or may not use
the grant type that it came of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, Expression

from applinks.crypto import digest
from applinks.errors import ForbiddenError, InvalidTokenError
from applinks.models import (
    ActorKind,
    Administrator,
    ApplicationLink,
    Consent,
    IncomingLink,
    IssuedGrant,
    IssuedToken,
    database,
)
from applinks.oauth.incoming import CODE, OWN_CREDENTIALS
from applinks.oauth.scopes import MANAGE_LINKS, PROFILE, READ_TOKENS, SEE_LINKS
from applinks.services.access import Access
from applinks.services.counts import Counts
from applinks.services.events import Actor


@dataclass(frozen=True)
class Issued:
    """A token with all that it hangs on. `administrator` is missing where an application acts for itself."""

    token: IssuedToken
    grant: IssuedGrant
    link: ApplicationLink
    incoming: IncomingLink
    administrator: Administrator | None
    alive: bool

    @property
    def scopes(self) -> list[str]:
        """What may be done with the access token today, in the order that it was asked in."""
        return self._today(self.token.scopes)

    @property
    def refreshable_scopes(self) -> list[str]:
        """What the refresh token is for today: all that was granted, whatever its access token is for (RFC 6749 §6)."""
        return self._today(self.grant.scopes)

    def _today(self, scopes: str) -> list[str]:
        today = set(self.incoming.scopes.split())
        return [scope for scope in scopes.split() if scope in today]

    @property
    def refresh_ends_at(self) -> int:
        """When the refresh token ends: sooner than it was told where its link has shorter lives today; 0 without one."""
        if self.token.refresh_expires_at is None:
            return 0
        idle = self.token.issued_at + self.incoming.refresh_idle_life
        return int(min(self.token.refresh_expires_at, idle, self.grant.began_at + self.incoming.refresh_life))

    @property
    def token_links(self) -> frozenset[str]:
        """IDs of the links whose tokens may be read today."""
        if READ_TOKENS not in self.scopes:
            return frozenset()
        return frozenset(self.grant.token_links.split()) & frozenset(self.incoming.token_links.split())

    @property
    def name(self) -> str:
        """Who acts, for the audit log."""
        return f"{self.link.name} for {self.administrator.username}" if self.administrator else str(self.link.name)


def issued_token(found_by: Expression) -> Issued | None:
    """The token that is found so, with what it hangs on."""
    tables = IssuedToken, IssuedGrant, ApplicationLink, IncomingLink, Consent, Administrator
    token = (
        IssuedToken.select(*tables)
        .join(IssuedGrant)
        .join(ApplicationLink)
        .join_from(ApplicationLink, IncomingLink, on=(IncomingLink.link == ApplicationLink.id), attr="as_client")
        .join_from(IssuedGrant, Consent, JOIN.LEFT_OUTER)
        .join_from(Consent, Administrator, JOIN.LEFT_OUTER)
        .where(found_by)
        .first()
    )
    if token is None:
        return None
    grant = token.grant
    incoming: Any = grant.link.as_client
    consent = grant.consent if grant.consent_id else None
    administrator = consent.administrator if consent else None
    grant_type = CODE if consent else OWN_CREDENTIALS
    alive = incoming.disabled_at is None and grant_type in incoming.grant_types.split()
    return Issued(token, grant, grant.link, incoming, administrator, alive)


def wipe_successors(now: int) -> None:
    """Wipe every pair that was kept for the moment after a refresh, where that is over."""
    over = IssuedToken.successor_until <= now
    IssuedToken.update(successor_enc="", successor_until=None).where(over).execute()


class IssuedTokens:
    def __init__(self, counts: Counts, clock: Callable[[], float]) -> None:
        self._counts = counts
        self._clock = clock

    def bearer(self, access_token: str) -> Issued | None:
        """What an access token is for, None where there is none like it. Raises InvalidTokenError for one that is dead."""
        found = issued_token(IssuedToken.access_digest == digest(access_token)) if access_token else None
        if found is None:
            return None
        if not found.alive or found.token.access_expires_at <= self._clock():
            raise InvalidTokenError
        self._counts.used(IssuedGrant, str(found.grant.id))
        return found

    def userinfo(self, access_token: str) -> dict[str, str]:
        """Who gave an access token. Raises InvalidTokenError, or ForbiddenError where that isn't what it is for."""
        found = self.bearer(access_token)
        if found is None:
            raise InvalidTokenError
        if found.administrator is None or PROFILE not in found.scopes:
            raise ForbiddenError("This access token isn't for seeing who gave it.", PROFILE)
        return {"sub": found.administrator.id, "name": found.administrator.username}

    def access(self, access_token: str, address: str) -> Access | None:
        """What the bearer of an access token may do, else the same as `bearer`."""
        found = self.bearer(access_token)
        if found is None:
            return None
        scopes = set(found.scopes)
        actor_id = found.grant.consent_id or found.link.id
        return Access(
            Actor(found.name, ActorKind.APPLICATION, str(actor_id), address),
            manages=MANAGE_LINKS in scopes,
            link_ids=None if scopes & {SEE_LINKS, MANAGE_LINKS} else frozenset(),
            token_ids=found.token_links,
        )

    def sweep(self) -> None:
        """Wipe what is kept for the moment after a refresh, and delete grants that have ended. Cheap where nothing is due."""
        now = int(self._clock())
        over, ended = IssuedToken.successor_until <= now, IssuedGrant.ends_at <= now
        if not (IssuedToken.select().where(over).exists() or IssuedGrant.select().where(ended).exists()):
            return
        with database.atomic():
            wipe_successors(now)
            IssuedGrant.delete().where(ended).execute()
