"""How states and times are said in pages."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from flask import Flask
from jinja2.ext import Extension
from markupsafe import Markup, escape
from peewee import DatabaseError, InterfaceError

from applinks.models import Connection, State
from applinks.oauth.incoming import host_of
from applinks.oauth.scopes import permits
from applinks.providers.refusals import explain
from applinks.services.deadlines import Deadline, ending
from applinks.settings import is_loopback
from applinks.web.current import services

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_SLOWEST_POLL, _QUICKEST_POLL = 60, 4


class Unindented(Extension):
    """Templates are indented for people; pages, which can't be compressed where they hold a form, need not be."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return re.sub("^[ \t]+", "", source, flags=re.MULTILINE)


@dataclass(frozen=True)
class StateWords:
    """A state as a person sees it; `why` is the sentence that explains it where nobody else has said more."""

    label: str
    icon: str
    tone: str
    why: str


STATES = {
    State.CONNECTED: StateWords("Connected", "check", "good", "The token is valid and is refreshed before it expires."),
    State.DISCONNECTED: StateWords("Not connected", "circle", "quiet", "No account has given access yet."),
    State.RETRYING: StateWords("Retrying", "refresh", "warn", "The last refresh failed. Applinks keeps trying."),
    State.EXPIRING: StateWords(
        "Expires", "clock", "warn", "The provider gave no refresh token: connect again before the token expires."
    ),
    State.RECONNECT_NEEDED: StateWords(
        "Reconnect needed", "alert", "bad", "The provider no longer accepts this grant. Choose Reconnect."
    ),
    State.CHECK_SETTINGS: StateWords(
        "Check settings", "alert", "bad", "The provider refuses the link's settings. Choose Edit and check them."
    ),
    State.UNREADABLE: StateWords(
        "Unreadable", "lock", "bad", "The stored tokens can't be opened with the keys that Applinks has."
    ),
}


def install(app: Flask, asset_path: Callable[[str], str]) -> None:
    app.jinja_env.filters.update(
        state_words=state_words, why=why, when=when, day=day, guided=guided, ends=ends, next_look=next_look
    )
    app.jinja_env.filters.update(lasts=lasts, permits=permits, host=host_of, is_here=is_here, ending=left)
    symbols = asset_path("mark.svg")

    @cache
    def icon(name: str) -> Markup:
        """A symbol of the mark's file: one file for all of them, which is there already."""
        use = Markup('<use href="{}#{}"></use>').format(symbols, name)
        return Markup('<svg class="icon" aria-hidden="true">{}</svg>').format(use)

    @cache
    def lozenge(state: str) -> Markup:
        words = state_words(state)
        return Markup('<span class="lozenge {}">{}{}</span>').format(words.tone, icon(words.icon), words.label)

    app.jinja_env.globals.update(icon=icon, lozenge=lozenge, states=STATES, need_a_person=need_a_person)


def state_words(state: str) -> StateWords:
    return STATES[State(state)]


def why(connection: Connection, provider: str) -> str:
    """Cause and mend of the state that a connection is in: as the provider's refusal says, else as the state itself does."""
    code, _, words = connection.words.partition(": ")
    refused = connection.state in (State.RECONNECT_NEEDED, State.CHECK_SETTINGS, State.RETRYING)
    known = explain("refresh", code, words, provider) if refused and (connection.failures or 0) else None
    return f"{known.cause} {known.mend}" if known else state_words(connection.state).why


def guided(step: str, redirect_uri: str, scopes: str) -> Markup:
    """A step of a registration guide, with a link's own Redirect URL and scopes in it."""
    chips = Markup(" ").join(Markup('<code class="chip">{}</code>').format(scope) for scope in scopes.split())
    url = Markup("<code>{}</code>").format(redirect_uri)
    return escape(step).replace("{redirect_url}", url).replace("{scopes}", chips or Markup("what the link is to do"))


def when(at: int) -> Markup:
    """A moment as people say it, with the exact time on hover and focus."""
    moment = datetime.fromtimestamp(at, UTC)
    stamp, exact = moment.isoformat(), moment.strftime("%-d %b %Y, %H:%M:%S UTC")
    said = _said(at - services().clock())
    return Markup(f'<time datetime="{stamp}" data-exact="{exact}" tabindex="0">{said}</time>')  # noqa: S704 (nothing of it is typed)


def ends(deadline: Deadline) -> str:
    """What of a link ends, and when."""
    return deadline.words(services().clock())


def left(deadline: Deadline) -> str:
    """How far away a deadline is."""
    return ending(deadline.at, services().clock())


def need_a_person() -> int:
    """How many links need a person, 0 where the database doesn't say: a page can be shown all the same."""
    with suppress(DatabaseError, InterfaceError):
        return services().links.need_a_person()
    return 0


def day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%-d %b %Y")


def lasts(seconds: int) -> str:
    """A span of time as people say it, in the largest unit that it is a whole number of."""
    name, unit = next((name, unit) for name, unit in _UNITS if seconds % unit == 0)
    return f"{seconds // unit} {name}{'' if seconds == unit else 's'}"


def is_here(host: str) -> bool:
    """Whether a host with its port is the machine that the browser runs on."""
    return is_loopback(re.sub(r":[0-9]*$", "", host).strip("[]"))


def next_look(connection: Connection) -> int:
    """Seconds until a page should look at a connection again, 0 where nothing will change by itself.

    The nearer the next refresh, the sooner.
    """
    if connection.next_attempt_at is None:
        return 0
    left = int(connection.next_attempt_at - services().clock())
    return min(max(left // 6, _QUICKEST_POLL), _SLOWEST_POLL)


def _said(seconds: float) -> str:
    size = abs(seconds)
    if size < 2:
        return "now"
    name, unit = next(((name, unit) for name, unit in _UNITS if size >= 2 * unit), ("second", 1))
    amount = f"{round(size / unit)} {name}s"
    return f"in {amount}" if seconds > 0 else f"{amount} ago"
