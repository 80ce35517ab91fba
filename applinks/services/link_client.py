"""The OAuth client of a stored link: opens its secret, asks, and remembers which client authentication works."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from peewee import DatabaseError, InterfaceError

from applinks.crypto import new_token
from applinks.models import AuthorizationFlow, Connection, OutgoingLink, database
from applinks.oauth.answers import Granted, Nonsense, Refused, Revoked
from applinks.oauth.client import Answer, ClientCredentials, OAuthClient, RevocationAnswer
from applinks.providers import ClientAuthentication, ProviderProfile
from applinks.services.links import Outgoing
from applinks.services.next_secrets import NextSecrets
from applinks.services.vault import Vault

Said = TypeVar("Said", Answer, RevocationAnswer)

# Codes that are about the client's credentials and nothing else, some of them GitHub's, Slack's and others' own.
CLIENT_REFUSED = {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "bad_client_secret"}
CLIENT_REFUSED |= {"invalid_client_id", "bad_client_id", "invalid_client_secret"}
# What servers say that don't see who the client is. By RFC 6749 §5.2 it is the first; some answer with one of the others
# when the credentials aren't where they look for them.
_NOT_AUTHENTICATED = ("invalid_client", "unauthorized_client", "invalid_request")
_NOT_ASKED = Nonsense("There is no way to authenticate the client.")
# Of OpenID Connect's own scopes, Microsoft for one grants some without naming them.
UNNAMED = ("openid", "profile", "email", "offline_access")


class LinkClient:
    """Every method raises crypto.UnreadableError where a stored secret can't be opened."""

    def __init__(self, vault: Vault, client: OAuthClient, next_secrets: NextSecrets) -> None:
        self._vault = vault
        self._client = client
        self._next_secrets = next_secrets

    def exchange(self, outgoing: Outgoing, flow: AuthorizationFlow, code: str) -> Answer:
        """Exchange the code that a flow has brought."""
        verifier = self._vault.code_verifier(flow)
        return self._authenticated(
            outgoing,
            lambda profile, credentials: self._client.exchange(
                profile, credentials, code=code, redirect_uri=flow.redirect_uri, code_verifier=verifier
            ),
        )

    def try_credentials(self, outgoing: Outgoing, method: ClientAuthentication) -> Answer:
        """What the provider says to these credentials with a code that nobody was given, or to client credentials.

        Nothing of it is kept.
        """
        credentials, profile = self._credentials(outgoing), outgoing.profile.authenticated_by(method)
        if profile.without_account:
            return self._client.client_credentials(profile, credentials, scopes=outgoing.stored.scopes)
        made_up, verifier = new_token(), new_token()
        return self._client.exchange(
            profile, credentials, code=made_up, redirect_uri=outgoing.redirect_uri, code_verifier=verifier
        )

    def are_swapped(self, outgoing: Outgoing) -> bool:
        """Whether the client secret has the form of this provider's client IDs, and the client ID hasn't."""
        form = outgoing.provider.client_id_form
        if not form or re.fullmatch(form, outgoing.stored.client_id):
            return False
        return bool(re.fullmatch(form, self._credentials(outgoing).client_secret))

    def account_now(self, outgoing: Outgoing, connection: Connection) -> str:
        """The name of the account behind a connection's token, empty where the provider doesn't tell it."""
        return self._client.account(outgoing.profile, self._vault.access_token(connection)) or ""

    def client_credentials(self, outgoing: Outgoing) -> Answer:
        """A token of the client's own."""
        scopes = outgoing.stored.scopes
        return self._authenticated(
            outgoing,
            lambda profile, credentials: self._client.client_credentials(profile, credentials, scopes=scopes),
        )

    def renew(self, outgoing: Outgoing, connection: Connection) -> Answer:
        """A new access token for a connection, as the link's grant type gives one."""
        if outgoing.profile.without_account:
            return self.client_credentials(outgoing)
        refresh_token = self._vault.refresh_token(connection)
        return self._authenticated(
            outgoing,
            lambda profile, credentials: self._client.refresh(
                profile,
                credentials,
                refresh_token=refresh_token,
                scopes=_scopes_to_refresh(connection.scopes_asked, connection.scopes_granted),
                redirect_uri=outgoing.redirect_uri,
            ),
            known=outgoing.profile.refresh_client_authentication is not None,
        )

    def revoke(self, outgoing: Outgoing, connection: Connection) -> RevocationAnswer | None:
        """End a connection's grant at the provider (RFC 7009); None where there is nothing to end or nobody to tell."""
        if not outgoing.profile.revocation_endpoint or not connection.access_token_enc:
            return None
        if connection.refresh_token_enc:
            return self._revoke(outgoing, self._vault.refresh_token(connection), "refresh_token")
        return self._revoke(outgoing, self._vault.access_token(connection), "access_token")

    def revoke_grant(self, outgoing: Outgoing, granted: Granted) -> None:
        """End a grant that isn't stored anywhere, as far as the provider has a way to."""
        if outgoing.profile.revocation_endpoint:
            hint = "refresh_token" if granted.refresh_token else "access_token"
            self._revoke(outgoing, granted.refresh_token or granted.access_token, hint)

    def _revoke(self, outgoing: Outgoing, token: str, hint: str) -> RevocationAnswer:
        return self._authenticated(
            outgoing,
            lambda profile, credentials: self._client.revoke(profile, credentials, token=token, hint=hint),
            learn=False,
            known=outgoing.profile.refresh_client_authentication is not None,
        )

    def account(self, outgoing: Outgoing, granted: Granted) -> str:
        """The name of the account behind a grant, empty where the provider doesn't tell it."""
        return self._client.account(outgoing.profile, granted.access_token) or ""

    def _credentials(self, outgoing: Outgoing) -> ClientCredentials:
        return ClientCredentials(outgoing.stored.client_id, self._vault.client_secret(outgoing.stored))

    def _authenticated(
        self,
        outgoing: Outgoing,
        ask: Callable[[ProviderProfile, ClientCredentials], Said],
        *,
        known: bool = False,
        learn: bool = True,
    ) -> Said:
        """Ask with the client secret; where that is refused, with the next one, which takes its place if it is not."""
        current = self._credentials(outgoing)
        waits = bool(outgoing.stored.next_client_secret_enc)
        learn = learn and not waits  # what is refused may be the secret, and not the way it is shown in
        answer = self._by_its_method(outgoing, lambda profile: ask(profile, current), known=known, learn=learn)
        if not waits or not _refuses_client(answer):
            return answer
        following = replace(current, client_secret=self._vault.next_client_secret(outgoing.stored))
        said = self._by_its_method(outgoing, lambda profile: ask(profile, following), known=known, learn=False)
        if not _knows_client(said):
            return answer
        self._next_secrets.take_over(outgoing)
        return said

    def _by_its_method(
        self, outgoing: Outgoing, ask: Callable[[ProviderProfile], Said], *, known: bool, learn: bool
    ) -> Said:
        """Ask; where the client authentication isn't known, by one method after the other until one is accepted.

        A server looks at the client before it looks at a code or a token (RFC 6749 §4.1.3, §6; RFC 7009 §2.1): a try
        that it doesn't recognise spends nothing.
        """
        if known:
            return ask(outgoing.profile)
        if outgoing.profile.client_authentication:
            answer = ask(outgoing.profile)
            if outgoing.stored.found_authentication and learn and _is_unrecognised(answer):
                _remember(outgoing, "")
            return answer
        answer = _NOT_ASKED
        for method in self._client.client_authentication_methods(outgoing.profile):
            answer = ask(outgoing.profile.authenticated_by(method))
            if learn and isinstance(answer, Granted):  # to revoke, some servers say yes to whoever comes
                _remember(outgoing, method)
            if not _is_unrecognised(answer):
                break
        return answer


def _remember(outgoing: Outgoing, method: str) -> None:
    """Store what was found, unless the link's credentials have changed since they were tried.

    It saves a try the next time. What was granted comes first, so that nothing is said where this can't be stored.
    """
    same = OutgoingLink.client_secret_enc == outgoing.stored.client_secret_enc
    with suppress(DatabaseError, InterfaceError), database.atomic():
        found = OutgoingLink.update(found_authentication=method)
        found.where((OutgoingLink.link == outgoing.link.id) & same).execute()


def _scopes_to_refresh(asked: str, granted: str) -> str:
    """What a refresh may ask for: nothing that wasn't granted (RFC 6749 §6).

    Where the provider writes scopes in another way than they were asked for in, only the latter is known to work.
    """
    given = set(granted.split())
    if not given or not given <= set(asked.split()):
        return asked
    return " ".join(scope for scope in asked.split() if scope in given or scope in UNNAMED)


def _refuses_client(answer: Answer | RevocationAnswer) -> bool:
    """Whether a server has said that it doesn't take the client's credentials."""
    if isinstance(answer, Refused):
        return answer.unauthenticated or answer.code in CLIENT_REFUSED
    return isinstance(answer, Nonsense) and answer.unauthenticated


def _knows_client(answer: Answer | RevocationAnswer) -> bool:
    """Whether a server has taken the client's credentials, whatever it thinks of the rest."""
    refused_the_rest = isinstance(answer, Refused) and not _refuses_client(answer) and not _is_unrecognised(answer)
    return isinstance(answer, Granted | Revoked) or refused_the_rest


def _is_unrecognised(answer: Answer | RevocationAnswer) -> bool:
    """Whether a server may not have known the client."""
    if isinstance(answer, Refused):
        return answer.unauthenticated or answer.code in _NOT_AUTHENTICATED
    return isinstance(answer, Nonsense) and answer.unauthenticated
