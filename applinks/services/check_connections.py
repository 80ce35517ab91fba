"""A check's last part: what the connections have, whether it works, and until when."""

from collections.abc import Callable

from applinks.crypto import UnreadableError
from applinks.models import ApplicationLink, Connection, State
from applinks.providers.refusals import explain
from applinks.services.deadlines import DAY, WARN_DAYS, Deadline, days, deadlines_of
from applinks.services.events import Actor
from applinks.services.findings import Action, Finding, Result
from applinks.services.link_client import UNNAMED, LinkClient
from applinks.services.links import Outgoing, lacks_for_refresh
from applinks.services.renewal import Outcome, Renewal

MOST_CONNECTIONS = 5

_MENDS: dict[str, str] = {
    State.RECONNECT_NEEDED: "Choose Reconnect.",
    State.CHECK_SETTINGS: "Check the link's settings with Edit.",
    State.UNREADABLE: "Give Applinks the keys that it was stored with, or choose Reconnect.",
}


class ConnectionsCheck:
    def __init__(self, link_client: LinkClient, renewal: Renewal, clock: Callable[[], float]) -> None:
        self._link_client = link_client
        self._renewal = renewal
        self._clock = clock

    def findings(self, outgoing: Outgoing, actor: Actor, *, reached: bool) -> list[Finding]:
        return [*self._connections(outgoing, actor, reached=reached), *self._ends(outgoing)]

    def _connections(self, outgoing: Outgoing, actor: Actor, *, reached: bool) -> list[Finding]:
        if not outgoing.connections:
            return [Finding("connection", Result.SKIPPED, "No account is connected yet.", "Choose Connect.", "connect")]
        findings = [
            finding
            for connection in outgoing.connections[:MOST_CONNECTIONS]
            for finding in self._connection(outgoing, connection, actor, reached=reached)
        ]
        if left := outgoing.connections[MOST_CONNECTIONS:]:
            labels = ", ".join(str(connection.label) for connection in left)
            findings.append(
                Finding("connection", Result.SKIPPED, f"These weren't looked at, since there are many: {labels}.")
            )
        return findings

    def _connection(self, outgoing: Outgoing, connection: Connection, actor: Actor, *, reached: bool) -> list[Finding]:
        label = str(connection.label)

        def found(key: str, result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding(key, result, cause, mend, action, label=label)

        if connection.state == State.DISCONNECTED:
            return [found("connection", Result.SKIPPED, "It isn't connected.", "Choose Connect.", "connections")]
        if connection.state in _MENDS:
            action: Action = "edit" if connection.state == State.CHECK_SETTINGS else "connections"
            return [found("connection", Result.FAILED, *_why(outgoing, connection, _MENDS[connection.state]), action)]
        if connection.state == State.RETRYING:
            cause, mend = _why(outgoing, connection, "Applinks keeps trying.")
            findings = [found("connection", Result.WARNED, f"The last refresh failed. {cause}", mend)]
        else:
            findings = [found("connection", Result.PASSED, f"{connection.account or label} is connected.")]
        if not outgoing.profile.without_account:
            findings += [self._refresh_token(outgoing, connection), _granted(connection)]
        findings.append(self._refresh(outgoing, connection, actor, reached=reached))
        fresh = Connection.get_or_none(Connection.id == connection.id)
        if fresh and fresh.access_token_enc and not outgoing.profile.without_account and _is_as_read(outgoing):
            findings.append(self._account(outgoing, fresh))
        return findings

    def _refresh_token(self, outgoing: Outgoing, connection: Connection) -> Finding:
        key, label = "refresh_token", str(connection.label)
        if connection.refresh_token_enc:
            return Finding(key, Result.PASSED, "The provider gave a refresh token.", label=label)
        if connection.expires_at is None:
            return Finding(key, Result.PASSED, "The token has no end, so none is needed.", label=label)
        missing, mend = lacks_for_refresh(outgoing)
        cause = f"The provider gave no refresh token{f', since {missing}' if missing else ''}."
        mend = mend or "Look in the provider's documentation for the scope or parameter that asks for one."
        return Finding(key, Result.FAILED, cause, f"{mend} Then choose Reconnect.", "edit", label=label)

    def _refresh(self, outgoing: Outgoing, connection: Connection, actor: Actor, *, reached: bool) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("refresh", result, cause, mend, action, label=str(connection.label))

        if not outgoing.renewable(connection):
            return found(Result.SKIPPED, "There is nothing to refresh with.")
        if not reached:
            return found(Result.SKIPPED, "The token endpoint can't be asked.")
        if outgoing.provider.rotates is not False and not outgoing.profile.without_account:
            why = (
                "replaces its refresh token at each use" if outgoing.provider.rotates else "may replace it at each use"
            )
            return found(Result.SKIPPED, f"The provider {why}, so it isn't used for a check. Refresh now does it.")
        outcome = self._renewal.renew(connection, actor)
        now = Connection.get_or_none(Connection.id == connection.id)
        if outcome is Outcome.REFRESHED:
            return found(Result.PASSED, "A new token was given and stored.")
        if outcome not in (Outcome.RETRYING, Outcome.REFUSED) or now is None:
            return found(Result.UNKNOWN, f"It came to nothing: {outcome}.")
        return found(Result.FAILED, *_why(outgoing, now, "See the connection's history."), "connections")

    def _account(self, outgoing: Outgoing, connection: Connection) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("account", result, cause, mend, action, label=str(connection.label))

        if not outgoing.profile.userinfo_endpoint:
            return found(Result.SKIPPED, "The link has no userinfo endpoint, so the provider can't say.")
        try:
            account = self._link_client.account_now(outgoing, connection)
        except UnreadableError:
            return found(Result.FAILED, "The stored token can't be opened with the keys that Applinks has.")
        if not account:
            mend = "See that Userinfo endpoint is right, and that Scopes has what it needs, such as openid email."
            return found(Result.WARNED, "The userinfo endpoint doesn't say which account it is.", mend, "edit")
        if connection.account and account != connection.account:
            cause = f"It was {connection.account} and is {account} now."
            return found(
                Result.WARNED, cause, "If that is wrong, choose Reconnect and sign in as the other.", "connections"
            )
        return found(Result.PASSED, f"It is {account}.")

    def _ends(self, outgoing: Outgoing) -> list[Finding]:
        """How long until what can't be refreshed ends."""
        now, provider = self._clock(), outgoing.provider
        ends = deadlines_of(outgoing.stored.client_secret_ends_at, None, provider, outgoing.connections, now)
        findings = [_deadline(end, now) for end in ends]
        has_secret = outgoing.profile.has_client_secret
        if provider.secret_life and has_secret and outgoing.stored.client_secret_ends_at is None:
            cause = (
                f"{provider.name}'s client secrets end after at most {provider.secret_life // DAY} days; of this one "
            )
            mend = "Note when the client secret ends with Edit."
            findings.append(Finding("secret", Result.UNKNOWN, f"{cause}it isn't noted when.", mend, "edit"))
        return findings


def _is_as_read(outgoing: Outgoing) -> bool:
    """Whether the link's settings are still those: a token that was read before is for them, and for nobody else."""
    same = (ApplicationLink.id == outgoing.link.id) & (ApplicationLink.version == outgoing.link.version)
    return bool(ApplicationLink.select().where(same).exists())


def _why(outgoing: Outgoing, connection: Connection, mend: str) -> tuple[str, str]:
    """Cause and mend of the state that a connection is in, as the provider's refusal says; else its words and `mend`."""
    code, _, words = connection.words.partition(": ")
    known = explain("refresh", code, words, outgoing.profile.provider)
    return (known.cause, known.mend) if known else (str(connection.words) or "Nobody said why.", mend)


def _granted(connection: Connection) -> Finding:
    label = str(connection.label)
    asked, granted = connection.scopes_asked.split(), set(connection.scopes_granted.split())
    if not granted:
        return Finding("granted", Result.UNKNOWN, "The provider didn't say which.", label=label)
    missing = [scope for scope in asked if scope not in granted and scope not in UNNAMED]
    if not missing:
        return Finding("granted", Result.PASSED, "All of them.", label=label)
    cause = f"Not granted, or written otherwise: {', '.join(missing)}."
    mend = "Choose Reconnect and allow everything, or take out with Edit what isn't needed."
    return Finding("granted", Result.WARNED, cause, mend, "connections", label=label)


def _deadline(end: Deadline, now: float) -> Finding:
    left = days(end.at, now)
    cause = end.words(now)
    if left < 0:
        return Finding(end.key, Result.FAILED, cause, end.mend, end.action, label=end.label)
    result = Result.WARNED if left <= WARN_DAYS else Result.PASSED
    return Finding(end.key, result, cause, end.mend if result is Result.WARNED else "", end.action, label=end.label)
