"""Checking a link: what is wrong, where, and what to do, before anybody's consent is asked for where that can be known.

A check goes through parts in an order: what depends on an answer that didn't come is skipped. It stores nothing but what
it has learnt of ends, and sends the stored secret only where a connection would.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from applinks.crypto import UnreadableError, new_id, new_token, same
from applinks.models import Connection, OutgoingLink, State
from applinks.oauth.answers import Away, Granted, Metadata, Nonsense, Refused, safe_text
from applinks.oauth.client import AddressRefused, Answer, OAuthClient
from applinks.oauth.guard import AddressRefusedError
from applinks.oauth.probe import Answered, Probe, Silence
from applinks.providers import ClientAuthentication
from applinks.providers.refusals import explain
from applinks.services.advice import redirect_advice
from applinks.services.deadlines import DAY, WARN_DAYS, Deadline, days, deadlines_of
from applinks.services.discovery import fields_of
from applinks.services.events import Actor, Events
from applinks.services.findings import Action, Finding, Result
from applinks.services.link_client import LinkClient
from applinks.services.links import Links, Outgoing
from applinks.services.renewal import Outcome, Renewal
from applinks.services.sealing import seal
from applinks.settings import Settings

PARTS = ("here", "provider", "client", "consent", "connections")
MOST_CONNECTIONS = 5
CLOCK_WARNS, CLOCK_FAILS = 60, 300

_METHODS: tuple[ClientAuthentication, ...] = ("client_secret_basic", "client_secret_post")
# To a code that nobody was given: the client was recognised, and the code wasn't.
_CODE_REFUSED = {"invalid_grant", "bad_verification_code", "invalid_code", "code_already_used", "code_expired"}
_CLIENT_REFUSED = {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "bad_client_secret"}
_CLIENT_REFUSED |= {"invalid_client_id", "bad_client_id", "invalid_client_secret"}
_REDIRECT_REFUSED = {"redirect_uri_mismatch", "bad_redirect_uri", "invalid_redirect_uri"}
# Numbers of Microsoft's: the request was refused before anybody looked at the client.
_TOO_EARLY = ("AADSTS9002313", "AADSTS900144")
_WRONG_PLACE = ("AADSTS90002", "AADSTS900023")
_REDIRECT_WORDS = re.compile(
    r"redirect_uri_mismatch|AADSTS50011|bad_redirect_uri|invalid[ _]redirect|invalid parameter: redirect_uri"
    r"|(redirect|callback)[ _]ur[il][^.<]{0,60}(mismatch|invalid|not (registered|allowed|valid|match)|doesn.t match|incorrect)",
    re.IGNORECASE,
)
_CLIENT_WORDS = re.compile(
    r"AADSTS700016|invalid_client|unknown client|client[ _]id[^.<]{0,40}(invalid|unknown|not found)"
    r"|client[^.<]{0,20}(not found|is unknown|does not exist|doesn.t exist)",
    re.IGNORECASE,
)
# Those of a drawer without which no refresh token is given.
_OFFLINE_PARAMETERS = ("access_type", "token_access_type")
# Scopes that some providers grant without naming them.
_UNNAMED = ("openid", "profile", "email", "offline_access")
_EDIT_TOKEN_ENDPOINT = "Correct the token endpoint with Edit: the provider's documentation names it."  # noqa: S105 (a sentence)
_REGISTER = "Copy the Redirect URL from the link's page and register it at the provider, to the letter."
_AGAIN = "Nothing is wrong with the link's settings. Check again in a while."


class Checks:
    """`client` asks quickly: a check has many questions."""

    def __init__(
        self,
        settings: Settings,
        nonce_key: bytes,
        links: Links,
        events: Events,
        probe: Probe,
        client: OAuthClient,
        link_client: LinkClient,
        renewal: Renewal,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._nonce_key = nonce_key
        self._links = links
        self._events = events
        self._probe = probe
        self._client = client
        self._link_client = link_client
        self._renewal = renewal
        self._clock = clock

    def answer(self, nonce: str) -> str:
        """What this Applinks, and no other, says to a nonce."""
        return seal(self._nonce_key, "nonce", nonce)

    def everything(self, outgoing: Outgoing, actor: Actor) -> list[Finding]:
        """Every part, one after another."""
        findings: list[Finding] = []
        for part in PARTS:
            findings += self.run(outgoing, part, actor, reached=is_reached(findings))
        return findings

    def run(self, outgoing: Outgoing, part: str, actor: Actor, *, reached: bool) -> list[Finding]:
        """One part; `reached` says whether the parts before it had an answer from the token endpoint."""
        match part:
            case "here":
                return self._here(outgoing)
            case "provider":
                return self._provider(outgoing)
            case "client":
                return [self._credentials(outgoing, actor, reached=reached)]
            case "consent":
                return self._consent(outgoing, reached=reached)
            case _:
                return [*self._connections(outgoing, actor, reached=reached), *self._ends(outgoing)]

    def _here(self, outgoing: Outgoing) -> list[Finding]:
        title = "Applinks is reached at its base URL"
        base_url, nonce = self._settings.base_url, new_id()
        url = f"{base_url}/nonce/{nonce}"
        answer = self._probe.own(url)
        exchange = _exchange(f"GET {url}", answer)
        if isinstance(answer, Silence):
            base = Finding(
                "base_url",
                title,
                Result.WARNED,
                f"{answer.words} That was asked from this machine; browsers may have another way.",
                "Set APPLINKS_BASE_URL to the address that browsers use, and see that a proxy there leads here.",
                exchange=exchange,
            )
        elif same(answer.text.strip(), self.answer(nonce)):
            base = Finding("base_url", title, Result.PASSED, f"{base_url} leads here.", exchange=exchange)
        else:
            base = Finding(
                "base_url",
                title,
                Result.FAILED,
                f"Something else than this Applinks answers at {base_url}.",
                "Set APPLINKS_BASE_URL to the address that browsers use, or correct the proxy that stands there.",
                exchange=exchange,
            )
        if outgoing.profile.without_account:
            return [base]
        return [base, *redirect_advice(self._settings, outgoing.provider)]

    def _provider(self, outgoing: Outgoing) -> list[Finding]:
        profile, host = outgoing.profile, outgoing.host
        findings = [self._addresses(outgoing)]
        if findings[0].result is Result.FAILED:
            return [*findings, *_skipped("Its address isn't known.", "tls", "clock", "token_endpoint")]
        url = profile.token_endpoint
        heard, said = self._probe.token_endpoint(profile, url)
        exchange = _exchange(f"POST {url} grant_type={profile.grant_type}, without client and code", heard, said)
        if isinstance(heard, Silence):
            if heard.distrusted:
                mend = "Have the certificate renewed at the provider; if it is yours, install the new one."
                findings.append(Finding("tls", _TITLES["tls"], Result.FAILED, heard.words, mend, exchange=exchange))
                return [*findings, *_skipped("There is no connection that can be trusted.", "clock", "token_endpoint")]
            port = urlsplit(url).port or 443
            mend = f"See that the provider is up, and that this machine's firewall lets it call {host} at port {port}."
            silent = Finding("token_endpoint", _TITLES["token_endpoint"], Result.FAILED, heard.words, mend)
            return [*findings, *_skipped("Nobody answered.", "tls", "clock"), silent]
        self._note_certificate(outgoing, heard.certificate_ends)
        token_endpoint = self._token_endpoint(outgoing, heard, said, exchange)
        return [*findings, self._certificate(heard), self._time(heard), token_endpoint]

    def _addresses(self, outgoing: Outgoing) -> Finding:
        profile, title = outgoing.profile, _TITLES["address"]
        wrong = self._probe.resolve(outgoing.host)
        mend = (
            ""
            if "APPLINKS_" in wrong
            else "Correct the host with Edit, or see that this machine's name service knows it."
        )
        if wrong:
            return Finding("address", title, Result.FAILED, wrong, mend, "edit")
        others = {urlsplit(url).hostname or "" for url in (profile.authorization_endpoint, profile.userinfo_endpoint)}
        for host in sorted(others - {outgoing.host, ""}):
            if wrong := self._probe.resolve(host):
                return Finding("address", title, Result.WARNED, wrong, mend, "edit")
        return Finding("address", title, Result.PASSED, f"{outgoing.host} has an address that may be called.")

    def _certificate(self, heard: Answered) -> Finding:
        title = _TITLES["tls"]
        if heard.certificate_ends is None:
            return Finding("tls", title, Result.SKIPPED, "Plain http on this machine: there is no certificate.")
        left = days(heard.certificate_ends, self._clock())
        said = f"The certificate is trusted and valid for {left} more days."
        if left > WARN_DAYS:
            return Finding("tls", title, Result.PASSED, said)
        return Finding("tls", title, Result.WARNED, said, "Whoever runs the provider should renew it before then.")

    def _note_certificate(self, outgoing: Outgoing, ends: int | None) -> None:
        """What the list warns of."""
        mine = OutgoingLink.link == outgoing.link.id
        OutgoingLink.update(certificate_ends_at=ends).where(mine).execute()

    def _time(self, heard: Answered) -> Finding:
        title = _TITLES["clock"]
        if heard.clock is None:
            return Finding("clock", title, Result.UNKNOWN, "The provider doesn't say what time it is.")
        off = int(self._clock()) - heard.clock
        if abs(off) < CLOCK_WARNS:
            return Finding("clock", title, Result.PASSED, "Both clocks agree within a minute.")
        amount = f"{abs(off)} seconds" if abs(off) < 2 * CLOCK_WARNS else f"{abs(off) // 60} minutes"
        said = f"This machine's clock is {amount} {'ahead of' if off > 0 else 'behind'} the provider's."
        mend = "Set this machine's clock by the network, for example with timedatectl set-ntp true."
        return Finding("clock", title, Result.FAILED if abs(off) >= CLOCK_FAILS else Result.WARNED, said, mend)

    def _token_endpoint(
        self, outgoing: Outgoing, heard: Answered, said: Answer | None, exchange: tuple[str, ...]
    ) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("token_endpoint", _TITLES["token_endpoint"], result, cause, mend, action, exchange)

        profile = outgoing.profile
        if isinstance(said, Refused):
            known = explain("code", said.code, said.words, profile.provider)
            if known and known.code in _WRONG_PLACE:
                return found(Result.FAILED, known.cause, known.mend, "edit")
            return found(Result.PASSED, "It answers as an OAuth 2.0 token endpoint.")
        if isinstance(said, Granted):
            return found(Result.UNKNOWN, "It gives tokens to whoever asks, without looking at the client.")
        if isinstance(said, Away):
            return found(Result.UNKNOWN if heard.status == 429 else Result.FAILED, said.words, _AGAIN)
        if isinstance(said, Nonsense) and said.redirect:
            return found(Result.FAILED, said.words, _EDIT_TOKEN_ENDPOINT, "edit")
        if profile.authorization_endpoint != profile.token_endpoint and not profile.without_account:
            other = self._probe.token_endpoint(profile, profile.authorization_endpoint)[1]
            if isinstance(other, Refused):
                return found(
                    Result.FAILED,
                    "The authorization endpoint answers as a token endpoint: the two are swapped.",
                    "Exchange them with Edit.",
                    "edit",
                )
        if heard.content_type == "text/html":
            cause = (
                f"It answered HTTP {heard.status} with a web page. Either the address is wrong, or something in between"
            )
            return found(
                Result.FAILED,
                f"{cause}, such as a proxy, answers in its place.",
                f"{_EDIT_TOKEN_ENDPOINT} If it is right, see that this machine reaches it without a proxy's sign-in page.",
                "edit",
            )
        return found(Result.FAILED, said.words if said else "It said nothing.", _EDIT_TOKEN_ENDPOINT, "edit")

    def _credentials(self, outgoing: Outgoing, actor: Actor, *, reached: bool) -> Finding:
        title = _TITLES["credentials"]
        if not reached:
            return Finding("credentials", title, Result.SKIPPED, "The token endpoint can't be asked.")
        profile = outgoing.profile
        usual = profile.client_authentication
        tried: list[str] = []
        self._events.record(actor, "checked", outgoing.link.id)
        first: Finding | None = None
        for method in self._methods(outgoing):
            try:
                answer = self._link_client.try_credentials(outgoing, method)
            except UnreadableError:
                words = "The stored client secret can't be opened with the keys that Applinks has."
                return Finding("credentials", title, Result.FAILED, words, "Type it again with Edit.", "edit")
            asked = "client credentials" if profile.without_account else "a made-up code"
            tried += [f"POST {profile.token_endpoint} with {asked} and {method}", f"→ {_told(answer)}"]
            result, cause, mend = self._judged(outgoing, answer)
            if result is Result.PASSED and first and usual:
                cause = f"The provider takes {method}, and not {usual}."
                mend = f"Choose {method} under Advanced, Client authentication, with Edit."
                return Finding("credentials", title, Result.FAILED, cause, mend, "edit", tuple(tried))
            if result is Result.PASSED and not usual:
                cause = f"{cause} They are sent as {method}."
            finding = Finding("credentials", title, result, cause, mend, "edit" if mend else "", tuple(tried))
            if result is not Result.FAILED or not _is_unrecognised(answer):
                return finding
            first = first or finding
        return Finding(
            "credentials",
            title,
            Result.FAILED,
            first.cause if first else "",
            first.mend if first else "",
            "edit",
            tuple(tried),
        )

    def _methods(self, outgoing: Outgoing) -> list[ClientAuthentication]:
        """The method that the link has first, then the others there are."""
        usual = outgoing.profile.client_authentication
        if usual == "none":
            return ["none"]
        known = list(_METHODS) if usual else self._client.client_authentication_methods(outgoing.profile)
        return sorted(known, key=lambda method: method != usual) if usual else known

    def _judged(self, outgoing: Outgoing, answer: Answer) -> tuple[Result, str, str]:
        provider = outgoing.profile.provider
        match answer:
            case Granted():
                return Result.PASSED, "The provider knows the client ID and the client secret.", ""
            case Refused() if any(number in answer.words for number in _TOO_EARLY):
                return Result.UNKNOWN, "The provider refused the made-up code before it looked at the client.", ""
            case Refused():
                known = explain("code", answer.code, answer.words, provider)
                specific = known is not None and known.code != answer.code
                if answer.code in _CODE_REFUSED and not (specific and known and known.means == "settings"):
                    return Result.PASSED, "The provider knows the client ID and the client secret.", ""
                if _is_unrecognised(answer) and self._link_client.are_swapped(outgoing):
                    name = outgoing.provider.name
                    cause = f"Client ID and client secret are swapped: the secret looks like one of {name}'s IDs."
                    return Result.FAILED, cause, "Exchange them with Edit."
                if known and (_is_unrecognised(answer) or specific or answer.code in _REDIRECT_REFUSED):
                    return Result.FAILED, known.cause, known.mend
                if _is_unrecognised(answer):
                    return (
                        Result.FAILED,
                        "The provider refused the client ID or the client secret.",
                        "Check them with Edit.",
                    )
                return Result.UNKNOWN, f"The provider refused the try for another reason: {answer.code}.", ""
            case Nonsense() if answer.unauthenticated:
                return (
                    Result.FAILED,
                    "The provider refused the client ID or the client secret.",
                    "Check them with Edit.",
                )
            case AddressRefused():
                return Result.FAILED, answer.words, "Correct the token endpoint with Edit."
            case Away() | Nonsense():
                return Result.UNKNOWN, f"{answer.words} So nothing is known of them.", ""

    def _consent(self, outgoing: Outgoing, *, reached: bool) -> list[Finding]:
        profile = outgoing.profile
        metadata = self._client.metadata(profile.issuer) if profile.issuer and reached else None
        findings = [self._metadata(outgoing, metadata, reached=reached)]
        if profile.without_account:
            return findings
        page, asked = self._consent_page(outgoing)
        registered, error = self._registered(outgoing, page, asked)
        findings += registered
        findings.append(_scopes(outgoing, metadata if isinstance(metadata, Metadata) else None, error, page, asked))
        return [*findings, _offline(outgoing, metadata if isinstance(metadata, Metadata) else None)]

    def _metadata(
        self, outgoing: Outgoing, metadata: Metadata | Away | Nonsense | AddressRefused | None, *, reached: bool
    ) -> Finding:
        title, profile = _TITLES["metadata"], outgoing.profile
        if not profile.issuer:
            return Finding("metadata", title, Result.SKIPPED, "No issuer is known, so there is nothing to compare.")
        if not reached:
            return Finding("metadata", title, Result.SKIPPED, "The provider can't be asked.")
        exchange = (f"GET the metadata of {profile.issuer}",)
        if not isinstance(metadata, Metadata):
            words = metadata.words if metadata else ""
            if isinstance(metadata, Nonsense) and metadata.other_issuer:
                mend = "Write the issuer with Edit as the provider itself does."
                return Finding("metadata", title, Result.FAILED, words, mend, "edit", exchange)
            return Finding("metadata", title, Result.UNKNOWN, words, exchange=exchange)
        names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint")
        theirs = fields_of(metadata)
        differing = [
            f"{name.replace('_', ' ')} {theirs[name]}"
            for name in names
            if theirs[name] and getattr(profile, name) and getattr(profile, name) != theirs[name]
        ]
        method = profile.client_authentication
        if method and method not in metadata.client_authentications:
            differing.append(f"client authentication {', '.join(metadata.client_authentications)[:200]}")
        if metadata.code_challenge_methods is not None and "S256" not in metadata.code_challenge_methods:
            differing.append("no PKCE with S256")
        if differing:
            cause = f"The provider's metadata differs from the link: {'; '.join(differing)}. Nothing was changed."
            mend = "Where the provider has moved, take it over with Edit, Find endpoints."
            if outgoing.provider.brings_endpoints:
                mend = "If connecting fails, look for a newer release of Applinks."
            return Finding("metadata", title, Result.WARNED, cause, mend, "edit", exchange)
        return Finding("metadata", title, Result.PASSED, "The provider's metadata says the same.", exchange=exchange)

    def _consent_page(self, outgoing: Outgoing) -> tuple[Answered | Silence, tuple[str, ...]]:
        """What a browser would be shown to ask for consent; nobody signs in there."""
        profile = outgoing.profile
        try:
            url = self._client.authorization_url(
                profile,
                outgoing.stored.client_id,
                redirect_uri=outgoing.redirect_uri,
                scopes=outgoing.stored.scopes,
                state=new_token(),
                code_verifier=new_token(),
            )
        except AddressRefusedError as refused:
            return Silence(str(refused), refused=True), ()
        page = self._probe.page(url)
        return page, _exchange(f"GET {profile.authorization_endpoint} with client ID, Redirect URL and scopes", page)

    def _registered(
        self, outgoing: Outgoing, page: Answered | Silence, exchange: tuple[str, ...]
    ) -> tuple[list[Finding], tuple[str, str]]:
        """What the consent page tells of the Redirect URL, and the error that it sends back, if any."""
        title, name = _TITLES["redirect_url_registered"], outgoing.provider.name

        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("redirect_url_registered", title, result, cause, mend, action, exchange)

        if isinstance(page, Silence):
            failed = Result.FAILED if page.refused else Result.UNKNOWN
            mend = "Correct the authorization endpoint with Edit." if page.refused else ""
            return [found(failed, page.words, mend, "edit" if mend else "")], ("", "")
        if page.location.startswith(outgoing.redirect_uri):
            query = parse_qs(urlsplit(page.location).query)
            error = safe_text(query.get("error", [""])[0], 64), safe_text(query.get("error_description", [""])[0])
            findings = [found(Result.PASSED, "The provider answers to the Redirect URL.")]
            if error[0] and error[0] not in ("invalid_scope", "login_required", "interaction_required"):
                known = explain("authorization", error[0], error[1], outgoing.profile.provider)
                cause = known.cause if known else f"The provider refuses to ask for consent: {error[0]}."
                mend = known.mend if known else "See what its documentation says of that."
                findings.append(
                    Finding("consent_page", _TITLES["consent_page"], Result.FAILED, cause, mend, "edit", exchange)
                )
            return findings, error
        said = f"{page.text}\n{page.location}\n{_google_error(page.location)}"
        told = page.status >= 400 or bool(_google_error(page.location)) or "redirect_uri_mismatch" in said
        if told and _REDIRECT_WORDS.search(said):
            return [found(Result.FAILED, f"{name} doesn't know this Redirect URL.", _REGISTER, "console")], ("", "")
        if told and _CLIENT_WORDS.search(said):
            cause = f"{name} doesn't know the client ID."
            return [found(Result.FAILED, cause, "Correct Client ID with Edit.", "edit")], ("", "")
        if page.status in (404, 405, 410, 501):
            cause = f"The authorization endpoint answered HTTP {page.status}: there is no page that asks for consent."
            return [found(Result.FAILED, cause, "Correct the authorization endpoint with Edit.", "edit")], ("", "")
        if page.status >= 400:
            return [found(Result.UNKNOWN, f"The authorization endpoint answered HTTP {page.status}.")], ("", "")
        if outgoing.provider.tells_redirect:
            return [found(Result.PASSED, f"{name} asks to sign in, which it does for a registered one alone.")], (
                "",
                "",
            )
        return [found(Result.UNKNOWN, "The provider asks to sign in first, and tells only afterwards.")], ("", "")

    def _connections(self, outgoing: Outgoing, actor: Actor, *, reached: bool) -> list[Finding]:
        if not outgoing.connections:
            title = _TITLES["connection"]
            return [
                Finding(
                    "connection", title, Result.SKIPPED, "No account is connected yet.", "Choose Connect.", "connect"
                )
            ]
        return [
            finding
            for connection in outgoing.connections[:MOST_CONNECTIONS]
            for finding in self._connection(outgoing, connection, actor, reached=reached)
        ]

    def _connection(self, outgoing: Outgoing, connection: Connection, actor: Actor, *, reached: bool) -> list[Finding]:
        label = str(connection.label)

        def found(key: str, result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding(key, _TITLES[key], result, cause, mend, action, label=label)

        if connection.state == State.DISCONNECTED:
            return [found("connection", Result.SKIPPED, "It isn't connected.", "Choose Connect.", "connections")]
        if connection.state in (State.RECONNECT_NEEDED, State.CHECK_SETTINGS, State.UNREADABLE):
            code, _, words = connection.words.partition(": ")
            known = explain("refresh", code, words, outgoing.profile.provider)
            cause, mend = (known.cause, known.mend) if known else (connection.words, "Choose Reconnect.")
            action: Action = "edit" if connection.state == State.CHECK_SETTINGS else "connections"
            return [found("connection", Result.FAILED, cause or "It needs a person.", mend, action)]
        findings = [found("connection", Result.PASSED, f"{connection.account or label} is connected.")]
        if not outgoing.profile.without_account:
            findings += [self._refresh_token(outgoing, connection), _granted(connection)]
        findings.append(self._refresh(outgoing, connection, actor, reached=reached))
        fresh = Connection.get_or_none(Connection.id == connection.id)
        if fresh and fresh.access_token_enc and not outgoing.profile.without_account:
            findings.append(self._account(outgoing, fresh))
        return findings

    def _refresh_token(self, outgoing: Outgoing, connection: Connection) -> Finding:
        key, title, label = "refresh_token", _TITLES["refresh_token"], str(connection.label)
        if connection.refresh_token_enc:
            return Finding(key, title, Result.PASSED, "The provider gave a refresh token.", label=label)
        if connection.expires_at is None:
            return Finding(key, title, Result.PASSED, "The token has no end, so none is needed.", label=label)
        missing, mend = _what_offline_lacks(outgoing)
        cause = f"The provider gave no refresh token{f', since {missing}' if missing else ''}."
        mend = mend or "Look in the provider's documentation for the scope or parameter that asks for one."
        return Finding(key, title, Result.FAILED, cause, f"{mend} Then choose Reconnect.", "edit", label=label)

    def _refresh(self, outgoing: Outgoing, connection: Connection, actor: Actor, *, reached: bool) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("refresh", _TITLES["refresh"], result, cause, mend, action, label=str(connection.label))

        if not outgoing.renewable(connection):
            return found(Result.SKIPPED, "There is nothing to refresh with.")
        if not reached:
            return found(Result.SKIPPED, "The token endpoint can't be asked.")
        if outgoing.provider.rotates is not False and not outgoing.profile.without_account:
            why = (
                "replaces its refresh token at each use" if outgoing.provider.rotates else "may replace it at each use"
            )
            return found(Result.SKIPPED, f"The provider {why}, so it isn't used for a check. Refresh now does it.")
        if self._renewal.renew(connection, actor) is Outcome.REFRESHED:
            return found(Result.PASSED, "A new token was given and stored.")
        now = Connection.get_or_none(Connection.id == connection.id)
        code, _, words = (now.words if now else "").partition(": ")
        known = explain("refresh", code, words, outgoing.profile.provider)
        cause = known.cause if known else (now.words if now else "") or "The token wasn't refreshed."
        return found(Result.FAILED, cause, known.mend if known else "See the connection's history.", "connections")

    def _account(self, outgoing: Outgoing, connection: Connection) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("account", _TITLES["account"], result, cause, mend, action, label=str(connection.label))

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
        ends = deadlines_of(outgoing.stored, provider, outgoing.connections)
        findings = [_deadline(end, now) for end in ends if end.key != "certificate"]
        has_secret = outgoing.profile.has_client_secret
        if provider.secret_life and has_secret and outgoing.stored.client_secret_ends_at is None:
            cause = (
                f"{provider.name}'s client secrets end after at most {provider.secret_life // DAY} days; of this one "
            )
            mend = "Note when the client secret ends with Edit."
            title = _TITLES["secret"]
            findings.append(Finding("secret", title, Result.UNKNOWN, f"{cause}it isn't noted when.", mend, "edit"))
        return findings


_TITLES = {
    "address": "The provider's name leads to an address that may be called",
    "tls": "The provider's certificate is trusted and lasts",
    "clock": "This machine's clock is right",
    "token_endpoint": "The token endpoint answers as one",
    "credentials": "Client ID and client secret are right",
    "metadata": "The provider's metadata agrees",
    "redirect_url_registered": "The Redirect URL is registered",
    "consent_page": "The provider is ready to ask for consent",
    "scopes": "The provider knows the scopes",
    "offline": "A refresh token is asked for",
    "connection": "The account is connected",
    "refresh_token": "There is a refresh token",
    "granted": "The scopes that were asked for were granted",
    "refresh": "A refresh works",
    "account": "It is the same account",
    "secret": "The client secret lasts",
    "consent": "The consent lasts",
}


def is_reached(findings: list[Finding]) -> bool:
    """Whether the token endpoint has answered as one, as far as was looked."""
    failed = {finding.key for finding in findings if finding.result is Result.FAILED}
    return not failed & {"address", "tls", "token_endpoint"}


def _skipped(why: str, *keys: str) -> list[Finding]:
    return [Finding(key, _TITLES[key], Result.SKIPPED, why) for key in keys]


def _exchange(asked: str, answer: Answered | Silence, said: Answer | None = None) -> tuple[str, ...]:
    """What was asked and answered, in lines; nothing of an answer is quoted but its error, made safe."""
    if isinstance(answer, Silence):
        return asked, f"→ {answer.words}"
    heads = f"→ HTTP {answer.status} {answer.content_type}".rstrip()
    where = f", to {urlsplit(answer.location).netloc or 'a path of its own'}" if answer.location else ""
    return asked, f"{heads}{where}", *([f"→ {_told(said)}"] if said else [])


def _told(answer: Answer) -> str:
    match answer:
        case Refused():
            return f"{answer.code}: {answer.words}" if answer.words else answer.code
        case Granted():
            return "a token, which isn't kept"
        case _:
            return answer.words


def _is_unrecognised(answer: Answer) -> bool:
    if isinstance(answer, Refused):
        return answer.unauthenticated or answer.code in _CLIENT_REFUSED
    return isinstance(answer, Nonsense) and answer.unauthenticated


def _google_error(location: str) -> str:
    """Google's error page says why in a parameter, in base64."""
    told = parse_qs(urlsplit(location).query).get("authError", [""])[0]
    try:
        return urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode("ascii", "ignore")
    except ValueError:
        return ""


def _scopes(
    outgoing: Outgoing,
    metadata: Metadata | None,
    error: tuple[str, str],
    page: Answered | Silence,
    exchange: tuple[str, ...],
) -> Finding:
    def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
        return Finding("scopes", _TITLES["scopes"], result, cause, mend, action, exchange)

    asked = outgoing.stored.scopes.split()
    in_page = isinstance(page, Answered) and page.status >= 400 and "invalid_scope" in page.text
    if error[0] == "invalid_scope" or in_page:
        said = f" It says: {error[1]}" if error[1] else ""
        return found(
            Result.FAILED, f"The provider doesn't know one of the scopes.{said}", "Correct Scopes with Edit.", "edit"
        )
    if not asked:
        return found(Result.SKIPPED, "None are asked for: the provider gives its default.")
    if metadata and metadata.scopes:
        unknown = [scope for scope in asked if scope not in metadata.scopes]
        if unknown:
            cause = f"The provider's metadata doesn't name {', '.join(unknown)}; some providers name only a part."
            return found(Result.WARNED, cause, "See that Scopes is written as the provider does, with Edit.", "edit")
        return found(Result.PASSED, "The provider's metadata names all of them.")
    return found(Result.UNKNOWN, "The provider doesn't tell before somebody consents.")


def _what_offline_lacks(outgoing: Outgoing) -> tuple[str, str]:
    """What is missing for a refresh token to be given, and what adds it; both empty where nothing is known to be."""
    needed = outgoing.provider.refresh_scope
    if needed and needed not in outgoing.stored.scopes.split():
        return f"the scope {needed} isn't asked for", f"Add {needed} to Scopes with Edit."
    sent = dict(outgoing.profile.authorization_parameters)
    for name, value in outgoing.provider.authorization_parameters:
        if name in _OFFLINE_PARAMETERS and sent.get(name) != value:
            mend = f"Take {name} out of Extra authorization parameters with Edit."
            return f"{name} is {sent.get(name)} in place of {value}", mend
    return "", ""


def _offline(outgoing: Outgoing, metadata: Metadata | None) -> Finding:
    title = _TITLES["offline"]
    missing, mend = _what_offline_lacks(outgoing)
    if missing:
        cause = f"No refresh token will be given, since {missing}: a connection would end with its first token."
        return Finding("offline", title, Result.FAILED, cause, mend, "edit")
    offers = metadata and "offline_access" in metadata.scopes
    if offers and "offline_access" not in outgoing.stored.scopes.split():
        cause = "The provider has a scope offline_access, which isn't asked for: it may give no refresh token."
        return Finding("offline", title, Result.WARNED, cause, "Add offline_access to Scopes with Edit.", "edit")
    if outgoing.provider.brings_endpoints:
        return Finding("offline", title, Result.PASSED, "What this provider needs for it is sent.")
    return Finding("offline", title, Result.UNKNOWN, "What this provider needs for it isn't known.")


def _granted(connection: Connection) -> Finding:
    title, label = _TITLES["granted"], str(connection.label)
    asked, granted = connection.scopes_asked.split(), set(connection.scopes_granted.split())
    if not granted:
        return Finding("granted", title, Result.UNKNOWN, "The provider didn't say which.", label=label)
    missing = [scope for scope in asked if scope not in granted and scope not in _UNNAMED]
    if not missing:
        return Finding("granted", title, Result.PASSED, "All of them.", label=label)
    cause = f"Not granted, or written otherwise: {', '.join(missing)}."
    mend = "Choose Reconnect and allow everything, or take out with Edit what isn't needed."
    return Finding("granted", title, Result.WARNED, cause, mend, "connections", label=label)


def _deadline(end: Deadline, now: float) -> Finding:
    left = days(end.at, now)
    title, cause = _TITLES[end.key], end.words(now)
    if left < 0:
        return Finding(end.key, title, Result.FAILED, cause, end.mend, end.action, label=end.label)
    result = Result.WARNED if left <= WARN_DAYS else Result.PASSED
    return Finding(
        end.key, title, result, cause, end.mend if result is Result.WARNED else "", end.action, label=end.label
    )
