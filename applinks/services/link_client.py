"""The OAuth client of a stored link: opens its secret, asks, and remembers which client authentication works."""

from collections.abc import Callable

from applinks.models import AuthorizationFlow, Connection, OutgoingLink
from applinks.oauth.answers import Away, Granted, Nonsense, Refused, Revoked
from applinks.oauth.client import AddressRefused, Answer, ClientCredentials, OAuthClient
from applinks.providers import ProviderProfile
from applinks.services.links import Outgoing
from applinks.services.vault import Vault

# What a server says that doesn't see who the client is: it looks for the client's credentials in another place.
_NOT_AUTHENTICATED = ("invalid_client", "unauthorized_client", "invalid_request")
# Of OpenID Connect's own scopes, Microsoft for one grants some without naming them.
_UNNAMED = ("openid", "profile", "email", "offline_access")
_NOBODY = Nonsense("There is no way to authenticate the client.")


class LinkClient:
    """Every method raises crypto.UnreadableError where a stored secret can't be opened."""

    def __init__(self, vault: Vault, client: OAuthClient) -> None:
        self._vault = vault
        self._client = client

    def exchange(self, outgoing: Outgoing, flow: AuthorizationFlow, code: str) -> Answer:
        """Exchange the code that a flow has brought."""
        credentials, verifier = self._credentials(outgoing), self._vault.code_verifier(flow)
        return self._authenticated(
            outgoing,
            lambda profile: self._client.exchange(
                profile, credentials, code=code, redirect_uri=flow.redirect_uri, code_verifier=verifier
            ),
        )

    def renew(self, outgoing: Outgoing, connection: Connection) -> Answer:
        """A new access token for a connection, as the link's grant type gives one."""
        credentials = self._credentials(outgoing)
        if outgoing.profile.grant_type == "client_credentials":
            scopes = outgoing.stored.scopes
            return self._authenticated(
                outgoing, lambda profile: self._client.client_credentials(profile, credentials, scopes=scopes)
            )
        refresh_token = self._vault.refresh_token(connection)
        return self._authenticated(
            outgoing,
            lambda profile: self._client.refresh(
                profile,
                credentials,
                refresh_token=refresh_token,
                scopes=_scopes_to_refresh(connection.scopes_asked, connection.scopes_granted),
                redirect_uri=outgoing.redirect_uri,
            ),
        )

    def revoke(
        self, outgoing: Outgoing, connection: Connection
    ) -> Revoked | Refused | Away | Nonsense | AddressRefused | None:
        """End a connection's grant at the provider (RFC 7009); None where there is nothing to end or nobody to tell."""
        if not outgoing.profile.revocation_endpoint or not connection.access_token_enc:
            return None
        if connection.refresh_token_enc:
            token, hint = self._vault.refresh_token(connection), "refresh_token"
        else:
            token, hint = self._vault.access_token(connection), "access_token"
        return self._client.revoke(outgoing.profile, self._credentials(outgoing), token=token, hint=hint)

    def account(self, outgoing: Outgoing, granted: Granted) -> str:
        """The name of the account behind a grant, empty where the provider doesn't tell it."""
        return self._client.account(outgoing.profile, granted.access_token) or ""

    def _credentials(self, outgoing: Outgoing) -> ClientCredentials:
        return ClientCredentials(outgoing.stored.client_id, self._vault.client_secret(outgoing.stored))

    def _authenticated(self, outgoing: Outgoing, ask: Callable[[ProviderProfile], Answer]) -> Answer:
        """Ask; where the client authentication isn't known, in one way after the other until one is accepted.

        A server looks at the client before it looks at a code or a refresh token (RFC 6749 §4.1.3, §6): a refused try
        spends nothing.
        """
        if outgoing.profile.client_authentication:
            return ask(outgoing.profile)
        answer: Answer = _NOBODY
        for method in self._client.ways(outgoing.profile):
            answer = ask(outgoing.profile.authenticated_by(method))
            if _is_recognised(answer):
                found = OutgoingLink.update(found_authentication=method)
                found.where(OutgoingLink.link == outgoing.link.id, OutgoingLink.found_authentication == "").execute()
            if not _is_unrecognised(answer):
                break
        return answer


def _scopes_to_refresh(asked: str, granted: str) -> str:
    """What a refresh may ask for: nothing that wasn't granted (RFC 6749 §6).

    Where the provider writes scopes in another way than they were asked for in, only the latter is known to work.
    """
    given = set(granted.split())
    if not given or not given <= set(asked.split()):
        return asked
    return " ".join(scope for scope in asked.split() if scope in given or scope in _UNNAMED)


def _is_recognised(answer: Answer) -> bool:
    """Whether a server knew the client: it gave a token, or spoke of something else."""
    return isinstance(answer, Granted) or (isinstance(answer, Refused) and answer.code not in _NOT_AUTHENTICATED)


def _is_unrecognised(answer: Answer) -> bool:
    if isinstance(answer, Refused):
        return answer.code in _NOT_AUTHENTICATED
    return isinstance(answer, Nonsense) and answer.unauthenticated
