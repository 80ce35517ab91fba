"""The only place that decrypts, and the one that writes tokens: all columns of a grant in one statement."""

from dataclasses import replace

from applinks.crypto import KeyRing, Place
from applinks.models import AuthorizationFlow, Connection, OutgoingLink, State
from applinks.oauth.answers import ASSUMED_LIFE, Granted


class Vault:
    """Seals secrets for their row and opens them. Opening raises crypto.UnreadableError."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def seal_client_secret(self, link_id: str, secret: str) -> str:
        return self._keys.seal(secret, Place("outgoing_link", link_id, "client_secret"))

    def client_secret(self, outgoing: OutgoingLink) -> str:
        return self._keys.open(outgoing.client_secret_enc, Place("outgoing_link", outgoing.link_id, "client_secret"))

    def seal_code_verifier(self, state_digest: str, verifier: str) -> str:
        return self._keys.seal(verifier, Place("authorization_flow", state_digest, "code_verifier"))

    def code_verifier(self, flow: AuthorizationFlow) -> str:
        return self._keys.open(flow.code_verifier_enc, Place("authorization_flow", flow.state_digest, "code_verifier"))

    def refresh_token(self, connection: Connection) -> str:
        return self._keys.open(connection.refresh_token_enc, Place("connection", connection.id, "refresh_token"))

    def access_token(self, connection: Connection) -> str:
        return self._keys.open(connection.access_token_enc, Place("connection", connection.id, "access_token"))

    def store(self, connection: Connection, granted: Granted, *, sent_at: int, without_account: bool = False) -> bool:
        """Write what a provider granted over the generation that `connection` was read at.

        `sent_at` is when the request left, so that its latency never makes a token look younger. A grant
        `without_account` is renewed by asking again: its refresh token, if any, isn't kept (RFC 6749 §4.4.3). Returns
        False, with nothing written, where somebody else has written a newer generation meanwhile.
        """
        granted = replace(granted, refresh_token=None) if without_account else granted
        refreshable = bool(without_account or granted.refresh_token or connection.refresh_token_enc)
        life = ASSUMED_LIFE if granted.life is None and refreshable else granted.life
        columns: dict[object, object] = {
            Connection.access_token_enc: self._seal(connection, "access_token", granted.access_token),
            Connection.expires_at: None if life is None else sent_at + life,
            Connection.next_attempt_at: _next_attempt(sent_at, life, refreshable),
            Connection.refreshed_at: sent_at,
            Connection.state: State.CONNECTED if refreshable or life is None else State.EXPIRING,
            Connection.words: ""
            if granted.life or not refreshable
            else "The provider doesn't say how long its tokens live.",
            Connection.failures: 0,
            Connection.lease_owner: "",
            Connection.lease_until: 0,
            Connection.generation: connection.generation + 1,
        }
        if granted.refresh_token:
            columns[Connection.refresh_token_enc] = self._seal(connection, "refresh_token", granted.refresh_token)
        if granted.scope is not None:
            columns[Connection.scopes_granted] = granted.scope
        same_row = (Connection.id == connection.id) & (Connection.generation == connection.generation)
        return bool(Connection.update(columns).where(same_row).execute() == 1)

    def _seal(self, connection: Connection, field: str, token: str) -> str:
        return self._keys.seal(token, Place("connection", connection.id, field))


def _next_attempt(sent_at: int, life: int | None, refreshable: bool) -> int | None:
    """When the refresher acts next: before expiry by a margin, or at expiry where nothing can be refreshed."""
    if life is None:
        return None
    if not refreshable:
        return sent_at + life
    margin = min(max(600, life // 5), life // 3)
    return sent_at + life - margin
