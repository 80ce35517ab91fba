"""A link's history: a line for everything that happened to it, written in the transaction that did it."""

from applinks.models import Event


def record(link_id: str, what: str, *, at: int, label: str = "", words: str = "", actor: str = "") -> None:
    """Add a line, or count the newest one up where it says the same: a quiet month of refreshing is one line.

    `actor` is empty for Applinks itself; never a secret in `words`.
    """
    newest = Event.select().where(Event.link == link_id, Event.label == label).order_by(Event.id.desc()).first()
    if newest and (newest.what, newest.words, newest.actor) == (what, words, actor):
        Event.update(count=Event.count + 1, at=at).where(Event.id == newest.id).execute()
        return
    Event.create(link=link_id, label=label, what=what, words=words, actor=actor, at=at)


def recent(link_id: str, limit: int = 20, label: str | None = None) -> list[Event]:
    """The newest lines of a link, or of one of its connections, newest first."""
    about = Event.link == link_id
    if label is not None:
        about &= Event.label == label
    return list(Event.select().where(about).order_by(Event.at.desc(), Event.id.desc()).limit(limit))
