"""Application links: what every door (pages now, programs later) does with them."""

import json
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from peewee import JOIN, SQL, ModelSelect, fn

from applinks.crypto import UnreadableError, same
from applinks.errors import AppError, ConflictError, InvalidFieldError, NotFoundError
from applinks.models import (
    INCOMING,
    OUTGOING,
    ApplicationLink,
    Connection,
    IncomingLink,
    LinkWord,
    OutgoingLink,
    State,
    database,
    emptied,
    without_next_secret,
)
from applinks.oauth.registration import ClientRegistration, name_key, search_words, slug_of
from applinks.providers import Catalogue, Provider, ProviderProfile
from applinks.services.deadlines import WARN_DAYS, Deadline, days, deadlines_of
from applinks.services.events import Actor, Events
from applinks.services.vault import Vault

PAGE = 25
NEEDS_YOU = "needs_you"
NEEDS_A_PERSON = (State.UNREADABLE, State.CHECK_SETTINGS, State.RECONNECT_NEEDED)
# Parameters of a drawer without which no refresh token is given.
OFFLINE_PARAMETERS = ("access_type", "token_access_type")
TERMS = 5

_ID = re.compile(r"[0-9a-f]{32}")
_OVERTAKEN = "Somebody else has changed this link since you opened the form. Open it again to see their change."
RESERVED_SLUGS = frozenset(("new",))
_WORST_FIRST = list(State)
_SHOWN = (
    *(Connection.link, Connection.label, Connection.state, Connection.account),
    *(Connection.connected_at, Connection.refreshed_at, Connection.expires_at),
)


@dataclass(frozen=True)
class LinkRow:
    """One row of the list; `connection` is the one in the worst state, None without any.

    `connections` counts all of them, `working` those that have a valid token. `deadline` is what ends within the days
    that one is warned of, None for nothing.
    """

    link: ApplicationLink
    provider: str
    state: State | None
    connection: Connection | None
    connections: int
    working: int
    deadline: Deadline | None


@dataclass(frozen=True)
class LinkPage:
    """A page of the list; `after` is where the next one begins, empty where there is none."""

    rows: list[LinkRow]
    after: str


@dataclass(frozen=True)
class Outgoing:
    """An outgoing link with all that belongs to it; its connections are read when they are first asked for."""

    link: ApplicationLink
    stored: OutgoingLink
    provider: Provider
    differences: dict[str, str]
    profile: ProviderProfile
    redirect_uri: str

    @property
    def host(self) -> str:
        """Where tokens come from; how many calls go there at a time, and how often, is limited."""
        return urlsplit(self.profile.token_endpoint).hostname or ""

    @cached_property
    def connections(self) -> list[Connection]:
        """The first one first."""
        return connections_of(self.link.id)

    def renewable(self, connection: Connection) -> bool:
        """Whether a new token can be asked for without anybody's consent."""
        return bool(connection.refresh_token_enc or (self.profile.without_account and connection.access_token_enc))


class Links:
    def __init__(
        self, vault: Vault, events: Events, catalogue: Catalogue, base_url: str, clock: Callable[[], float]
    ) -> None:
        self._vault = vault
        self._events = events
        self._catalogue = catalogue
        self._base_url = base_url
        self._clock = clock

    def redirect_uri(self, link_id: str) -> str:
        """The redirection endpoint of one link (RFC 6749 §3.1.2): base URL and ID alone decide it."""
        return f"{self._base_url}/oauth/callback/{link_id}"

    def page(
        self, search: str = "", after: str = "", *, state: str = "", only: Collection[str] | None = None
    ) -> LinkPage:
        """Links in both directions by name, so many from `after` on: where the page before it ended.

        `search` finds names by how their words begin, `state` those that are in it, and `only` is whom the list is for.
        However many links there are, a page costs the same: it is read along an index, and what is shown beside a link is
        read for the page alone.
        """
        terms = sorted(search_words(search), key=len, reverse=True)[:TERMS]
        found = _searched(terms, after) if terms else _listed(after)
        if state:
            found = found.where(_is_in(state))
        if only is not None:
            found = found.where(ApplicationLink.id.in_(list(only)))
        links = list(found.limit(PAGE + 1))
        more, links = len(links) > PAGE, links[:PAGE]
        ids = [link.id for link in links]
        connections: dict[str, list[Connection]] = {}
        for connection in Connection.select(*_SHOWN).where(Connection.link.in_(ids)).order_by(Connection.label):
            connections.setdefault(connection.link_id, []).append(connection)
        rows = [self._row(link, link.provider or "", connections.get(link.id, [])) for link in links]
        last = links[-1] if more else None
        return LinkPage(rows, _end_of_page(last, terms) if last else "")

    def _row(self, link: ApplicationLink, provider: str, connections: list[Connection]) -> LinkRow:
        worst = min(connections, key=lambda row: _WORST_FIRST.index(State(row.state)), default=None)
        state = None if link.direction == INCOMING else State(worst.state) if worst else State.DISCONNECTED
        name = self._catalogue[provider].name if provider in self._catalogue else ""
        working = sum(connection.state in (State.CONNECTED, State.EXPIRING) for connection in connections)
        now, drawer = self._clock(), self._catalogue.get(provider)
        ends = deadlines_of(link.client_secret_ends_at, link.certificate_ends_at, drawer, connections, now)
        near = next((end for end in ends if days(end.at, now) <= WARN_DAYS), None)
        return LinkRow(link, name, state, worst, len(connections), working, near)

    def need_a_person(self) -> int:
        """How many links have a connection that only a person can mend."""
        rows = Connection.select(Connection.link).where(Connection.state.in_(NEEDS_A_PERSON)).distinct()
        return int(rows.count())

    def deadlines(self, outgoing: Outgoing) -> list[str]:
        """In words, what of a link ends soon or has ended."""
        now, stored = self._clock(), outgoing.stored
        ends = deadlines_of(
            stored.client_secret_ends_at, stored.certificate_ends_at, outgoing.provider, outgoing.connections, now
        )
        return [f"{end.words(now)} {end.mend}" for end in ends if days(end.at, now) <= WARN_DAYS]

    def find(self, slug: str) -> ApplicationLink:
        """Raises NotFoundError."""
        link = ApplicationLink.get_or_none(ApplicationLink.slug == slug)
        if link is None:
            raise NotFoundError("There is no application link here. It may have been deleted.")
        return link

    def slugs_there(self, slugs: Collection[str]) -> set[str]:
        """Those of the slugs under which there is a link today."""
        found = ApplicationLink.select(ApplicationLink.slug).where(ApplicationLink.slug.in_(list(slugs)))
        return {str(link.slug) for link in found}

    def find_by_id(self, link_id: str) -> ApplicationLink | None:
        return ApplicationLink.get_or_none(ApplicationLink.id == link_id)

    def outgoing(self, slug: str) -> Outgoing:
        """Raises NotFoundError for anything but an outgoing link, AppError where its provider is unknown."""
        link = self.find(slug)
        stored = OutgoingLink.get_or_none(OutgoingLink.link == link.id)
        if stored is None:
            raise NotFoundError("There is no outgoing link here.")
        provider = self._catalogue.get(stored.provider)
        if provider is None:
            raise AppError(f"This release knows no provider called {stored.provider}, which this link was made for.")
        differences: dict[str, str] = json.loads(stored.differences)
        if not isinstance(differences, dict) or not all(isinstance(text, str) for text in differences.values()):
            raise ValueError("What is stored of this link isn't made of texts.")
        profile = provider.profile(differences)
        if profile.client_authentication is None and stored.found_authentication:
            profile = profile.authenticated_by(stored.found_authentication)
        return Outgoing(link, stored, provider, differences, profile, self.redirect_uri(link.id))

    def outgoing_or_none(self, slug: str) -> Outgoing | None:
        """The same, but None where this release can't make out how to ask, or the link isn't an outgoing one."""
        try:
            return self.outgoing(slug)
        except (AppError, ValueError):
            return None

    def outgoing_or_none_by_id(self, link_id: str) -> Outgoing | None:
        """The same by a link's ID, None as well where it was deleted."""
        link = self.find_by_id(link_id)
        return self.outgoing_or_none(link.slug) if link else None

    def create(self, link_id: str, registration: ClientRegistration, actor: Actor, slug: str = "") -> ApplicationLink:
        """Store a new outgoing link under the ID that its Redirect URL was shown with.

        An ID that is stored already is that link: a second *Save* changes nothing. A `slug` that is given is free.
        Raises InvalidFieldError.
        """
        now = int(self._clock())
        with database.atomic():
            if existing := self.find_by_id(link_id):
                return existing
            link = self.insert(link_id, registration.name, OUTGOING, slug)
            OutgoingLink.create(
                link=link.id,
                provider=registration.provider.key,
                differences=json.dumps(dict(registration.differences)),
                client_id=registration.client_id,
                client_secret_enc=self._vault.seal_client_secret(link.id, registration.client_secret or ""),
                client_secret_set_at=now,
                client_secret_ends_at=registration.client_secret_ends_at,
                scopes=registration.scopes,
            )
            self._events.record(actor, "created", link.id)
        return link

    def insert(self, link_id: str, name: str, direction: str, slug: str = "") -> ApplicationLink:
        """Store what both directions have, in the caller's transaction. Raises InvalidFieldError."""
        self._check_name(name, link_id)
        now = int(self._clock())
        base, slug, number = slug_of(name), slug or slug_of(name), 1
        while slug in RESERVED_SLUGS or ApplicationLink.get_or_none(ApplicationLink.slug == slug):
            number += 1
            slug = f"{base}-{number}"
        link = ApplicationLink.create(
            id=link_id,
            slug=slug,
            name=name,
            name_key=name_key(name),
            direction=direction,
            created_at=now,
            updated_at=now,
        )
        _store_words(link_id, name)
        return link

    def _check_name(self, name: str, link_id: str) -> None:
        namesake = ApplicationLink.get_or_none(ApplicationLink.name_key == name_key(name))
        if namesake and namesake.id != link_id:
            raise InvalidFieldError("name", "Another application link has this name already. Choose a different one.")

    def free_name(self, name: str) -> str:
        """The name, with a number where there is a link of that name already."""
        free, number = name, 1
        while ApplicationLink.select().where(ApplicationLink.name_key == name_key(free)).exists():
            number += 1
            free = f"{name} {number}"
        return free

    def has_secret(self, outgoing: Outgoing, secret: str) -> bool:
        """Whether this is the client secret that is stored."""
        try:
            return same(self._vault.client_secret(outgoing.stored), secret)
        except UnreadableError:
            return False

    def needs_secret(self, outgoing: Outgoing, registration: ClientRegistration) -> bool:
        """Whether a change may only be stored with the client secret typed anew: it could go to somebody else."""
        return (
            registration.profile.destinations != outgoing.profile.destinations
            or registration.client_id != outgoing.stored.client_id
        )

    def update(self, outgoing: Outgoing, registration: ClientRegistration, *, version: int, actor: Actor) -> bool:
        """Store an edit that was begun at `version`; a changed endpoint or client ID disconnects the accounts.

        Returns whether accounts were disconnected. Raises InvalidFieldError, or ConflictError where somebody has edited
        the link meanwhile.
        """
        if outgoing.link.version != version:
            raise ConflictError(_OVERTAKEN)  # what this edit is compared with isn't what its author saw
        changed = self.needs_secret(outgoing, registration)
        if registration.profile.has_client_secret and not registration.client_secret:
            if changed:
                raise InvalidFieldError(
                    "client_secret", "You changed an endpoint or the client ID: type the client secret again."
                )
            if not outgoing.profile.has_client_secret:
                raise InvalidFieldError("client_secret", "Fill in the client secret that the provider gave you.")
        now, link = int(self._clock()), outgoing.link
        with database.atomic():
            self.rename(link, registration.name, version)
            columns: dict[object, object] = {
                OutgoingLink.provider: registration.provider.key,
                OutgoingLink.differences: json.dumps(dict(registration.differences)),
                OutgoingLink.client_id: registration.client_id,
                OutgoingLink.client_secret_ends_at: registration.client_secret_ends_at,
                OutgoingLink.scopes: registration.scopes,
            }
            old, new = outgoing.differences, registration.differences
            chosen = old.get("client_authentication") != new.get("client_authentication")
            if changed:
                columns[OutgoingLink.certificate_ends_at] = None  # it was another's
                columns |= without_next_secret()  # which was for the one before alone
            if changed or chosen or registration.client_secret:
                columns[OutgoingLink.found_authentication] = ""  # found by trying what is no more
            if registration.client_secret or not registration.profile.has_client_secret:
                columns[OutgoingLink.client_secret_enc] = self._vault.seal_client_secret(
                    link.id, registration.client_secret or ""
                )
                columns[OutgoingLink.client_secret_set_at] = now
            OutgoingLink.update(columns).where(OutgoingLink.link == link.id).execute()
            self._events.record(actor, "changed", link.id)
            if changed:
                wipe = Connection.update(emptied("The link's settings were changed."))
                connected = Connection.state != State.DISCONNECTED
                return bool(wipe.where((Connection.link == link.id) & connected).execute())
            retry_now(link.id, now)
        return False

    def rename(self, link: ApplicationLink, name: str, version: int) -> None:
        """Store the name and the next version over `version`, in the caller's transaction.

        Raises InvalidFieldError, or ConflictError where somebody has edited the link meanwhile.
        """
        self._check_name(name, link.id)
        same_version = (ApplicationLink.id == link.id) & (ApplicationLink.version == version)
        columns = {"name": name, "name_key": name_key(name), "version": version + 1, "updated_at": int(self._clock())}
        if ApplicationLink.update(**columns).where(same_version).execute() != 1:
            raise ConflictError(_OVERTAKEN)
        LinkWord.delete().where(LinkWord.link == link.id).execute()
        _store_words(link.id, name)

    def without_account(self, link_id: str) -> bool:
        """Whether a link's grant type is client credentials, also where this release doesn't know its provider."""
        stored = OutgoingLink.get_or_none(OutgoingLink.link == link_id)
        with suppress(ValueError):
            return bool(stored and json.loads(stored.differences).get("grant_type") == "client_credentials")
        return False

    def retry_with_new_settings(self, asked_with: Outgoing) -> None:
        """Settings that were stored while those before them were being refused are tried at once, too."""
        link = self.find_by_id(asked_with.link.id)
        if link and link.version != asked_with.link.version:
            with database.atomic():
                retry_now(link.id, int(self._clock()))

    def repoint(self, link: ApplicationLink, differences: dict[str, str]) -> None:
        """Follow an authorization server of our own to its new address: the same one, so nothing is disconnected."""
        OutgoingLink.update(differences=json.dumps(differences)).where(OutgoingLink.link == link.id).execute()

    def delete(self, link: ApplicationLink, actor: Actor) -> None:
        """Delete a link with its connections and secrets. What happened to it stays in the audit log."""
        with database.atomic():
            self._events.record(actor, "deleted", link.id)
            ApplicationLink.delete().where(ApplicationLink.id == link.id).execute()


def _listed(after: str) -> "ModelSelect[ApplicationLink]":
    links = _with_provider().order_by(ApplicationLink.name_key)
    return links.where(ApplicationLink.name_key > after) if after else links


def _with_provider() -> "ModelSelect[ApplicationLink]":
    """Links, each with its provider's key and when things end, or whether it is disabled; None in the other direction."""
    ends = OutgoingLink.client_secret_ends_at, OutgoingLink.certificate_ends_at
    links = ApplicationLink.select(ApplicationLink, OutgoingLink.provider, *ends, IncomingLink.disabled_at)
    with_outgoing = links.join(OutgoingLink, JOIN.LEFT_OUTER)
    return with_outgoing.join_from(ApplicationLink, IncomingLink, JOIN.LEFT_OUTER).objects()


def _is_in(state: str) -> Any:
    """Whether a link has a connection in a state; for `disconnected`, whether it is an outgoing one with none in another."""
    mine = Connection.select(SQL("1")).where(Connection.link == ApplicationLink.id)
    if state == NEEDS_YOU:
        return fn.EXISTS(mine.where(Connection.state.in_(NEEDS_A_PERSON)))
    if state == State.DISCONNECTED:
        outgoing = ApplicationLink.direction == OUTGOING
        return outgoing & ~fn.EXISTS(mine.where(Connection.state != State.DISCONNECTED))
    return fn.EXISTS(mine.where(Connection.state == state))


def _searched(terms: list[str], after: str) -> "ModelSelect[ApplicationLink]":
    """Links that have a word for each term, once each, in the order of the first term's words and then by name."""
    other = LinkWord.alias()
    begins = _begins(LinkWord, terms[0])
    same_link = (other.link == LinkWord.link) & (other.word < LinkWord.word)
    earlier = other.select(SQL("1")).where(same_link & _begins(other, terms[0]))
    found = _with_provider().join_from(ApplicationLink, LinkWord).where(begins & ~fn.EXISTS(earlier))
    for term in terms[1:]:
        more = LinkWord.alias()
        has = more.select(SQL("1")).where((more.link == LinkWord.link) & _begins(more, term))
        found = found.where(fn.EXISTS(has))
    if after:
        word, _, key = after.partition(" ")
        here = word.encode()
        found = found.where((LinkWord.word > here) | ((LinkWord.word == here) & (LinkWord.name_key > key)))
    return found.order_by(LinkWord.word, LinkWord.name_key)


def _begins(words: Any, term: str) -> Any:
    """No UTF-8 text holds the byte FF: all that begins with a term stands before the term with it."""
    return (words.word >= term.encode()) & (words.word < term.encode() + b"\xff")


def _end_of_page(last: ApplicationLink, terms: list[str]) -> str:
    """Where a page ends: a name, after the word that it was found by."""
    words = [word for word in search_words(last.name) if terms and word.startswith(terms[0])]
    return f"{min(words, key=str.encode)} {last.name_key}" if words else str(last.name_key)


def _store_words(link_id: str, name: str) -> None:
    key = name_key(name)
    rows = [{"word": word.encode(), "name_key": key, "link": link_id} for word in search_words(name)]
    if rows:
        LinkWord.insert_many(rows).execute()


def connections_of(link_id: str) -> list[Connection]:
    """Every connection of a link, the first one first."""
    return list(Connection.select().where(Connection.link == link_id).order_by(Connection.created_at, Connection.id))


def lacks_for_refresh(outgoing: Outgoing) -> tuple[str, str]:
    """What is missing for a refresh token to be given, and what adds it; both empty where nothing is known to be."""
    needed = outgoing.provider.refresh_scopes
    if needed and not set(needed) & set(outgoing.stored.scopes.split()):
        return f"the scope {needed[0]} isn't asked for", f"Add {needed[0]} to Scopes with Edit."
    sent = dict(outgoing.profile.authorization_parameters)
    for name, value in outgoing.provider.authorization_parameters:
        if name in OFFLINE_PARAMETERS and sent.get(name) != value:
            mend = f"Take {name} out of Extra authorization parameters with Edit."
            return f"{name} is {sent.get(name)} in place of {value}", mend
    return "", ""


def is_link_id(text: str) -> bool:
    """Whether `text` is in the form of a link's ID."""
    return bool(_ID.fullmatch(text))


def retry_now(link_id: str, now: int) -> None:
    """After a change of settings, what failed with the old ones is tried at once."""
    waiting = Connection.state.in_([State.CHECK_SETTINGS, State.RETRYING])
    Connection.update({Connection.next_attempt_at: now}).where((Connection.link == link_id) & waiting).execute()
