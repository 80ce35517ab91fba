"""The only place that decrypts, and the one that writes tokens: all columns of a grant in one statement."""

import json
from dataclasses import replace
from typing import Any

from peewee import TextField

from applinks.crypto import KeyRing, Place, UnreadableError
from applinks.models import AuthorizationFlow, Connection, OutgoingLink, State
from applinks.oauth.answers import ASSUMED_LIFE, Granted
from applinks.services.schedule import next_refresh


class Vault:
    """Seals secrets for their row and opens them. Opening raises crypto.UnreadableError."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def seal_client_secret(self, link_id: str, secret: str) -> str:
        return self._keys.seal(secret, Place("outgoing_link", link_id, "client_secret"))

    def client_secret(self, outgoing: OutgoingLink) -> str:
        return self._keys.open(outgoing.client_secret_enc, Place("outgoing_link", outgoing.link_id, "client_secret"))

    def seal_next_client_secret(self, link_id: str, secret: str) -> str:
        return self._keys.seal(secret, Place("outgoing_link", link_id, "next_client_secret"))

    def next_client_secret(self, outgoing: OutgoingLink) -> str:
        place = Place("outgoing_link", outgoing.link_id, "next_client_secret")
        return self._keys.open(outgoing.next_client_secret_enc, place)

    def seal_code_verifier(self, state_digest: str, verifier: str) -> str:
        return self._keys.seal(verifier, Place("authorization_flow", state_digest, "code_verifier"))

    def code_verifier(self, flow: AuthorizationFlow) -> str:
        return self._keys.open(flow.code_verifier_enc, Place("authorization_flow", flow.state_digest, "code_verifier"))

    def seal_held_grant(self, state_digest: str, grant: str) -> str:
        return self._keys.seal(grant, Place("authorization_flow", state_digest, "held_grant"))

    def held_grant(self, state_digest: str, sealed: str) -> str:
        return self._keys.open(sealed, Place("authorization_flow", state_digest, "held_grant"))

    def seal_successor(self, access_digest: str, pair: dict[str, Any]) -> str:
        """What came of a refresh token of ours, kept beside it for the moment in which it may be asked for again."""
        return self._keys.seal(json.dumps(pair), Place("issued_token", access_digest, "successor"))

    def successor(self, access_digest: str, sealed: str) -> dict[str, Any]:
        pair: dict[str, Any] = json.loads(self._keys.open(sealed, Place("issued_token", access_digest, "successor")))
        return pair

    def refresh_token(self, connection: Connection) -> str:
        return self._keys.open(connection.refresh_token_enc, Place("connection", connection.id, "refresh_token"))

    def access_token(self, connection: Connection) -> str:
        return self.opened_access_token(connection.id, connection.access_token_enc)

    def opened_access_token(self, connection_id: str, sealed: str) -> str:
        return self._keys.open(sealed, Place("connection", connection_id, "access_token"))

    def store(
        self,
        connection: Connection,
        granted: Granted,
        *,
        sent_at: int,
        without_account: bool = False,
        late: bool = False,
    ) -> bool:
        """Write what a provider granted over the generation that `connection` was read at.

        `sent_at` is when the request left, so that its latency never makes a token look younger. A grant
        `without_account` is renewed by asking again: its refresh token, if any, isn't kept (RFC 6749 §4.4.3). A `late` one,
        whose predecessor somebody else has tried since, is tried at once. Returns False, with nothing written, where
        somebody else has written a newer generation meanwhile.
        """
        granted = replace(granted, refresh_token=None) if without_account else granted
        columns = self._columns(connection, granted, sent_at, without_account)
        if late:
            columns[Connection.next_attempt_at] = sent_at
        elif granted.refresh_token and connection.refresh_token_enc and self._is_another(connection, granted):
            columns[Connection.previous_refresh_token_enc] = _sent(connection)
        same_row = (Connection.id == connection.id) & (Connection.generation == connection.generation)
        return bool(Connection.update(columns).where(same_row).execute() == 1)

    def _columns(
        self, connection: Connection, granted: Granted, sent_at: int, without_account: bool
    ) -> dict[object, object]:
        refreshable = bool(without_account or granted.refresh_token or connection.refresh_token_enc)
        life = ASSUMED_LIFE if granted.life is None and refreshable else granted.life
        next_attempt_at = next_refresh(
            sent_at, life, refreshable=refreshable, same_token=self._is_the_same(connection, granted)
        )
        untold = refreshable and not granted.life
        columns: dict[object, object] = {
            Connection.access_token_enc: self._seal(connection, "access_token", granted.access_token),
            Connection.refresh_token_enc: _sent(connection),
            Connection.previous_refresh_token_enc: "",
            Connection.expires_at: None if life is None else sent_at + life,
            Connection.next_attempt_at: next_attempt_at,
            Connection.refreshed_at: sent_at,
            Connection.state: State.CONNECTED if refreshable or life is None else State.EXPIRING,
            Connection.words: "The provider doesn't say how long its tokens live." if untold else "",
            Connection.failures: 0,
            Connection.failed_since: None,
            Connection.intent_generation: None,
            Connection.lease_owner: "",
            Connection.lease_until: 0,
            Connection.generation: connection.generation + 1,
        }
        if granted.refresh_token:
            columns[Connection.refresh_token_enc] = self._seal(connection, "refresh_token", granted.refresh_token)
        if granted.scope is not None:
            columns[Connection.scopes_granted] = granted.scope
        return columns

    def _is_another(self, connection: Connection, granted: Granted) -> bool:
        """Whether a provider has replaced the refresh token that was sent; one that can't be opened is no use to keep."""
        try:
            return self.refresh_token(connection) != granted.refresh_token
        except UnreadableError:
            return False

    def _is_the_same(self, connection: Connection, granted: Granted) -> bool:
        """Whether a provider has handed out the access token again that is stored already."""
        try:
            return bool(connection.access_token_enc) and self.access_token(connection) == granted.access_token
        except UnreadableError:
            return False

    def _seal(self, connection: Connection, field: str, token: str) -> str:
        return self._keys.seal(token, Place("connection", connection.id, field))


def _sent(connection: Connection) -> TextField:
    """The column of the refresh token that was sent: the row has it under the newest key, whatever key it was read under."""
    predecessor = connection.refresh_token_enc == connection.previous_refresh_token_enc
    return Connection.previous_refresh_token_enc if predecessor else Connection.refresh_token_enc
