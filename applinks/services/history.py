"""A link's history: a line for everything that happened to it, written in the transaction that did it."""

from applinks.models import Event


def record(link_id: str, what: str, *, at: int, label: str = "", words: str = "", actor: str = "") -> None:
    """Add a line. `what` is one of the words below; `actor` is empty for Applinks itself; never a secret in `words`."""
    Event.create(link=link_id, label=label, what=what, words=words, actor=actor, at=at)


def recent(link_id: str, limit: int = 20) -> list[Event]:
    """The newest lines of a link, newest first."""
    return list(Event.select().where(Event.link == link_id).order_by(Event.id.desc()).limit(limit))
