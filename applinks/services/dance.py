"""From *Connect* to a stored grant: the authorization code grant (RFC 6749 §4.1 with RFC 7636), and client credentials.

A flow is a row: found by the digest of its state, bound to link, administrator and browser session, pinned to the
endpoints it was begun with, alive for ten minutes, and spent before it is judged.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from peewee import DatabaseError, InterfaceError

from applinks.crypto import UnreadableError, digest, new_token
from applinks.errors import AppError
from applinks.models import AuthorizationFlow, Connection, SignInSession, database
from applinks.oauth.answers import Away, Granted, Nonsense, Refused, safe_text
from applinks.oauth.client import AddressRefused, Answer, OAuthClient
from applinks.oauth.guard import AddressRefusedError
from applinks.providers import ProviderProfile
from applinks.providers.refusals import Stage, explain
from applinks.services import grants
from applinks.services.events import Actor, Events
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing
from applinks.services.vault import Vault

FLOW_SECONDS = 600
FLOWS_OF_ONE = 10
FLOWS_OF_ALL = 200
CODE_LENGTH = 4096

_CODE = re.compile(r"[\x20-\x7e]+")
_UNREADABLE = Nonsense("The stored client secret can't be opened with the keys that Applinks has.")


class NotConnectedError(AppError):
    """A dance that ended without a grant; `slug` and `label` say what to connect again, empty where nobody knows."""

    title = "The account was not connected"
    code = "not_connected"

    def __init__(self, message: str, *, slug: str = "", label: str = "", words: str = "") -> None:
        super().__init__(message)
        self.slug = slug
        self.label = label
        self.words = words


class OtherAccountError(AppError):
    """Another account than before has given access: whether it is meant must be asked. `flow` says of which answer."""

    title = "Another account"
    code = "other_account"

    def __init__(self, *, slug: str, label: str, flow: str) -> None:
        super().__init__("Another account than before has given access.")
        self.slug = slug
        self.label = label
        self.flow = flow


@dataclass(frozen=True)
class Held:
    """A grant that waits for a person to say whether it takes the place of another account's."""

    flow: str
    label: str
    before: str
    account: str


class Dance:
    def __init__(
        self,
        links: Links,
        vault: Vault,
        events: Events,
        client: OAuthClient,
        link_client: LinkClient,
        clock: Callable[[], float],
    ) -> None:
        self._links = links
        self._vault = vault
        self._events = events
        self._client = client
        self._link_client = link_client
        self._clock = clock

    def begin(self, outgoing: Outgoing, label: str, session: SignInSession, actor: Actor) -> str:
        """Write a flow for one browser session and return the URL that asks for consent.

        Raises NotConnectedError where the authorization endpoint is no longer allowed, or there is none.
        """
        if outgoing.profile.without_account:
            raise NotConnectedError("This link uses client credentials: it has no accounts.", slug=outgoing.link.slug)
        now = int(self._clock())
        state, verifier = new_token(), new_token()
        stored, profile = outgoing.stored, outgoing.profile
        try:
            url = self._client.authorization_url(
                profile,
                stored.client_id,
                redirect_uri=outgoing.redirect_uri,
                scopes=stored.scopes,
                state=state,
                code_verifier=verifier,
            )
        except AddressRefusedError as refused:
            raise NotConnectedError(str(refused), slug=outgoing.link.slug, label=label) from None
        with database.atomic():
            _forget_flows(session.administrator_id, now)
            AuthorizationFlow.create(
                state_digest=digest(state),
                link=outgoing.link.id,
                label=label,
                administrator=session.administrator_id,
                session=session.id_digest,
                pins=_pins(outgoing),
                redirect_uri=outgoing.redirect_uri,
                scopes=stored.scopes,
                code_verifier_enc=self._vault.seal_code_verifier(digest(state), verifier),
                created_at=now,
                expires_at=now + FLOW_SECONDS,
            )
            self._events.record(actor, "connect begun", outgoing.link.id, label=label)
        return url

    def complete(
        self, slug: str, parameters: Mapping[str, str], session: SignInSession | None, actor: Actor
    ) -> Connection:
        """Take a callback's parameters, each given once, and store what the provider grants.

        Raises NotConnectedError; the token endpoint is asked only when nothing is wrong with the callback itself. Raises
        OtherAccountError where the label is another account's: then nothing is stored until that is confirmed.
        """
        outgoing = self._links.outgoing(slug)
        flow = self._spend(outgoing, parameters.get("state", ""), session)
        label, iss = flow.label, parameters.get("iss")
        if flow.pins != _pins(outgoing):
            raise NotConnectedError(
                "The link's settings were changed while you were at the provider, so its answer was not used.",
                slug=slug,
                label=label,
            )
        if wrong := _wrong_issuer(outgoing.profile, iss):
            self._failed(outgoing, flow, wrong, "", actor)
        if parameters.get("error"):
            code, words = safe_text(parameters["error"], 64), safe_text(parameters.get("error_description", ""))
            said = _refusal(outgoing.profile.provider, code, words)
            self._failed(outgoing, flow, said, f"{code}: {words}" if words else code, actor)
        code = parameters.get("code", "")
        if not _CODE.fullmatch(code) or len(code) > CODE_LENGTH:
            self._failed(outgoing, flow, "The provider's answer holds no usable authorization code.", "", actor)
        _check_label(outgoing, flow, int(self._clock()))
        sent_at = int(self._clock())
        answer = self._exchange(outgoing, flow, code)
        if not isinstance(answer, Granted):
            self._failed(outgoing, flow, *_explained(answer, outgoing.profile.provider), actor)
        account = self._check_account(outgoing, flow, answer, sent_at, actor)
        named = f"The provider named itself {safe_text(iss)}." if iss and not outgoing.profile.issuer else ""
        connection = self._store(outgoing, flow, answer, sent_at, actor, named)
        # For a first consent only now: a grant that is stored can't be lost to a slow userinfo endpoint.
        connection.account = self._link_client.account(outgoing, answer) if account is None else account
        with suppress(DatabaseError, InterfaceError):
            connection.save(only=[Connection.account])
        return connection

    def held(self, outgoing: Outgoing, label: str, flow: str, session: SignInSession) -> Held:
        """The grant that waits at a flow for this browser session. Raises NotConnectedError where none does."""
        row = self._held_flow(outgoing, label, flow, session)
        before = _account_of(outgoing, label)
        return Held(row.state_digest, label, before, row.held_account)

    def keep_held(self, outgoing: Outgoing, label: str, flow: str, session: SignInSession, actor: Actor) -> Connection:
        """Store a grant that waited: it is what was meant. Raises NotConnectedError."""
        with database.atomic():  # taken and stored, or waiting still
            row, granted, sent_at, asked_over = self._take_held(outgoing, label, flow, session)
            if _consent_of(outgoing, label) != asked_over:
                raise NotConnectedError(
                    "This connection was changed meanwhile, so that it isn't the one that you were asked about. "
                    "Nothing was stored: connect the account again.",
                    slug=outgoing.link.slug,
                    label=label,
                )
            words = f"It was {_account_of(outgoing, label)} before."
            connection = self._store(outgoing, row, granted, sent_at, actor, words)
            connection.account = row.held_account
            connection.save(only=[Connection.account])
        return connection

    def drop_held(self, outgoing: Outgoing, label: str, flow: str, session: SignInSession, actor: Actor) -> None:
        """End a grant that waited: the account before stays. Raises NotConnectedError."""
        row, granted, *_ = self._take_held(outgoing, label, flow, session)
        self._events.record(
            actor, "not connected", outgoing.link.id, label=label, words=f"{row.held_account} wasn't meant."
        )
        if row.pins != _pins(outgoing):
            return  # the link leads elsewhere by now, where this grant is nobody's business
        namesakes = [one for one in outgoing.connections if one.account == row.held_account and one.access_token_enc]
        if namesakes:
            return  # some providers end every grant of an account at once, and theirs is needed
        with suppress(UnreadableError):  # without its client secret, the provider can't be told
            self._link_client.revoke_grant(outgoing, granted)

    def _check_account(
        self, outgoing: Outgoing, flow: AuthorizationFlow, granted: Granted, sent_at: int, actor: Actor
    ) -> str | None:
        """The account of a grant that takes the place of another, None where there is nothing to compare with.

        Raises OtherAccountError, with the grant sealed in its flow.
        """
        before = _account_of(outgoing, flow.label)
        if not before:
            return None
        account = self._link_client.account(outgoing, granted)
        if account and account != before:
            grant = [granted.access_token, granted.refresh_token, granted.life, granted.scope]
            content = json.dumps([*grant, sent_at, _consent_of(outgoing, flow.label)])
            with database.atomic():
                AuthorizationFlow.update(
                    held_grant_enc=self._vault.seal_held_grant(flow.state_digest, content), held_account=account
                ).where(AuthorizationFlow.state_digest == flow.state_digest).execute()
                words = f"It was {before} and would be {account}."
                self._events.record(actor, "another account", outgoing.link.id, label=flow.label, words=words)
            raise OtherAccountError(slug=outgoing.link.slug, label=flow.label, flow=flow.state_digest)
        return account

    def _held_flow(self, outgoing: Outgoing, label: str, flow: str, session: SignInSession) -> AuthorizationFlow:
        row = AuthorizationFlow.get_or_none(AuthorizationFlow.state_digest == flow)
        mine = row and row.link_id == outgoing.link.id and row.label == label and row.session_id == session.id_digest
        if row is None or not mine or not row.held_grant_enc or row.expires_at + FLOW_SECONDS <= int(self._clock()):
            raise NotConnectedError(
                "Nothing waits to be confirmed here any more. Connect the account again.",
                slug=outgoing.link.slug,
                label=label,
            )
        return row

    def _take_held(
        self, outgoing: Outgoing, label: str, flow: str, session: SignInSession
    ) -> tuple[AuthorizationFlow, Granted, int, str]:
        """A grant that waited, when it was asked for and over what, once: whoever comes second finds nothing."""
        row = self._held_flow(outgoing, label, flow, session)
        waiting = (AuthorizationFlow.state_digest == flow) & (AuthorizationFlow.held_grant_enc == row.held_grant_enc)
        if AuthorizationFlow.update(held_grant_enc="").where(waiting).execute() != 1:
            raise NotConnectedError("This was decided already.", slug=outgoing.link.slug, label=label)
        try:
            content = json.loads(self._vault.held_grant(flow, row.held_grant_enc))
        except UnreadableError:
            raise NotConnectedError(
                "What waits here can't be opened with the keys that Applinks has. Connect the account again.",
                slug=outgoing.link.slug,
                label=label,
            ) from None
        return row, Granted(*content[:4]), content[4], content[5] if len(content) > 5 else ""

    def connect_without_account(self, slug: str, label: str, actor: Actor) -> Connection:
        """Connect with the client's own credentials (RFC 6749 §4.4): no consent, so it is done at once.

        Raises NotConnectedError.
        """
        outgoing, sent_at = self._links.outgoing(slug), int(self._clock())
        asked_with = outgoing.link.version
        try:
            answer = self._link_client.client_credentials(outgoing)
        except UnreadableError:
            answer = _UNREADABLE
        if not isinstance(answer, Granted):
            self._not_connected(outgoing, label, *_explained(answer, outgoing.profile.provider), actor)
        with database.atomic():
            if self._links.find(slug).version != asked_with:
                raise NotConnectedError("The link's settings were changed meanwhile.", slug=slug, label=label)
            scopes = outgoing.stored.scopes
            return self._keep(outgoing, label, answer, scopes, sent_at, actor, "")

    def _spend(self, outgoing: Outgoing, state: str, session: SignInSession | None) -> AuthorizationFlow:
        """Spend the flow of a state, then judge it; a flow that isn't for this link and browser is lost for good."""
        slug, now = outgoing.link.slug, int(self._clock())
        by_state = AuthorizationFlow.state_digest == digest(state)
        unspent = AuthorizationFlow.spent_at.is_null()
        won = AuthorizationFlow.update(spent_at=now).where(by_state & unspent).execute() == 1
        flow = AuthorizationFlow.get_or_none(by_state)
        if flow is None:
            raise NotConnectedError("This answer belongs to no connection that was begun here.", slug=slug)
        if flow.link_id != outgoing.link.id or session is None or flow.session_id != session.id_digest:
            raise NotConnectedError(
                "This answer belongs to a connection that was begun in another browser session.", slug=slug
            )
        if not won:
            raise NotConnectedError("This answer was used already. It counts once.", slug=slug, label=flow.label)
        if flow.expires_at <= now:
            raise NotConnectedError(
                "The answer came too late: more than ten minutes after Connect.", slug=slug, label=flow.label
            )
        return flow

    def _exchange(self, outgoing: Outgoing, flow: AuthorizationFlow, code: str) -> Answer:
        try:
            return self._link_client.exchange(outgoing, flow, code)
        except UnreadableError:
            return _UNREADABLE

    def _store(
        self, outgoing: Outgoing, flow: AuthorizationFlow, granted: Granted, sent_at: int, actor: Actor, words: str
    ) -> Connection:
        link, label = outgoing.link, flow.label
        with database.atomic():
            if flow.pins != _pins(self._links.outgoing(link.slug)):
                raise NotConnectedError("The link's settings were changed meanwhile.", slug=link.slug, label=label)
            _check_label(outgoing, flow, int(self._clock()))
            return self._keep(outgoing, label, granted, flow.scopes, sent_at, actor, words)

    def _keep(
        self, outgoing: Outgoing, label: str, granted: Granted, scopes: str, sent_at: int, actor: Actor, words: str
    ) -> Connection:
        connection, what = grants.keep(self._vault, outgoing, label, granted, scopes=scopes, sent_at=sent_at)
        self._events.record(actor, what, outgoing.link.id, label=label, words=words)
        return connection

    def _failed(self, outgoing: Outgoing, flow: AuthorizationFlow, message: str, words: str, actor: Actor) -> NoReturn:
        self._not_connected(outgoing, flow.label, message, words, actor)

    def _not_connected(self, outgoing: Outgoing, label: str, message: str, words: str, actor: Actor) -> NoReturn:
        link = outgoing.link
        self._events.record(actor, "not connected", link.id, label=label, words=words or message)
        raise NotConnectedError(message, slug=link.slug, label=label, words=words)


def _account_of(outgoing: Outgoing, label: str) -> str:
    """Whose account a connection is, empty where there is none yet, or nobody knows."""
    namesake = Connection.get_or_none(Connection.link == outgoing.link.id, Connection.label == label)
    return str(namesake.account) if namesake else ""


def _consent_of(outgoing: Outgoing, label: str) -> str:
    """Which connection there is under a label, and with which tokens; what Applinks refreshes by itself is the same."""
    found = Connection.get_or_none(Connection.link == outgoing.link.id, Connection.label == label)
    return f"{found.id} {found.connected_at} {found.account}" if found else ""


def _pins(outgoing: Outgoing) -> str:
    return digest(json.dumps([*outgoing.profile.destinations, outgoing.stored.client_id, outgoing.redirect_uri]))


def _wrong_issuer(profile: ProviderProfile, iss: str | None) -> str:
    """What is wrong with an answer's `iss`, to the byte, empty for nothing (RFC 9207 §2.4); None: there is none."""
    if not profile.issuer:
        return ""
    if iss is None:
        missing = (
            "The answer doesn't say which provider it comes from (iss), so it was not used. If the provider never does, "
            "set Require iss to No with Edit, under Advanced."
        )
        return missing if profile.iss_required else ""
    if iss != profile.issuer:
        return (
            f"The answer comes from the issuer {safe_text(iss) or 'of no name'}, but this link expects {profile.issuer}, to "
            "the letter, so it was not used. If the former is the provider's, correct Issuer with Edit, under Advanced."
        )
    return ""


def _check_label(outgoing: Outgoing, flow: AuthorizationFlow, now: int) -> None:
    """A flow never replaces a grant that its administrator couldn't know of: made under its label since it was begun."""
    namesake = Connection.get_or_none(Connection.link == outgoing.link.id, Connection.label == flow.label)
    # Not one of the future: then the clock has gone back since.
    if namesake and flow.created_at < namesake.created_at <= now:
        raise NotConnectedError(
            f"An account was connected as {flow.label} while you were at the provider. It was left as it is.",
            slug=outgoing.link.slug,
            label=flow.label,
        )


def _forget_flows(administrator_id: str, now: int) -> None:
    """Drop flows that are over, and the oldest where too many are pending."""
    AuthorizationFlow.delete().where(AuthorizationFlow.expires_at < now - FLOW_SECONDS).execute()
    for whose, most in (
        (AuthorizationFlow.administrator == administrator_id, FLOWS_OF_ONE),
        (AuthorizationFlow.created_at >= 0, FLOWS_OF_ALL),
    ):
        newest_first = AuthorizationFlow.created_at.desc(), AuthorizationFlow.state_digest
        over = AuthorizationFlow.select().where(whose).order_by(*newest_first).offset(most - 1)
        digests = [flow.state_digest for flow in over]
        AuthorizationFlow.delete().where(AuthorizationFlow.state_digest.in_(digests)).execute()


def _refusal(provider: str, code: str, words: str) -> str:
    return _meaning("authorization", provider, code, words) or "The provider refused to give access."


def _meaning(stage: Stage, provider: str, code: str, words: str) -> str:
    """Cause and mend of a refusal, empty where its code isn't known."""
    known = explain(stage, code, words, provider)
    return f"{known.cause} {known.mend}" if known else ""


def _explained(answer: Refused | Away | Nonsense | AddressRefused, provider: str) -> tuple[str, str]:
    """Our sentences, cause and mend, and the provider's own words."""
    if isinstance(answer, Refused):
        words = f"{answer.code}: {answer.words}" if answer.words else answer.code
        meaning = _meaning("code", provider, answer.code, answer.words)
        return meaning or "The provider refused to give a token.", words
    if isinstance(answer, Away) and answer.answered:
        return f"{answer.words} Nothing is wrong with the link's settings: connect again in a while.", ""
    if isinstance(answer, Away | Nonsense):
        return f"{answer.words} Check the token endpoint with Edit; if it is right, connect again in a while.", ""
    return answer.words, ""
