"""A check's fourth part: what metadata and the consent page tell before anybody signs in."""

import re
from base64 import urlsafe_b64decode
from urllib.parse import parse_qs, urlsplit

from applinks.crypto import new_token
from applinks.oauth.answers import Away, Metadata, Nonsense, safe_text
from applinks.oauth.client import AddressRefused, OAuthClient
from applinks.oauth.guard import AddressRefusedError
from applinks.oauth.probe import Answered, Probe, Silence
from applinks.providers.refusals import explain
from applinks.services.discovery import fields_of
from applinks.services.findings import Action, Finding, Result, exchanged
from applinks.services.links import Outgoing, lacks_for_refresh

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
_REGISTER = "Copy the Redirect URL from the link's page and register it at the provider, to the letter."


class ConsentCheck:
    def __init__(self, client: OAuthClient, probe: Probe) -> None:
        self._client = client
        self._probe = probe

    def findings(self, outgoing: Outgoing, *, reached: bool) -> list[Finding]:
        profile = outgoing.profile
        metadata = self._client.metadata(profile.issuer) if profile.issuer and reached else None
        findings = [self._metadata(outgoing, metadata, reached=reached)]
        if profile.without_account:
            return findings
        page, asked = self._consent_page(outgoing)
        registered, error = self._registered(outgoing, page, asked)
        findings += registered
        told = metadata if isinstance(metadata, Metadata) else None
        return [*findings, _scopes(outgoing, told, error, page, asked), _offline(outgoing, told)]

    def _metadata(
        self, outgoing: Outgoing, metadata: Metadata | Away | Nonsense | AddressRefused | None, *, reached: bool
    ) -> Finding:
        profile = outgoing.profile
        if not profile.issuer:
            return Finding("metadata", Result.SKIPPED, "No issuer is known, so there is nothing to compare.")
        if not reached:
            return Finding("metadata", Result.SKIPPED, "The provider can't be asked.")
        exchange = (f"GET the metadata of {profile.issuer}",)
        if not isinstance(metadata, Metadata):
            words = metadata.words if metadata else ""
            if isinstance(metadata, Nonsense) and metadata.other_issuer:
                mend = "Write the issuer with Edit as the provider itself does."
                return Finding("metadata", Result.FAILED, words, mend, "edit", exchange)
            return Finding("metadata", Result.UNKNOWN, words, exchange=exchange)
        names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint")
        theirs = fields_of(metadata)
        differing = [
            f"{name.replace('_', ' ')} {theirs[name]}"
            for name in names
            if theirs[name] and getattr(profile, name) and getattr(profile, name) != theirs[name]
        ]
        method = profile.client_authentication
        if method and method not in metadata.client_authentications:
            differing.append(f"client authentication {safe_text(', '.join(metadata.client_authentications), 200)}")
        if metadata.code_challenge_methods is not None and "S256" not in metadata.code_challenge_methods:
            differing.append("no PKCE with S256")
        if differing:
            cause = f"The provider's metadata differs from the link: {'; '.join(differing)}. Nothing was changed."
            mend = "Where the provider has moved, take it over with Edit, Find endpoints."
            if outgoing.provider.brings_endpoints:
                mend = "If connecting fails, look for a newer release of Applinks."
            return Finding("metadata", Result.WARNED, cause, mend, "edit", exchange)
        return Finding("metadata", Result.PASSED, "The provider's metadata says the same.", exchange=exchange)

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
        return page, exchanged(f"GET {profile.authorization_endpoint} with client ID, Redirect URL and scopes", page)

    def _registered(
        self, outgoing: Outgoing, page: Answered | Silence, exchange: tuple[str, ...]
    ) -> tuple[list[Finding], tuple[str, str]]:
        """What the consent page tells of the Redirect URL, and the error that it sends back, if any."""
        name = outgoing.provider.name

        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("redirect_url_registered", result, cause, mend, action, exchange)

        if isinstance(page, Silence):
            failed = Result.FAILED if page.refused else Result.UNKNOWN
            mend = "Correct the authorization endpoint with Edit." if page.refused else ""
            return [found(failed, page.words, mend, "edit" if mend else "")], ("", "")
        if page.location.partition("?")[0] == outgoing.redirect_uri:
            query = parse_qs(urlsplit(page.location).query)
            error = safe_text(query.get("error", [""])[0], 64), safe_text(query.get("error_description", [""])[0])
            findings = [found(Result.PASSED, "The provider answers to the Redirect URL.")]
            if error[0] and error[0] not in ("invalid_scope", "login_required", "interaction_required"):
                known = explain("authorization", error[0], error[1], outgoing.profile.provider)
                cause = known.cause if known else f"The provider refuses to ask for consent: {error[0]}."
                mend = known.mend if known else "See what its documentation says of that."
                findings.append(Finding("consent_page", Result.FAILED, cause, mend, "edit", exchange))
            return findings, error
        said = f"{page.text}\n{page.location}\n{_google_error(page.location)}"
        sent_away = "error" in parse_qs(urlsplit(page.location).query)
        told = page.status >= 400 or sent_away or bool(_google_error(page.location)) or "redirect_uri_mismatch" in said
        if told and _REDIRECT_WORDS.search(said):
            return [found(Result.FAILED, f"{name} doesn't know this Redirect URL.", _REGISTER, "console")], ("", "")
        if told and _CLIENT_WORDS.search(said):
            cause = f"{name} doesn't know the client ID."
            return [found(Result.FAILED, cause, "Correct Client ID with Edit.", "edit")], ("", "")
        if page.status in (404, 405, 410, 501):
            cause = f"The authorization endpoint answered HTTP {page.status}: there is no page that asks for consent."
            return [found(Result.FAILED, cause, "Correct the authorization endpoint with Edit.", "edit")], ("", "")
        if sent_away:
            return [found(Result.UNKNOWN, "The provider leads to an error page that doesn't say more.")], ("", "")
        if page.status >= 400:
            return [found(Result.UNKNOWN, f"The authorization endpoint answered HTTP {page.status}.")], ("", "")
        if outgoing.provider.tells_redirect:
            cause = f"{name} asks to sign in, which it does for a registered one alone."
            return [found(Result.PASSED, cause)], ("", "")
        return [found(Result.UNKNOWN, "The provider asks to sign in first, and tells only afterwards.")], ("", "")


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
        return Finding("scopes", result, cause, mend, action, exchange)

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
            if outgoing.provider.brings_endpoints:
                return found(Result.UNKNOWN, cause)
            return found(Result.WARNED, cause, "See that Scopes is written as the provider does, with Edit.", "edit")
        return found(Result.PASSED, "The provider's metadata names all of them.")
    return found(Result.UNKNOWN, "The provider doesn't tell before somebody consents.")


def _offline(outgoing: Outgoing, metadata: Metadata | None) -> Finding:
    missing, mend = lacks_for_refresh(outgoing)
    if missing:
        cause = f"No refresh token will be given, since {missing}: a connection would end with its first token."
        return Finding("offline", Result.FAILED, cause, mend, "edit")
    offers = metadata and "offline_access" in metadata.scopes
    if offers and "offline_access" not in outgoing.stored.scopes.split():
        cause = "The provider has a scope offline_access, which isn't asked for: it may give no refresh token."
        return Finding("offline", Result.WARNED, cause, "Add offline_access to Scopes with Edit.", "edit")
    if outgoing.provider.brings_endpoints:
        return Finding("offline", Result.PASSED, "What this provider needs for it is sent.")
    return Finding("offline", Result.UNKNOWN, "What this provider needs for it isn't known.")
