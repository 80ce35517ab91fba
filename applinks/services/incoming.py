"""Incoming links: external applications as clients of ours, with the ID and the secret that they show."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from applinks.crypto import digest, new_id, new_token, same
from applinks.errors import ConflictError, InvalidFieldError, NotFoundError
from applinks.models import (
    INCOMING,
    OUTGOING,
    ApplicationLink,
    Consent,
    IncomingLink,
    IssuedGrant,
    database,
)
from applinks.oauth.incoming import DAY, LIVES, IncomingRegistration
from applinks.services.events import APPLINKS, Actor, Events
from applinks.services.links import Links

SECRET_PREFIX = "aps_"  # noqa: S105 (what a secret begins with, for people and scanners)
CHOICES = 50
MOST_TOKEN_LINKS = 100
_SLUG = re.compile(r"[a-z0-9-]{1,60}")
OVERLAPS = {0: "Not at all", 3600: "One hour", DAY: "One day", 7 * DAY: "Seven days"}
"""How long an old client secret works on, in seconds, in words."""


@dataclass(frozen=True)
class Incoming:
    """An incoming link with all that belongs to it. `token_links` are those whose tokens it may read, by name."""

    link: ApplicationLink
    stored: IncomingLink
    token_links: list[ApplicationLink]


@dataclass(frozen=True)
class Credentials:
    """What an application shows. Of the secret, which a public one hasn't, only a digest is kept."""

    client_id: str
    client_secret: str = field(repr=False)


class IncomingLinks:
    def __init__(self, links: Links, events: Events, clock: Callable[[], float]) -> None:
        self._links = links
        self._events = events
        self._clock = clock

    def find(self, slug: str) -> Incoming:
        """Raises NotFoundError for anything but an incoming link."""
        link = self._links.find(slug)
        stored = IncomingLink.get_or_none(IncomingLink.link == link.id)
        if stored is None:
            raise NotFoundError("There is no incoming link here.")
        chosen = ApplicationLink.id.in_(stored.token_links.split())
        return Incoming(link, stored, list(ApplicationLink.select().where(chosen).order_by(ApplicationLink.name_key)))

    def create(
        self,
        link_id: str,
        registration: IncomingRegistration,
        actor: Actor,
        *,
        slug: str = "",
        client_id: str = "",
        client_secret: str = "",
    ) -> tuple[Incoming, Credentials | None]:
        """Make an incoming link with credentials that are never seen again. Raises InvalidFieldError.

        An ID that is stored already is that link: a second *Save* changes nothing, and shows nothing. Of slug, client ID and
        client secret, what isn't given is made.
        """
        secret = "" if registration.is_public else client_secret or SECRET_PREFIX + new_token()
        credentials = Credentials(client_id or new_id(), secret)
        with database.atomic():
            if existing := self._links.find_by_id(link_id):
                return self.find(existing.slug), None
            if IncomingLink.get_or_none(IncomingLink.client_id == credentials.client_id):
                raise InvalidFieldError("client_id", "Another application has this client ID already.")
            link = self.add(
                registration.name,
                link_id=link_id,
                slug=slug,
                client_id=credentials.client_id,
                client_secret_digest=digest(secret) if secret else "",
                redirect_uris="\n".join(registration.redirect_uris),
                scopes=" ".join(registration.scopes),
                life=registration.access_token_life,
                grant_types=" ".join(registration.grant_types),
                token_links=self._ids(registration.token_links),
                refresh_idle_life=registration.refresh_idle_life,
                refresh_life=registration.refresh_life,
                actor=actor,
            )
        return self.find(link.slug), credentials

    def add(
        self,
        name: str,
        *,
        link_id: str = "",
        slug: str = "",
        client_id: str,
        client_secret_digest: str,
        redirect_uris: str,
        scopes: str,
        life: int,
        grant_types: str = "authorization_code",
        token_links: str = "",
        refresh_idle_life: int = LIVES["refresh_idle_life"][2] * DAY,
        refresh_life: int = LIVES["refresh_life"][2] * DAY,
        actor: Actor = APPLINKS,
    ) -> ApplicationLink:
        """Store an incoming link as it is given; lives are in seconds. Raises InvalidFieldError."""
        with database.atomic():
            link = self._links.insert(link_id or new_id(), name, INCOMING, slug)
            IncomingLink.create(
                link=link.id,
                client_id=client_id,
                client_secret_digest=client_secret_digest,
                client_secret_set_at=int(self._clock()),
                redirect_uris=redirect_uris,
                grant_types=grant_types,
                scopes=scopes,
                token_links=token_links,
                access_token_life=life,
                refresh_idle_life=refresh_idle_life,
                refresh_life=refresh_life,
            )
            self._events.record(actor, "created", link.id)
        return link

    def choices(self) -> tuple[dict[str, str], bool]:
        """Slugs and names of outgoing links to choose from, by name, and whether there are more than are shown."""
        outgoing = ApplicationLink.select().where(ApplicationLink.direction == OUTGOING)
        links = list(outgoing.order_by(ApplicationLink.name_key).limit(CHOICES + 1))
        return {str(link.slug): str(link.name) for link in links[:CHOICES]}, len(links) > CHOICES

    def update(self, incoming: Incoming, registration: IncomingRegistration, *, version: int, actor: Actor) -> None:
        """Store an edit that was begun at `version`; the client type stays. What is taken away counts at the next request.

        Raises InvalidFieldError, or ConflictError where somebody has edited the link meanwhile.
        """
        with database.atomic():
            self._links.rename(incoming.link, registration.name, version)
            columns: dict[object, object] = {
                IncomingLink.redirect_uris: "\n".join(registration.redirect_uris),
                IncomingLink.grant_types: " ".join(registration.grant_types),
                IncomingLink.scopes: " ".join(registration.scopes),
                IncomingLink.token_links: self._ids(registration.token_links),
                IncomingLink.access_token_life: registration.access_token_life,
                IncomingLink.refresh_idle_life: registration.refresh_idle_life,
                IncomingLink.refresh_life: registration.refresh_life,
            }
            IncomingLink.update(columns).where(IncomingLink.link == incoming.link.id).execute()
            self._events.record(actor, "changed", incoming.link.id)

    def _ids(self, slugs: tuple[str, ...]) -> str:
        """Raises InvalidFieldError for what isn't the slug of an outgoing link."""
        if len(slugs) > MOST_TOKEN_LINKS:
            raise InvalidFieldError("token_links", f"At most {MOST_TOKEN_LINKS} links.")
        if strange := next((slug for slug in slugs if not _SLUG.fullmatch(slug)), None):
            raise InvalidFieldError("token_links", f"{strange[:60]} isn't a slug. A link's page names its own.")
        found = {link.slug: link for link in ApplicationLink.select().where(ApplicationLink.slug.in_(list(slugs)))}
        for slug in slugs:
            if slug not in found or found[slug].direction != OUTGOING:
                raise InvalidFieldError("token_links", f"There is no outgoing link with the slug {slug[:60]}.")
        return "\n".join(sorted(found[slug].id for slug in slugs))

    def has_secret(self, incoming: Incoming, secret: str) -> bool:
        """Whether this is the client secret that its application shows today."""
        return same(incoming.stored.client_secret_digest, digest(secret))

    def rotate_secret(
        self, incoming: Incoming, overlap: int, since: int, actor: Actor, secret: str = ""
    ) -> Credentials:
        """Give a new client secret in place of the one that was set at `since`; that works on for so many seconds.

        Raises InvalidFieldError, or ConflictError where it was rotated meanwhile.
        """
        if overlap not in OVERLAPS:
            raise InvalidFieldError("overlap", "Choose one of those that are shown.")
        if incoming.stored.is_public:
            raise NotFoundError("A public application has no client secret.")
        secret, now = secret or SECRET_PREFIX + new_token(), int(self._clock())
        with database.atomic():
            stored = IncomingLink.get(IncomingLink.link == incoming.link.id)
            if stored.client_secret_set_at != since:
                raise ConflictError(
                    "The secret was rotated already, and the new one was shown once. Nothing was changed."
                )
            columns: dict[object, object] = {
                IncomingLink.client_secret_digest: digest(secret),
                IncomingLink.client_secret_set_at: max(now, since + 1),  # never the same twice
                IncomingLink.previous_secret_digest: stored.client_secret_digest if overlap else "",
                IncomingLink.previous_secret_until: now + overlap if overlap else None,
            }
            IncomingLink.update(columns).where(IncomingLink.link == incoming.link.id).execute()
            words = f"The old one works on: {OVERLAPS[overlap].lower()}."
            self._events.record(actor, "secret rotated", incoming.link.id, words=words)
        return Credentials(stored.client_id, secret)

    def switch(self, incoming: Incoming, actor: Actor, *, on: bool) -> None:
        """Disable a link, or enable it again: while it is disabled, nothing that it has works."""
        columns: dict[object, object] = {IncomingLink.disabled_at: None if on else int(self._clock())}
        other = IncomingLink.disabled_at.is_null(not on)
        with database.atomic():
            changed = IncomingLink.update(columns).where((IncomingLink.link == incoming.link.id) & other).execute()
            if changed:
                self._events.record(actor, "enabled" if on else "disabled", incoming.link.id)

    def revoke_all(self, incoming: Incoming, actor: Actor) -> None:
        """Take back every consent and every token; codes that are on their way are worth nothing, too."""
        with database.atomic():
            IssuedGrant.delete().where(IssuedGrant.link == incoming.link.id).execute()
            Consent.delete().where(Consent.link == incoming.link.id).execute()
            self._events.record(actor, "everything revoked", incoming.link.id)
