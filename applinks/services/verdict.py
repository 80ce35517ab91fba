"""What an answer to a refresh means for the connection: only what is final is final (RFC 6749 §5.2)."""

from dataclasses import dataclass

from applinks.crypto import UnreadableError
from applinks.models import Connection, State
from applinks.oauth.answers import Away, Nonsense, Refused
from applinks.oauth.client import AddressRefused
from applinks.providers.refusals import explain
from applinks.services.schedule import EARLY_SECONDS, SETTINGS_SECONDS, next_try

NONSENSE_SECONDS = 86_400
REDIRECTS = 3

_RECONNECT = frozenset(("invalid_grant", "interaction_required", "login_required", "consent_required"))
_SETTINGS = frozenset(
    ("invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type", "invalid_request")
)
_INTERRUPTED = "An earlier refresh got no clear answer: the provider's newer token may have been lost on its way here."

Failure = Refused | Away | Nonsense | AddressRefused | UnreadableError


@dataclass(frozen=True)
class Verdict:
    """The state that a failure leads to, in what words, and how long to wait, None for never again by itself.

    `unknown`: the provider may have replaced the refresh token without our having learnt the new one.
    """

    state: State
    words: str
    wait: int | None
    unknown: bool = False


def judge(failure: Failure, connection: Connection, now: int) -> Verdict:
    """Judge a failure of a connection as it was before the request."""
    unknown = is_interrupted(connection)
    match failure:
        case UnreadableError():
            words = "What is stored for this connection can't be opened with the keys that Applinks has."
            # Nobody is asked: it is looked at again, since its keys may have been put back.
            return Verdict(State.UNREADABLE, words, SETTINGS_SECONDS, unknown)
        case AddressRefused():
            return Verdict(State.CHECK_SETTINGS, failure.words, SETTINGS_SECONDS, unknown)
        case Refused() if is_final(failure):
            words = f"{_said(failure)} {_INTERRUPTED}" if unknown else _said(failure)
            return Verdict(State.RECONNECT_NEEDED, words, None)
        case Refused() if failure.code in _SETTINGS or _means(failure) == "settings":
            return Verdict(State.CHECK_SETTINGS, _said(failure), SETTINGS_SECONDS, unknown)
        case Refused():
            return Verdict(State.RETRYING, _said(failure), next_try(connection.failures), unknown)
        case Nonsense() if _for_too_long(failure, connection, now):
            return Verdict(State.CHECK_SETTINGS, failure.words, SETTINGS_SECONDS, unknown)
        case Nonsense() | Away():
            ambiguous = failure.ambiguous if isinstance(failure, Away) else not failure.redirect
            wait = EARLY_SECONDS if ambiguous and not unknown else next_try(connection.failures)
            asked_for = (failure.retry_after or 0) if isinstance(failure, Away) else 0
            return Verdict(State.RETRYING, failure.words, max(wait, asked_for), unknown or ambiguous)


def is_interrupted(connection: Connection) -> bool:
    """Whether its refresh token was sent before, and nobody knows with what outcome."""
    return bool(connection.intent_generation == connection.generation)


def is_final(failure: Failure) -> bool:
    """Whether the provider has refused the refresh token itself."""
    return isinstance(failure, Refused) and (failure.code in _RECONNECT or _means(failure) == "reconnect")


def _means(failure: Refused) -> str:
    """What a code of one provider's own means."""
    known = explain("refresh", failure.code, failure.words)
    return known.means if known else ""


def _for_too_long(failure: Nonsense, connection: Connection, now: int) -> bool:
    """Answers that no OAuth 2.0 server gives may come from something in between, for a while."""
    if connection.words != failure.words:
        return False  # the last failure was another
    if failure.redirect:
        return bool(connection.failures >= REDIRECTS - 1)
    return connection.failed_since is not None and connection.failed_since <= now - NONSENSE_SECONDS


def _said(failure: Refused) -> str:
    return f"{failure.code}: {failure.words}" if failure.words else str(failure.code)
