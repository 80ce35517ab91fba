"""The audit log: a line for everything that happened, written in the transaction that did it, each sealed to the one before.

What Applinks does again and again by itself is one line with a tally: a quiet month of refreshing, or an hour of a script's
reading tokens. The chain shows a changed, missing or moved line to whoever has the keys; a copy of its end, kept elsewhere,
shows that the whole of it wasn't put back to an earlier one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, Expression, ModelSelect, chunked, fn

from applinks.crypto import same
from applinks.models import ActorKind, ApplicationLink, Event, Instance, Tally, counts_of, database, write_tallies
from applinks.services.sealing import seal

PAGE = 50
READ = "token read"
# What the audit log's filter offers.
WHAT = (
    *("signed in", "sign-in failed", "signed out", "created", "changed", "deleted", "connect begun", "connected"),
    *("reconnected", "not connected", "refreshed", "refresh failed", "retry failed", "token expired", "disconnected"),
    *("removed", READ, "API key made", "API key revoked", "API key refused", "settings changed", "password changed"),
    *("administrator made", "administrator disabled", "consented", "consent revoked", "everything revoked"),
    *(
        "grant revoked",
        "secret rotated",
        "next secret stored",
        "next secret dropped",
        "disabled",
        "enabled",
        "code used twice",
        "refresh token used twice",
    ),
)
_BESIDE = (READ,)  # of the audit log, but not of a link's history
_BATCH = 500
_SEALED = (
    *(Event.id, Event.at, Event.actor, Event.actor_kind, Event.actor_id, Event.address, Event.what),
    *(Event.link_id, Event.slug, Event.label, Event.words, Event.counted),
)


@dataclass(frozen=True)
class Actor:
    """Who does something: by name, through which door, under which ID, and from which address."""

    name: str = ""
    kind: ActorKind = ActorKind.APPLINKS
    id: str = ""
    address: str = ""


APPLINKS = Actor()


@dataclass(frozen=True)
class Line:
    """A line to be added. `times` is how often it has happened by now, where it is `counted`."""

    actor: Actor
    what: str
    link_id: str
    slug: str
    label: str
    words: str
    at: int
    counted: bool
    times: int = 1


@dataclass(frozen=True)
class Filter:
    """What to look for; empty and None mean everything. Times are in seconds since 1970, `until` not included."""

    slug: str = ""
    actor: str = ""
    what: str = ""
    link_id: str = ""
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class Verdict:
    """What verifying the chain found: how many lines there are, where it ends, and what is wrong with it."""

    lines: int
    end: str
    problems: tuple[str, ...]


class Events:
    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def record(self, actor: Actor, what: str, link_id: str = "", *, label: str = "", words: str = "") -> None:
        """Add a line, in the caller's transaction if there is one; never a secret in `words`.

        What Applinks does to a link by itself, again and with the same result, is counted at its line instead.
        """
        with database.atomic():
            counted, now = actor.kind is ActorKind.APPLINKS and bool(link_id), int(self._clock())
            if counted and (again := self._newest_if_same(actor, what, link_id, label, words)):
                self.count_up({again: (1, now)})
                return
            slug = ApplicationLink.select(ApplicationLink.slug).where(ApplicationLink.id == link_id).scalar() or ""
            self.add([Line(actor, what, link_id, slug, label, words, now, counted)])

    def add(self, lines: Sequence[Line]) -> list[int]:
        """Add lines whatever stands before them; returns their IDs. In the caller's transaction."""
        number, mac = self._last()
        rows, tallies = [], {}
        for line in lines:
            number += 1
            who = line.actor.name, str(line.actor.kind), line.actor.id, line.actor.address
            about = line.what, line.link_id, line.slug, line.label, line.words
            row = (number, line.at, *who, *about, line.counted)
            mac = self._seal("event", mac, *row)
            rows.append((*row, mac))
            if line.counted:
                tallies[number] = (line.times, line.at)
        for batch in chunked(rows, _BATCH):
            Event.insert_many(batch, fields=[*_SEALED, Event.mac]).execute()
        Instance.update(events_end=self._seal("end", number, mac)).execute()
        self.count_up(tallies)
        return [row[0] for row in rows]

    def count_up(self, happened: Mapping[int, tuple[int, int]]) -> None:
        """Count lines up: how many times more they have happened, and when last. In the caller's transaction."""
        before = counts_of(list(happened))
        rows = []
        for event_id, (times, at) in happened.items():
            count = before.get(event_id, 0) + times
            rows.append((event_id, at, count, self._seal("tally", event_id, at, count)))
        write_tallies(rows)

    def _newest_if_same(self, actor: Actor, what: str, link_id: str, label: str, words: str) -> int | None:
        about = (Event.link_id == link_id) & (Event.label == label)
        newest = Event.select().where(about & Event.what.not_in(_BESIDE)).order_by(Event.id.desc()).first()
        said = newest and (newest.what, newest.words, newest.actor_kind)
        return newest.id if said == (what, words, actor.kind) else None

    def recent(self, link_id: str, limit: int = 20, label: str | None = None) -> list[Event]:
        """The newest lines of a link, or of one of its connections, newest first."""
        about = (Event.link_id == link_id) & Event.what.not_in(_BESIDE)
        if label is not None:
            about &= Event.label == label
        last = fn.COALESCE(Tally.last_at, Event.at)
        return list(_with_tally().where(about).order_by(last.desc(), Event.id.desc()).limit(limit))

    def page(self, found: Filter, before: int | None = None, limit: int = PAGE) -> list[Event]:
        """So many lines, newest first, from before a line's ID on."""
        rows = _with_tally().where(_matches(found)).order_by(Event.id.desc()).limit(limit)
        return list(rows.where(Event.id < before) if before is not None else rows)

    def all(self, found: Filter) -> Iterator[Event]:
        """Every line, oldest first, without holding all of them in memory."""
        after = 0
        while batch := list(_with_tally().where(_matches(found) & (Event.id > after)).order_by(Event.id).limit(_BATCH)):
            yield from batch
            after = batch[-1].id

    def head(self) -> str:
        """The chain's end as `<line>:<mac>`, to be kept where this database's owner can't write."""
        number, mac = self._last()
        return f"{number}:{mac}"

    def verify(self, kept: str = "") -> Verdict:
        """Look through the whole chain, and for an end of it that was `kept` elsewhere."""
        newest = Event.select(fn.MAX(Event.id))
        now: Any = Instance.select(Instance.events_end, fn.COALESCE(newest, 0).alias("last")).get()
        end, last = str(now.events_end), int(now.last)
        number, mac, problems, seen = 0, "", [], not kept
        for event in self.all(Filter()):
            if event.id > last:
                break  # written since
            if event.id != number + 1:
                problems.append(_missing(number + 1, event.id - 1))
            elif not same(self._seal_of(event, mac), event.mac):
                problems.append(f"Line {event.id} was changed, or isn't where it was written.")
            if event.counted and not same(self._seal("tally", event.id, event.last_at, event.count), event.tally_mac):
                problems.append(f"How often line {event.id} happened, or when last, was changed.")
            number, mac = event.id, event.mac
            seen = seen or same(kept, f"{number}:{mac}")
        if number and not same(self._seal("end", number, mac), end):
            problems.append(f"Lines are missing after line {number}.")
        if not number and end:
            problems.append("Every line is missing.")
        if not seen:
            problems.append(
                "The end that was kept isn't in it: an earlier state was put back, or lines were rewritten."
            )
        return Verdict(number, f"{number}:{mac}", tuple(problems))

    def _seal_of(self, event: Event, before: str) -> str:
        return self._seal("event", before, *(getattr(event, column.name) for column in _SEALED))

    def _last(self) -> tuple[int, str]:
        last = Event.select(Event.id, Event.mac).order_by(Event.id.desc()).first()
        return (last.id, last.mac) if last else (0, "")

    def _seal(self, *parts: str | int) -> str:
        return seal(self._key, *parts)


def _with_tally() -> "ModelSelect[Event]":
    """Lines, each with how often it happened and when last."""
    last, count = fn.COALESCE(Tally.last_at, Event.at), fn.COALESCE(Tally.count, 1)
    columns = Event, last.alias("last_at"), count.alias("count"), fn.COALESCE(Tally.mac, "").alias("tally_mac")
    return Event.select(*columns).join(Tally, JOIN.LEFT_OUTER).objects()


def _matches(found: Filter) -> Expression:
    matches = Event.id > 0
    named = ((Event.slug, found.slug), (Event.actor, found.actor), (Event.what, found.what))
    for column, wanted in (*named, (Event.link_id, found.link_id)):
        if wanted:
            matches &= column == wanted
    if found.since is not None:
        matches &= Event.at >= found.since
    if found.until is not None:
        matches &= Event.at < found.until
    return matches


def _missing(first: int, last: int) -> str:
    return f"Line {first} is missing." if first == last else f"Lines {first} to {last} are missing."
