"""Links as code: what is there, written down, and what a document wants, made so: all of it or nothing."""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from applinks.crypto import new_id
from applinks.errors import AppError, ConflictError, InvalidFieldError
from applinks.models import INCOMING, OUTGOING, ApplicationLink, Connection, State, database
from applinks.oauth.incoming import CONFIDENTIAL, PUBLIC
from applinks.oauth.registration import ClientRegistration
from applinks.services.connections import Connections
from applinks.services.events import Actor
from applinks.services.incoming import Credentials, IncomingLinks
from applinks.services.links import Links, Outgoing, connections_of
from applinks.services.links_document import Entry, Values, incoming_values, outgoing_values, variable_for

SECRET = "client_secret"  # noqa: S105
MADE, CHANGED, DELETED = "+", "~", "-"


@dataclass(frozen=True)
class Change:
    """What is to be done with one link. `fields` are what changes, each with its old and its new value; `loss` is what
    can't be had back by applying another document. `lacks_secret`: it can't be done without one."""

    sign: str
    slug: str
    fields: dict[str, tuple[Any, Any]]
    version: int = 0
    entry: Entry | None = None
    loss: str = ""
    lacks_secret: bool = False


@dataclass(frozen=True)
class Plan:
    changes: list[Change]
    unchanged: int


@dataclass(frozen=True)
class Applied:
    """`made` are outgoing links, `credentials` those of new incoming ones, by slug, `ended` what providers said of grants."""

    made: list[Outgoing]
    without_account: list[str]
    credentials: dict[str, Credentials]
    ended: list[str]


class Applying:
    def __init__(self, links: Links, incoming: IncomingLinks, connections: Connections) -> None:
        self._links = links
        self._incoming = incoming
        self._connections = connections

    def exported(self) -> dict[str, Any]:
        """Every link, by slug. Raises AppError where one can't be written down."""
        return {"version": 1, "links": [self._exported(link) for link in self._stored()]}

    def _stored(self) -> list[ApplicationLink]:
        return sorted(ApplicationLink.select(), key=lambda link: str(link.slug))

    def _exported(self, link: ApplicationLink) -> Values:
        head: Values = {"slug": link.slug, "id": link.id, "direction": link.direction}
        if link.direction == INCOMING:
            incoming = self._incoming.find(link.slug)
            kind = PUBLIC if incoming.stored.is_public else CONFIDENTIAL
            return head | {"client_id": incoming.stored.client_id, "client_type": kind} | incoming_values(incoming)
        outgoing = self._outgoing(link.slug)
        # Without scopes, the provider's default would be asked for.
        values = outgoing_values(outgoing) | ({} if outgoing.stored.scopes else {"scopes": ""})
        secret = {"client_secret_from": variable_for(link.slug)} if outgoing.profile.has_client_secret else {}
        return head | values | secret

    def _outgoing(self, slug: str) -> Outgoing:
        try:
            return self._links.outgoing(slug)
        except ValueError:
            raise AppError(f"{slug}: what is stored of this link can't be read.") from None

    def plan(self, entries: list[Entry], *, prune: bool) -> Plan:
        """What would have to be done. Raises AppError with all that contradicts what is stored, a line each."""
        stored = {str(link.slug): link for link in self._stored()}
        wanted = {entry.slug for entry in entries}
        gone = [link for slug, link in stored.items() if slug not in wanted] if prune else []
        wrong = self._contradictions(entries, stored, {str(link.slug) for link in gone})
        if wrong:
            raise AppError("\n".join(wrong))
        changes = [
            self._change(entry, stored[entry.slug]) if entry.slug in stored else _new(entry) for entry in entries
        ]
        unchanged = sum(change is None for change in changes)
        return Plan([*(_deletion(link) for link in gone), *(change for change in changes if change)], unchanged)

    def _contradictions(
        self, entries: list[Entry], stored: dict[str, ApplicationLink], gone: Collection[str]
    ) -> list[str]:
        wrong = []
        slugs = {str(link.id): slug for slug, link in stored.items()}
        directions = {slug: str(link.direction) for slug, link in stored.items() if slug not in gone}
        directions |= {entry.slug: entry.direction for entry in entries}
        for number, entry in enumerate(entries):
            where, link = f"links[{number}] {entry.slug}", stored.get(entry.slug)
            if link and link.direction != entry.direction:
                wrong.append(f"{where}: direction: It is an {link.direction} link. Delete it first.")
                continue
            if entry.link_id and link and link.id != entry.link_id:
                wrong.append(f"{where}: id: A link's ID never changes, and this one's is {link.id}. Leave it out.")
            elif entry.link_id and slugs.get(entry.link_id, entry.slug) != entry.slug:
                wrong.append(f"{where}: id: The link {slugs[entry.link_id]} has it. A link's slug never changes.")
            if isinstance(entry.wanted, ClientRegistration):
                continue
            strange = [slug for slug in entry.wanted.token_links if directions.get(slug) != OUTGOING]
            if strange:
                wrong.append(f"{where}: token_links: There is no outgoing link with the slug {strange[0][:60]}.")
            if link:
                incoming = self._incoming.find(link.slug).stored
                if entry.client_id and entry.client_id != incoming.client_id:
                    wrong.append(f"{where}: client_id: An incoming link's never changes. Leave it out.")
                if entry.wanted.is_public != incoming.is_public:
                    wrong.append(f"{where}: client_type: It never changes. Delete the link first.")
        return wrong

    def _change(self, entry: Entry, link: ApplicationLink) -> Change | None:
        """None where nothing differs."""
        loss, lacks = "", False
        if isinstance(entry.wanted, ClientRegistration):
            outgoing = self._outgoing(entry.slug)
            old = outgoing_values(outgoing)
            moved = self._links.needs_secret(outgoing, entry.wanted)
            confidential = entry.wanted.profile.has_client_secret
            lacks = confidential and not entry.secret and (moved or not outgoing.profile.has_client_secret)
            other_secret = bool(entry.secret) and not self._links.has_secret(outgoing, entry.secret)
            accounts = [row for row in outgoing.connections if row.state != State.DISCONNECTED] if moved else []
            loss = f"This disconnects {_accounts(accounts)}." if accounts else ""
        else:
            incoming = self._incoming.find(entry.slug)
            old = incoming_values(incoming)
            other_secret = bool(entry.secret) and not self._incoming.has_secret(incoming, entry.secret)
        new = entry.values
        names = dict.fromkeys([*old, *new])
        fields = {name: (old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)}
        if other_secret:
            fields[SECRET] = ("", "(changed)")
        if not fields:
            return None
        return Change(CHANGED, entry.slug, fields, link.version, entry, loss, lacks)

    def apply(self, plan: Plan, actor: Actor) -> Applied:
        """Do all of it in one transaction, then tell the providers of grants that ended.

        Raises ConflictError where a link was changed since the plan was made, or AppError; then nothing was done.
        """
        made: dict[str, Credentials | None] = {}
        ended: list[tuple[Outgoing | None, list[Connection]]] = []
        # Deletions first, which free their names; incoming links last, which name others.
        order = sorted(plan.changes, key=lambda change: (change.sign != DELETED, _is_incoming(change)))
        with database.atomic():
            for change in order:
                try:
                    if change.entry is None:
                        ended.append(self._delete(change, actor))
                    elif change.sign == MADE:
                        made[change.slug] = self._make(change.entry, actor)
                    else:
                        self._store(change, change.entry, actor)
                except ConflictError:
                    words = "somebody else has changed it since it was looked at. Nothing was changed. Apply the file again."
                    raise ConflictError(f"{change.slug}: {words}") from None
                except InvalidFieldError as error:
                    raise AppError(f"{change.slug}: {error.field}: {error} Nothing was changed.") from None
        outgoing = [self._links.outgoing(slug) for slug, credentials in made.items() if credentials is None]
        stored = [change.entry for change in plan.changes if change.entry]
        alone = [entry.slug for entry in stored if _has_no_account(entry) and not _has_token(self._links, entry.slug)]
        said = [self._connections.end_grants(link, rows).words for link, rows in ended if link]
        return Applied(
            [link for link in outgoing if not link.profile.without_account],
            alone,
            {slug: credentials for slug, credentials in made.items() if credentials},
            [words for words in said if words],
        )

    def _delete(self, change: Change, actor: Actor) -> tuple[Outgoing | None, list[Connection]]:
        link = self._at(change)
        found = self._links.outgoing_or_none(change.slug), connections_of(link.id)
        self._links.delete(link, actor)
        return found

    def _make(self, entry: Entry, actor: Actor) -> Credentials | None:
        """Returns the credentials of an incoming link."""
        link_id = entry.link_id or new_id()
        if self._links.slugs_there([entry.slug]) or self._links.find_by_id(link_id):
            raise ConflictError("It is there already.")
        if isinstance(entry.wanted, ClientRegistration):
            self._links.create(link_id, entry.wanted, actor, slug=entry.slug)
            return None
        incoming, credentials = self._incoming.create(
            link_id, entry.wanted, actor, slug=entry.slug, client_id=entry.client_id, client_secret=entry.secret
        )
        if entry.disabled:
            self._incoming.switch(incoming, actor, on=False)
        return replace(credentials, client_secret="") if credentials and entry.secret else credentials

    def _store(self, change: Change, entry: Entry, actor: Actor) -> None:
        self._at(change)
        if isinstance(entry.wanted, ClientRegistration):
            outgoing = self._links.outgoing(entry.slug)
            needed = self._links.needs_secret(outgoing, entry.wanted) or not outgoing.profile.has_client_secret
            same_secret = SECRET not in change.fields and not needed
            wanted = replace(entry.wanted, client_secret=None) if same_secret else entry.wanted
            self._links.update(outgoing, wanted, version=change.version, actor=actor)
            return
        incoming = self._incoming.find(entry.slug)
        if set(change.fields) - {"disabled", SECRET}:
            self._incoming.update(incoming, entry.wanted, version=change.version, actor=actor)
        if SECRET in change.fields:
            since = incoming.stored.client_secret_set_at
            self._incoming.rotate_secret(incoming, 0, since, actor, secret=entry.secret)
        if "disabled" in change.fields:
            self._incoming.switch(incoming, actor, on=not entry.disabled)

    def _at(self, change: Change) -> ApplicationLink:
        link = ApplicationLink.get_or_none(ApplicationLink.slug == change.slug)
        if link is None or link.version != change.version:
            raise ConflictError("It isn't what it was.")
        return link


def with_secret(plan: Plan, secrets: dict[str, ClientRegistration]) -> Plan:
    """A plan with what was typed for those that lacked a secret, by slug."""
    changes = [
        replace(change, entry=replace(change.entry, wanted=secrets[change.slug]), lacks_secret=False)
        if change.entry and change.slug in secrets
        else change
        for change in plan.changes
    ]
    return replace(plan, changes=changes)


def _new(entry: Entry) -> Change:
    lacks = isinstance(entry.wanted, ClientRegistration) and entry.wanted.profile.has_client_secret
    unnamed = not entry.secret and (lacks or bool(entry.secret_from))
    return Change(
        MADE, entry.slug, {name: ("", value) for name, value in entry.values.items()}, 0, entry, lacks_secret=unnamed
    )


def _deletion(link: ApplicationLink) -> Change:
    rows = [row for row in connections_of(link.id) if row.state != State.DISCONNECTED]
    loss = f"This deletes {_accounts(rows)} with their tokens." if rows else ""
    if link.direction == INCOMING:
        loss = "Every consent and every token that it has is deleted with it."
    return Change(DELETED, str(link.slug), {}, link.version, loss=loss)


def _accounts(rows: list[Connection]) -> str:
    names = ", ".join(str(row.account or row.label) for row in rows[:5])
    return f"{len(rows)} connected account{'s' if len(rows) > 1 else ''} ({names}{', …' if len(rows) > 5 else ''})"


def _is_incoming(change: Change) -> bool:
    return bool(change.entry and change.entry.direction == INCOMING)


def _has_no_account(entry: Entry) -> bool:
    return isinstance(entry.wanted, ClientRegistration) and entry.wanted.profile.without_account


def _has_token(links: Links, slug: str) -> bool:
    return any(connection.access_token_enc for connection in links.outgoing(slug).connections)


def as_text(value: Any) -> str:
    """A field's value in one line."""
    return " ".join(value) if isinstance(value, list) else json.dumps(value) if "\n" in str(value) else str(value)
